"""Handing the tables from one side to the other: the cutover, and the rollback, which is the same with sides swapped.

Steps (numbers are those of ARCHITECTURE.md and of `strangler demo --break`):

0 arm · 1 predict · 2 close gate · 3 fence · 4 final position · 5 verify · 6 reverse start · 7 flip · 8 open gate ·
9 follow

Every step is journaled as an intent before it acts and as done after. Killed anywhere, `settle` reads both databases'
ownership rows: before the flip it undoes to the giver, after it goes forward to the taker; never both, never neither.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from migration_plans.errors import SidesDiffer, TransferAborted, TransferHeldUp
from migration_plans.gates import GateDecision, Verdict, hold_gate, proof_gate, stream_alive, stream_gate
from migration_plans.ownership import OwnershipLedger, OwnershipPair
from migration_plans.plan import Plan
from migration_plans.ports import Proof, Side, Streams, TrafficPlane, direction_from, other
from migration_plans.progress import proof_to_dict
from strangler import failpoints
from strangler.clock import Clock
from strangler.errors import Refused, StranglerError, TooBusy
from strangler.journal import Journal

Operation = Literal["cutover", "rollback"]

STEPS: tuple[str, ...] = (
    "arm",
    "predict",
    "close_gate",
    "fence",
    "final_position",
    "verify",
    "reverse_start",
    "flip",
    "open_gate",
    "follow",
)
FLIP = STEPS.index("flip")

_FIXED_HOLD_S = 0.15
"""Hold that every transfer costs besides drain and catch-up: gate, fence, journal, flip (measured)."""

_CALM_WRITES = 8
_CALM_TIMEOUT_S = 10.0
_CALM_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a transfer works with."""

    plan: Plan
    streams: Streams
    traffic: TrafficPlane
    legacy: OwnershipLedger
    service: OwnershipLedger
    journal: Journal
    clock: Clock
    reach: Callable[[str], None] = failpoints.reach
    """Called at every place where a crash is to be survived."""

    def ledger(self, side: Side) -> OwnershipLedger:
        return self.legacy if side == "legacy" else self.service

    def ownership(self) -> OwnershipPair | None:
        """Both rows, or None when ownership was never installed."""
        legacy, service = self.legacy.read(), self.service.read()
        return None if legacy is None or service is None else OwnershipPair(legacy=legacy, service=service)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferResult:
    """What was seen. `steps`: name → seconds. `hold`: what the gate held (milliseconds).

    `undone_attempts` went before, defeated by the load of their moment; `undone_hold_ms`: how long the worst of them
    held anybody at most.
    """

    operation: Operation
    owner: Side
    epoch: int
    started_at: datetime
    steps: dict[str, float]
    held_requests: int
    hold_p50_ms: float
    hold_p99_ms: float
    hold_max_ms: float
    undone_attempts: int = 0
    undone_hold_ms: float = 0.0


