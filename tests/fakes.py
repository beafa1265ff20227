"""In-memory stand-ins for the ports of `migration_plans`, with a record of every call."""

from datetime import UTC, datetime

from migration_plans.ports import CopySeen, GateSeen, LagSeen, ParallelRunSeen, Proof, WritesSeen


class FakeStreams:
    """A stream that is always caught up; `fail` maps a verb to the error it raises."""

    def __init__(self):
        self.calls = []
        self.fail = {}
        self.problems = []
        self.equal = True
        self.error = None
        self._lsn = 0

    def _called(self, verb, *arguments):
        self.calls.append((verb, *arguments))
        if verb in self.fail:
            raise self.fail[verb]

    def preflight(self):
        self._called("preflight")
        return self.problems

    def provision(self):
        self._called("provision")

    def deprovision(self, *, empty_target):
        self._called("deprovision", empty_target)

    def request_copy(self):
        self._called("request_copy")

    def copy_progress(self):
        return CopySeen(rows=10, tables_done=2, tables=2, seconds=0.5)

    def lag(self, direction):
        return LagSeen(direction=direction, state="streaming", seconds=0.0, bytes=0, events=0, error=self.error)

    def position(self, side):
        self._called("position", side)
        return self._next()

    def emit_barrier(self, direction):
        self._called("emit_barrier", direction)
        return self._next()

    def wait_applied(self, direction, position, timeout_s):
        self._called("wait_applied", direction, position)
        return 0.0

    def exercise(self, direction, timeout_s):
        self._called("exercise", direction)
        return 0.01

    def push_sequences(self, owner):
        self._called("push_sequences", owner)

    def schema_hash(self):
        return "schema"

    def verify(self, direction):
        self._called("verify", direction)
        return self._proof(direction, "full")

    def verify_changed(self, direction, since):
        self._called("verify_changed", direction, since)
        return self._proof(direction, "changed")

    def _next(self):
        self._lsn += 1
        return f"0/{self._lsn:X}"

    def _proof(self, direction, method):
        return Proof(
            direction=direction,
            method=method,
            equal=self.equal,
            position=self._next(),
            schema_hash="schema",
            rows=10,
            difference_count=0 if self.equal else 1,
            at=datetime.now(UTC),
            seconds=0.1,
            detail={},
        )


class FakeTraffic:
    """Routes and gate as plain state."""

    def __init__(self):
        self.calls = []
        self.fail = {}
        self.installed = False
        self.reads = 0.0
        self.inspect = 0.0
        self.armed = False
        self.closed = False
        self.writes_to = "legacy"
        self.compared = 1000
        self.writes_in_flight = 0

    def _called(self, verb, *arguments):
        self.calls.append((verb, *arguments))
        if verb in self.fail:
            raise self.fail[verb]

    def install(self):
        self._called("install")
        self.installed = True

    def uninstall(self):
        self._called("uninstall")
        self.installed = False

    def set_read_percent(self, percent):
        self._called("set_read_percent", percent)
        self.reads = percent

    def set_inspect_percent(self, percent):
        self._called("set_inspect_percent", percent)
        self.inspect = percent

    def arm(self, owner):
        self._called("arm", owner)
        self.armed, self.writes_to = True, owner

    def disarm(self, owner):
        self._called("disarm", owner)
        self.armed, self.writes_to = False, owner

    def close_gate(self):
        self._called("close_gate")
        self.closed = True

    def writes_seen(self):
        return WritesSeen(in_flight=self.writes_in_flight, finished=0)

    def drain(self, timeout_s):
        self._called("drain")
        return 0.0

    def open_gate(self, owner):
        self._called("open_gate", owner)
        self.closed, self.writes_to = False, owner

    def gate_seen(self):
        return GateSeen(held_requests=0, hold_p50_ms=0, hold_p99_ms=0, hold_max_ms=0, refused=0)

    def reset_parallel_run(self):
        self._called("reset_parallel_run")

    def parallel_run(self):
        return ParallelRunSeen(
            compared=self.compared, confirmed=0, noise=0, raced=0, failed=0, state="pass", reason="rare"
        )
