"""Kill the runner at every step of cutover and rollback, on real databases: never two owners, never none."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from migration_plans.errors import Busy, FenceTimeout, TransferAborted, WrongPhase
from migration_plans.operations.abort import abort
from migration_plans.operations.complete import complete
from migration_plans.operations.routes import set_shares
from migration_plans.operations.transfers import cut_over, roll_back, settle
from migration_plans.ownership import OwnershipLedger
from migration_plans.phases import Phase
from migration_plans.plan_file import load_plan
from migration_plans.ports import WritesSeen
from migration_plans.run import Run
from migration_plans.runner import advance_to
from migration_plans.transfer import STEPS, Parts
from router.errors import DrainTimeout
from strangler.clock import ManualClock, SystemClock
from strangler.errors import Refused
from strangler.journal import Journal
from tests.fakes import FakeStreams, FakeTraffic

FILED = load_plan(Path("migration_plans/catalog.yaml"))
PLAN = FILED.model_copy(update={"cutover": FILED.cutover.model_copy(update={"pause_s": 0.0})})


class Crash(BaseException):
    """What SIGKILL is to a process: nothing runs after it."""


class Rig:
    """Two real databases with one moved table each, everything else fake; `crash_at` names a failpoint."""

    def __init__(self, new_database, folder):
        self.dsn = {side: new_database(side) for side in ("legacy", "service")}
        for dsn in self.dsn.values():
            with psycopg.connect(dsn) as connection:
                connection.execute("CREATE TABLE item (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY)")
        self.folder, self.crash_at = folder, None
        self.streams, self.traffic = FakeStreams(), FakeTraffic()
        self.restart()

    def restart(self):
        """A new runner process: nothing in memory survives, and the dead one's connections are gone."""
        if hasattr(self, "run"):
            self.close()
        ledgers = {
            side: OwnershipLedger(side=side, dsn=dsn, move="catalog", tables=["item"]) for side, dsn in self.dsn.items()
        }
        parts = Parts(
            plan=PLAN,
            streams=self.streams,
            traffic=self.traffic,
            journal=Journal(self.folder / "journal.jsonl"),
            clock=SystemClock(),
            reach=self._reach,
            **ledgers,
        )
        self.run = Run(parts=parts, folder=self.folder)

    def _reach(self, name):
        if name == self.crash_at:
            self.crash_at = None
            raise Crash

    def writable(self):
        return {side for side, dsn in self.dsn.items() if self._accepts(dsn)}

    def _accepts(self, dsn):
        with psycopg.connect(dsn) as connection:
            try:
                connection.execute("INSERT INTO item DEFAULT VALUES")
            except psycopg.errors.ReadOnlySqlTransaction:
                return False
        return True

    def phase(self):
        return self.run.progress().phase

    def close(self):
        self.run.parts.legacy.close()
        self.run.parts.service.close()


@pytest.fixture
def rig(new_database, tmp_path):
    rig = Rig(new_database, tmp_path)
    advance_to(rig.run, Phase.READS_RAMPING, hold_s=0)
    yield rig
    rig.close()


BEFORE_FLIP = [f"{step}.{place}" for step in STEPS[:7] for place in ("begin", "acted")] + ["flip.begin"]
AFTER_FLIP = ["flip.acted", "flip_taken.begin", "flip_taken.acted"] + [
    f"{step}.{place}" for step in STEPS[8:] for place in ("begin", "acted")
]


@pytest.mark.parametrize("operation", ["cutover", "rollback"])
@pytest.mark.parametrize("place", BEFORE_FLIP + AFTER_FLIP)
def test_C7_killed_at_any_step_exactly_one_side_owns_after_settling(rig, operation, place):
    go = {"cutover": cut_over, "rollback": roll_back}[operation]
    giver, taker = ("legacy", "service") if operation == "cutover" else ("service", "legacy")
    if operation == "rollback":
        cut_over(rig.run)
    rig.crash_at = f"{operation}.{place}"
    with pytest.raises(Crash):
        go(rig.run)
    assert len(rig.writable()) <= 1, "two owners"
    rig.close()
    rig.restart()
    settle(rig.run)
    expected = giver if place in BEFORE_FLIP else taker
    assert rig.writable() == {expected}
    assert not rig.traffic.closed
    assert not rig.traffic.armed
    assert rig.traffic.writes_to == expected
    assert rig.run.parts.ownership().settled
    go_again = {"cutover": cut_over, "rollback": roll_back}[operation]
    if expected == giver:
        go_again(rig.run)
    assert rig.writable() == {taker}
    assert rig.phase() is (Phase.SERVICE_OWNED if operation == "cutover" else Phase.FOLLOWING)