class Transfer:
    """One attempt to make `taker` the owner."""

    def __init__(self, parts: Parts, *, operation: Operation, attempt: int) -> None:
        self._parts = parts
        self.operation: Operation = operation
        self._attempt = attempt
        self.taker: Side = "service" if operation == "cutover" else "legacy"
        self.giver: Side = other(self.taker)
        self._epoch = 0
        self._steps: dict[str, float] = {}
        self._started_at = parts.clock.now()
        self._closed_at_s: float | None = None
        self._opened_at_s: float | None = None

    def run(self, proof: Proof) -> TransferResult:
        """Steps 0 to 9. Any failure before the flip undoes everything and raises; after it, a re-run finishes.

        `proof`: a fresh verification of every row; inside the window only what changed since is compared.
        """
        self._journal("operation", state="started")
        pair = self._parts.ownership()
        if pair is None or pair.owner != self.giver:
            self._journal("operation", state="undone", reason="wrong owner")
            raise Refused(
                thing=f"{self.operation} of {self._parts.plan.move}",
                reason=f"the owner is {pair.owner if pair else 'not installed'}, not {self.giver}",
                mend="see `strangler status`",
            )
        self._epoch = pair.epoch
        try:
            self._before_the_flip(proof)
        except StranglerError as error:
            if (landed := self.settle(error.reason)) is not None:
                return landed
            if not self._touched:
                raise
            aborted = TransferHeldUp if isinstance(error, TooBusy) else TransferAborted
            raise aborted(
                thing=f"{self.operation} of {self._parts.plan.move}",
                reason=f"undone, {self.giver} owns and serves as before: {error.thing}: {error.reason}",
                mend=error.mend,
            ) from error
        except (Exception, KeyboardInterrupt):
            self.settle("interrupted")
            raise
        return self.finish(self._epoch + 1)

    def settle(self, reason: str) -> TransferResult | None:
        """Land a transfer that stopped half-way on the side that the giver's database names.

        The flip is the giver's commit, so its row alone decides: the taker's database may be down, and legacy must
        not wait for it.

        Returns the result when the flip had happened and the transfer was finished, None when it was undone.
        """
        row = self._parts.ledger(self.giver).read()
        if row is not None and row.owner == self.taker:
            return self.finish(row.epoch)
        self.undo(reason)
        return None

    @property
    def held_s(self) -> float:
        """Seconds for which the gate was closed, until now or until this attempt was undone; 0 before."""
        if self._closed_at_s is None:
            return 0.0
        return (self._opened_at_s or self._parts.clock.monotonic()) - self._closed_at_s

    @property
    def _touched(self) -> bool:
        return self._closed_at_s is not None

    def undo(self, reason: str) -> None:
        """Back to the giver: fence down, gate open, routes as before. Safe to repeat."""
        ledger = self._parts.ledger(self.giver)
        row = ledger.read()
        if row is not None and row.fenced and row.owner == self.giver:
            ledger.lower_fence(epoch=row.epoch)
        self._parts.traffic.open_gate(self.giver)
        self._opened_at_s = self._parts.clock.monotonic()
        self._parts.traffic.disarm(self.giver)
        self._journal("operation", state="undone", reason=reason, held_s=self.held_s)

    def finish(self, epoch: int) -> TransferResult:
        """From the point of no return to the end. Safe to repeat: this is also how a killed transfer goes on."""
        self._step(FLIP, lambda: self._take_up(epoch), name="flip_taken")
        self._step(8, self._open_to_taker)
        self._step(9, self._follow)
        seen = self._parts.traffic.gate_seen()
        self._journal("operation", state="finished", owner=self.taker, epoch=epoch)
        return TransferResult(
            operation=self.operation,
            owner=self.taker,
            epoch=epoch,
            started_at=self._started_at,
            steps=dict(self._steps),
            held_requests=seen.held_requests,
            hold_p50_ms=seen.hold_p50_ms,
            hold_p99_ms=seen.hold_p99_ms,
            hold_max_ms=seen.hold_max_ms,
        )

    def _before_the_flip(self, proof: Proof) -> None:
        self._step(0, self._arm)
        self._step(1, lambda: self._predict(proof))
        self._step(2, self._close)
        self._step(3, self._fence)
        self._step(4, self._catch_up)
        self._step(5, lambda: self._verify(proof))
        self._step(6, self._reverse_start)
        self._time_left()
        self._step(FLIP, self._give_up)

    def _arm(self) -> dict[str, Any]:
        """Everything that the window needs, done and tried out before it opens."""
        parts = self._parts
        forth, back = direction_from(self.giver), direction_from(self.taker)
        parts.legacy.connect()
        parts.service.connect()
        arrival_s = {d: parts.streams.exercise(d, parts.plan.cutover.catch_up_timeout_s) for d in (forth, back)}
        for direction in (forth, back):
            _demand(stream_gate(parts.streams.lag(direction), parts.plan.cutover))
        parts.streams.push_sequences(self.giver)
        # After the flip there is no going back, so what could hold up the taker is tried now.
        parts.ledger(self.taker).try_lock(lock_timeout_s=parts.plan.cutover.lock_timeout_s)
        parts.traffic.arm(self.giver)
        return {"canary_s": arrival_s}

    def _predict(self, proof: Proof) -> dict[str, Any]:
        """Wait for a quiet moment, and estimate the hold before anybody is held."""
        parts = self._parts
        _demand(proof_gate(proof, parts.plan.cutover, now=parts.clock.now(), schema_hash=parts.streams.schema_hash()))
        in_flight, drain_s = self._wait_for_calm()
        direction = direction_from(self.giver)
        began = parts.clock.monotonic()
        parts.streams.wait_applied(
            direction, parts.streams.emit_barrier(direction), parts.plan.cutover.catch_up_timeout_s
        )
        catch_up_s = parts.clock.monotonic() - began
        writer_s = parts.ledger(self.giver).longest_writer_s()
        predicted_s = _FIXED_HOLD_S + 2 * catch_up_s + max(writer_s, drain_s)
        _demand(hold_gate(predicted_s, parts.plan.cutover))
        return {
            "predicted_s": predicted_s,
            "in_flight": in_flight,
            "drain_s": drain_s,
            "catch_up_s": catch_up_s,
            "longest_writer_s": writer_s,
        }

    def _close(self) -> dict[str, Any]:
        self._closed_at_s = self._parts.clock.monotonic()
        self._parts.traffic.close_gate()
        try:
            return {"drain_s": self._parts.traffic.drain(self._within(self._parts.plan.cutover.drain_timeout_s))}
        except TooBusy as busy:
            writers = self._parts.ledger(self.giver).open_writers()
            raise TooBusy(
                thing=busy.thing, reason=f"{busy.reason}; in the database: {writers}", mend=busy.mend
            ) from busy

    def _fence(self) -> None:
        self._parts.ledger(self.giver).raise_fence(
            epoch=self._epoch, lock_timeout_s=self._within(self._parts.plan.cutover.lock_timeout_s)
        )

    def _catch_up(self) -> dict[str, Any]:
        """The final position is read after the fence, never before it (C3)."""
        direction = direction_from(self.giver)
        position = self._parts.streams.emit_barrier(direction)
        timeout_s = self._within(self._parts.plan.cutover.catch_up_timeout_s)
        waited_s = self._parts.streams.wait_applied(direction, position, timeout_s)
        return {"position": position, "waited_s": waited_s}

    def _verify(self, proof: Proof) -> dict[str, Any]:
        streams = self._parts.streams
        direction = direction_from(self.giver)
        streams.push_sequences(self.giver)
        changed = streams.verify_changed(direction, proof.position)
        self._parts.journal.append("proof", **proof_to_dict(changed))
        if not changed.equal:
            raise SidesDiffer(
                thing=f"{self._parts.plan.move} {direction}",
                reason=f"{changed.difference_count} rows differ",
                mend="`strangler verify` lists them; nothing was switched",
            )
        return {"rows": changed.rows, "method": changed.method}

    def _reverse_start(self) -> dict[str, Any]:
        """Where the way back begins: before anybody may write to the taker."""
        _demand(stream_alive(self._parts.streams.lag(direction_from(self.taker))))
        return {"position": self._parts.streams.position(self.taker)}

    def _give_up(self) -> None:
        self._parts.ledger(self.giver).give_up(to=self.taker, epoch=self._epoch)

    def _take_up(self, epoch: int) -> None:
        self._parts.ledger(self.taker).take_up(epoch=epoch)

    def _open_to_taker(self) -> None:
        traffic = self._parts.traffic
        traffic.open_gate(self.taker)
        percent = 0.0 if self.operation == "rollback" else 100.0
        self._parts.journal.append("reads", percent=percent)
        traffic.set_read_percent(percent)
        traffic.disarm(self.taker)

    def _follow(self) -> dict[str, Any]:
        """The stream back carries what the new owner writes; the giver's tables are a live copy."""
        back = direction_from(self.taker)
        return {"canary_s": self._parts.streams.exercise(back, self._parts.plan.cutover.catch_up_timeout_s)}

    def _wait_for_calm(self) -> tuple[int, float]:
        """The hold begins with waiting for the writes in flight, so begin when few are; bounded.

        Returns how many are in flight, and the seconds in which they will be answered: by Little's law their number
        over the rate at which answers came meanwhile; unknown (0) when it was calm at once, endless when none came.
        """
        clock, traffic = self._parts.clock, self._parts.traffic
        began_s, first = clock.monotonic(), traffic.writes_seen()
        seen, waited_s = first, 0.0
        while seen.in_flight > _CALM_WRITES and waited_s < _CALM_TIMEOUT_S:
            clock.sleep(_CALM_POLL_S)
            seen, waited_s = traffic.writes_seen(), clock.monotonic() - began_s
        if seen.in_flight <= _CALM_WRITES:
            return seen.in_flight, 0.0
        answered = seen.finished - first.finished
        return seen.in_flight, seen.in_flight * waited_s / answered if answered else math.inf

    def _time_left(self) -> float:
        """Seconds of the hold budget that are left; gives up when none are, while nothing has been handed over."""
        left_s = self._parts.plan.cutover.hold_budget_s - self.held_s
        if left_s <= 0:
            raise TooBusy(
                thing=f"hold of {self._parts.plan.move}",
                reason=f"clients have been held for {self.held_s:.2f} s, longer than the plan's hold_budget_s",
                mend="find the slow step in the journal, and try again at a quieter moment",
            )
        return left_s

    def _within(self, timeout_s: float) -> float:
        """A step's own bound, or what is left of the hold budget if that is less."""
        return min(timeout_s, self._time_left())

    def _step(self, number: int, act: Callable[[], dict[str, Any] | None], *, name: str | None = None) -> None:
        label = name or STEPS[number]
        self._journal("step", step=number, name=label, state="intent")
        self._parts.reach(f"{self.operation}.{label}.begin")
        began = self._parts.clock.monotonic()
        seen = act() or {}
        self._steps[label] = self._parts.clock.monotonic() - began
        self._parts.reach(f"{self.operation}.{label}.acted")
        self._journal("step", step=number, name=label, state="done", seconds=self._steps[label], **seen)

    def _journal(self, kind: str, **data: Any) -> None:
        self._parts.journal.append(kind, operation=self.operation, attempt=self._attempt, **data)


def _demand(decision: GateDecision) -> None:
    if not decision.passes:
        error = TooBusy if decision.verdict is Verdict.INSUFFICIENT else Refused
        raise error(
            thing=f"gate {decision.gate}",
            reason=f"{decision.verdict}: {decision.reason}",
            mend=decision.mend or "see `strangler status`",
        )