def test_R10_ping_pong(rig):
    for _ in range(3):
        cut_over(rig.run)
        assert rig.writable() == {"service"}
        roll_back(rig.run)
        assert rig.writable() == {"legacy"}
        assert rig.traffic.reads == 0
        advance_to(rig.run, Phase.READS_RAMPING, hold_s=0)
    assert rig.run.parts.ownership().epoch == 7


def test_C1_a_fence_that_times_out_opens_the_gate_to_the_giver(rig):
    with psycopg.connect(rig.dsn["legacy"]) as writer:
        writer.execute("INSERT INTO item DEFAULT VALUES")
        rig.run.parts.legacy.longest_writer_s = lambda: 0.0
        with pytest.raises(TransferAborted) as aborted:
            cut_over(rig.run)
        assert isinstance(aborted.value.__cause__, FenceTimeout)
    assert rig.traffic.calls.count(("close_gate",)) == PLAN.cutover.attempts
    assert rig.writable() == {"legacy"}
    assert not rig.traffic.closed
    assert rig.phase() is Phase.READS_RAMPING


def test_C5_a_long_writer_is_refused_before_anybody_is_held(rig):
    rig.run.parts.legacy.longest_writer_s = lambda: 60.0
    with pytest.raises(Refused, match="hold budget"):
        cut_over(rig.run)
    assert ("close_gate",) not in rig.traffic.calls
    assert rig.writable() == {"legacy"}


def test_C5_writes_that_are_not_answered_are_refused_before_anybody_is_held(rig):
    rig.run = replace(rig.run, parts=replace(rig.run.parts, clock=ManualClock(datetime.now(UTC))))
    rig.traffic.writes_in_flight = 20
    with pytest.raises(Refused, match="predicted hold inf s"):
        cut_over(rig.run)
    assert ("close_gate",) not in rig.traffic.calls
    assert rig.writable() == {"legacy"}


def test_C5_the_hold_that_a_queue_of_writes_will_take_is_predicted_from_their_rate(rig):
    """20 in flight, ten a second answered: two seconds until the last of them."""
    clock = ManualClock(datetime.now(UTC))
    rig.run = replace(rig.run, parts=replace(rig.run.parts, clock=clock))
    rig.traffic.writes_seen = lambda: WritesSeen(in_flight=20, finished=round(10 * clock.monotonic()))
    with pytest.raises(Refused, match=r"predicted hold 2\.\d+ s"):
        cut_over(rig.run)


@pytest.mark.parametrize("operation", ["cutover", "rollback"])
def test_what_only_the_load_defeats_is_undone_and_tried_again(rig, operation):
    if operation == "rollback":
        cut_over(rig.run)
    giver = "legacy" if operation == "cutover" else "service"
    drains = []

    def drain(timeout_s):
        drains.append(rig.writable())
        if len(drains) < PLAN.cutover.attempts:
            raise DrainTimeout(thing="writes", reason="20 at a backend after 5 s", mend="wait")
        return 0.0

    rig.traffic.drain = drain
    result = (cut_over if operation == "cutover" else roll_back)(rig.run)
    assert drains == [{giver}] * PLAN.cutover.attempts
    assert rig.writable() == {result.owner} != {giver}
    undone = [entry for entry in rig.run.parts.journal.entries() if entry.data.get("state") == "undone"]
    assert len(undone) == result.undone_attempts == PLAN.cutover.attempts - 1
    assert result.undone_hold_ms > 0


def test_a_drain_that_ran_out_of_time_names_who_is_writing(rig):
    def drain(timeout_s):
        raise DrainTimeout(thing="writes", reason="1 at a backend after 5 s", mend="wait")

    rig.traffic.drain = drain
    with psycopg.connect(rig.dsn["legacy"], application_name="nightly import") as writer:
        writer.execute("INSERT INTO item DEFAULT VALUES")
        rig.run.parts.legacy.longest_writer_s = lambda: 0.0
        with pytest.raises(TransferAborted, match=r"1 at a backend after 5 s; in the database: pid \d+ \(nightly imp"):
            cut_over(rig.run)


def test_a_hold_that_outlasts_its_budget_is_undone_wherever_it_is_then(rig):
    """The verification takes longer than clients may be held: it is not waited for to the end of the transfer."""
    clock = ManualClock(datetime.now(UTC))
    rig.run = replace(rig.run, parts=replace(rig.run.parts, clock=clock))
    real = rig.streams.verify_changed

    def slow(direction, since):
        clock.sleep(2 * PLAN.cutover.hold_budget_s)
        return real(direction, since)

    rig.streams.verify_changed = slow
    with pytest.raises(TransferAborted, match="longer than the plan's hold_budget_s"):
        cut_over(rig.run)
    assert rig.writable() == {"legacy"}
    assert not rig.traffic.closed
    rig.streams.verify_changed = real
    assert cut_over(rig.run).owner == "service"


def test_C13_writes_do_not_move_before_the_reads(rig):
    rig.run.parts.journal.append("reads", percent=25.0)
    with pytest.raises(Refused, match="25 %"):
        cut_over(rig.run)


def test_a_difference_inside_the_window_undoes_the_cutover(rig):
    real = rig.streams.verify_changed

    def differ(direction, since):
        rig.streams.equal = False
        return real(direction, since)

    rig.streams.verify_changed = differ
    with pytest.raises(TransferAborted, match="1 rows differ"):
        cut_over(rig.run)
    assert rig.writable() == {"legacy"}


def test_both_transfers_compare_what_changed_since_a_fresh_full_proof(rig):
    for go, direction in ((cut_over, "forward"), (roll_back, "reverse")):
        rig.streams.calls.clear()
        go(rig.run)
        verbs = [call[:2] for call in rig.streams.calls if call[0] in ("verify", "verify_changed")]
        assert verbs == [("verify", direction), ("verify_changed", direction)]


@pytest.mark.parametrize("operation", ["cutover", "rollback"])
@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
def test_an_interruption_just_after_the_flip_is_recorded_as_flipped(rig, operation, problem):
    go = {"cutover": cut_over, "rollback": roll_back}[operation]
    if operation == "rollback":
        cut_over(rig.run)

    def strike(name):
        if name == f"{operation}.flip.acted":
            object.__setattr__(rig.run.parts, "reach", lambda _: None)
            raise problem

    object.__setattr__(rig.run.parts, "reach", strike)
    with pytest.raises(problem):
        go(rig.run)
    assert rig.writable() == {"service" if operation == "cutover" else "legacy"}
    assert rig.phase() is (Phase.SERVICE_OWNED if operation == "cutover" else Phase.FOLLOWING)


def test_the_candidates_database_lost_inside_the_window_does_not_keep_legacy_fenced(rig):
    def lose(name):
        if name == "cutover.fence.acted":
            rig.run.parts.service.close()
            object.__setattr__(rig.run.parts.service, "_dsn", "postgresql://nobody@127.0.0.1:1/gone")
            raise Refused(thing="stream", reason="target is gone", mend="start it")

    object.__setattr__(rig.run.parts, "reach", lose)
    with pytest.raises(TransferAborted):
        cut_over(rig.run)
    assert rig.writable() == {"legacy"}
    assert not rig.traffic.closed
    assert rig.phase() is Phase.READS_RAMPING


def test_abort_asks_the_database_not_the_journal(rig):
    cut_over(rig.run)
    rig.run.parts.journal.append("phase", event="back", phase="following")
    with pytest.raises(Refused, match="service owns since epoch 2"):
        roll_back(rig.run)
    assert rig.writable() == {"service"}
    assert ("deprovision", True) not in rig.streams.calls


def test_a_lost_state_folder_does_not_start_over_while_the_service_owns(rig, tmp_path):
    cut_over(rig.run)
    rig.folder = tmp_path / "new"
    rig.restart()
    rig.traffic.calls.clear()
    with pytest.raises(Refused, match="service owns"):
        advance_to(rig.run, Phase.FOLLOWING)
    assert rig.traffic.calls == []


@pytest.mark.parametrize("verb", ["complete", "abort"])
def test_an_interrupted_end_goes_on_where_it_stopped_and_nothing_else_may(rig, verb):
    end = {"complete": complete, "abort": roll_back}[verb]
    if verb == "complete":
        cut_over(rig.run)
    else:
        roll_back(rig.run)
    rig.streams.fail["deprovision"] = Refused(thing="slot", reason="in use", mend="wait")
    with pytest.raises(Refused, match="in use"):
        end(rig.run)
    del rig.streams.fail["deprovision"]
    rig.streams.fail["exercise"] = Refused(thing="worker", reason="has gone already", mend="-")
    for other in (cut_over, lambda run: advance_to(run, Phase.READS_RAMPING)) if verb == "abort" else (roll_back,):
        with pytest.raises(Busy, match="interrupted"):
            other(rig.run)
    end(rig.run)
    assert rig.phase() is (Phase.COMPLETED if verb == "complete" else Phase.PLANNED)


def test_a_share_ends_only_while_both_gates_pass(rig):
    roll_back(rig.run)
    advance_to(rig.run, Phase.SHADOWING)
    lags = iter([900.0, 900.0, 900.0] + [0.0] * 50)
    real = rig.streams.lag
    rig.streams.lag = lambda direction: replace(real(direction), seconds=next(lags))
    object.__setattr__(rig.run.parts, "clock", ManualClock())
    advance_to(rig.run, Phase.READS_RAMPING, hold_s=0)
    assert next(lags) == 0.0
    assert rig.traffic.reads == 100


def test_after_complete_reads_stay_on_the_service(rig):
    cut_over(rig.run)
    complete(rig.run)
    with pytest.raises(Refused, match="not kept up to date"):
        set_shares(rig.run, reads_percent=0, inspect_percent=None)


def test_the_cutover_leaves_all_reads_on_the_service_whatever_the_routes_said(rig):
    rig.traffic.reads = 0.0
    cut_over(rig.run)
    assert rig.traffic.reads == 100


def test_C3_the_final_position_is_read_after_the_fence(rig):
    seen = []
    emit = rig.streams.emit_barrier
    rig.streams.emit_barrier = lambda direction: (
        seen.append(rig.run.parts.legacy.read().fenced if rig.traffic.closed else None),
        emit(direction),
    )[1]
    cut_over(rig.run)
    assert True in seen
    assert False not in seen


def test_O4_abort_leaves_legacy_as_if_the_move_had_never_been(rig):
    roll_back(rig.run)
    assert rig.phase() is Phase.FOLLOWING
    abort(rig.run)
    assert rig.phase() is Phase.PLANNED
    assert rig.run.parts.legacy.read() is None
    assert not rig.traffic.installed
    with psycopg.connect(rig.dsn["legacy"]) as connection:
        assert connection.execute("SELECT count(*) FROM pg_trigger").fetchone() == (0,)


def test_completed_has_no_way_back_and_says_so(rig):
    cut_over(rig.run)
    complete(rig.run)
    assert rig.writable() == {"service"}
    with pytest.raises(WrongPhase):
        roll_back(rig.run)


def test_O5_commands_converge_when_run_twice(rig):
    cut_over(rig.run)
    assert cut_over(rig.run) is None
    advance_to(rig.run, Phase.SERVICE_OWNED)
    assert rig.phase() is Phase.SERVICE_OWNED


def test_a_preflight_problem_changes_nothing(new_database, tmp_path):
    rig = Rig(new_database, tmp_path)
    rig.streams.problems = [("table x", "not there", "create it"), ("table y", "not there", "create it")]
    with pytest.raises(Exception, match=r"table x: not there.*1 more"):
        advance_to(rig.run, Phase.FOLLOWING)
    assert rig.phase() is Phase.PLANNED
    assert rig.run.parts.legacy.read() is None
    assert rig.traffic.calls == []
    rig.close()


def test_a_failing_gate_in_the_ramp_sends_all_reads_back(rig):
    roll_back(rig.run)
    advance_to(rig.run, Phase.SHADOWING)
    rig.streams.error = "stopped"
    with pytest.raises(Exception, match="went back to legacy"):
        advance_to(rig.run, Phase.READS_RAMPING, hold_s=1)
    assert rig.traffic.reads == 0
    assert rig.phase() is Phase.FOLLOWING


def test_pause_holds_the_ramp_without_taking_it_back(rig):
    roll_back(rig.run)
    clock = ManualClock()
    seen = []

    class Sleeper(ManualClock):
        def sleep(self, seconds):
            super().sleep(seconds)
            seen.append(rig.traffic.reads)
            if len(seen) == 5:
                rig.run.unpause()

    clock = Sleeper()
    parts = rig.run.parts
    object.__setattr__(parts, "clock", clock)
    rig.run.pause()
    advance_to(rig.run, Phase.READS_RAMPING, hold_s=0)
    assert len(seen) >= 5
    assert rig.traffic.reads == 100
