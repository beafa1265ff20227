"""How long writes are held when the tables change hands: 20 times to the service and back, under writes all the while.

Everything is the product: proxy, gate, worker, two servers, and the commands' own path in this process. Only the
application is thin, so that it fits on two cores beside its clients. A run counts only if no write failed or was lost.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.thin_store.schema import SEEDED
from benchmarks.thin_store.stack import SERVICE, ThinStore, start_thin_store
from commands.wiring import exclusive_run
from migration_plans.operations import transfers
from migration_plans.phases import Phase
from migration_plans.run import Silent
from migration_plans.runner import advance_to
from migration_plans.transfer import TransferResult
from sandbox.supervision import Stack
from strangler.errors import BadInput, StranglerError

REFERENCE_MS = 500.0
PING_PONGS = 20
WRITES_PER_S = "STRANGLER_BENCH_WRITES_PER_S"
_DEFAULT_WRITES_PER_S = "500"
_READS_PER_S = 20.0
_BETWEEN_S = 1.0


@dataclass(kw_only=True)
class _Seen:
    """Of the last run."""

    transfers: list[TransferResult] = field(default_factory=list)
    load: dict[str, Any] = field(default_factory=dict)

    def notes(self) -> list[str]:
        holds = sorted(result.hold_max_ms for result in self.transfers)
        steps: dict[str, list[float]] = {}
        for result in self.transfers:
            for name, seconds in result.steps.items():
                steps.setdefault(name, []).append(seconds * 1000)
        medians = ", ".join(f"{name} {sorted(times)[len(times) // 2]:.0f}" for name, times in steps.items())
        load = self.load
        written = load["acknowledged"]["insert"] + load["acknowledged"]["update"]
        return [
            f"{len(holds)} closures held {sum(result.held_requests for result in self.transfers)} writes; longest hold"
            f" of a closure: median {holds[len(holds) // 2]:.0f}, least {holds[0]:.0f}, greatest {holds[-1]:.0f} ms",
            f"median of each step, ms: {medians}",
            f"{written:,} writes acknowledged, {written / load['seconds']:.0f} a second, none lost or doubled; of all:"
            f" p50 {load['write_p50_ms']:.1f}, p99 {load['write_p99_ms']:.0f}, max {load['write_max_ms']:.0f} ms;"
            f" the clients were at most {load['late_ms']:.0f} ms behind their schedule",
        ]


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    writes_per_s, ping_pongs = _writes_per_s(), max(1, round(PING_PONGS * scale))
    seen = _Seen()

    def ours() -> float:
        return _hold_p99_ms(ping_pongs, writes_per_s, seen)

    yield Case(
        ours=ours,
        reference=lambda: REFERENCE_MS,
        unit=f"ms at {writes_per_s:g} writes/s, {ping_pongs} ping-pongs of one table, thin application",
        notes=seen.notes,
    )


def _writes_per_s() -> float:
    text = os.environ.get(WRITES_PER_S, _DEFAULT_WRITES_PER_S)
    try:
        return float(text)
    except ValueError:
        raise BadInput(thing=WRITES_PER_S, reason=f"{text!r} is not a number", mend="set it to 500") from None


def _hold_p99_ms(ping_pongs: int, writes_per_s: float, seen: _Seen) -> float:
    """Nearest rank over the closures' own p99: with fewer than 100 closures that of the worst."""
    with Stack() as stack:
        store = start_thin_store(stack)
        _advance(store, Phase.FOLLOWING)
        store.start_load(writes_per_s=writes_per_s, reads_per_s=_READS_PER_S)
        time.sleep(_BETWEEN_S)
        seen.transfers.clear()
        try:
            for _ in range(ping_pongs):
                _advance(store, Phase.READS_RAMPING)
                seen.transfers += [_transfer(store, "cutover"), _transfer(store, "rollback")]
        except StranglerError as error:
            error.add_note(f"after {len(seen.transfers)} transfers; the proxy's log: {stack.log_tail('envoy')}")
            raise
        seen.load = store.stop_load()
        _demand_whole(store, seen)
    holds = sorted(result.hold_p99_ms for result in seen.transfers)
    return holds[-(-len(holds) * 99 // 100) - 1]


def _advance(store: ThinStore, until: Phase) -> None:
    with exclusive_run(store.context, SERVICE, Silent()) as run:
        advance_to(run, until, hold_s=0)


def _transfer(store: ThinStore, operation: str) -> TransferResult:
    """As the command does it, then a moment of normal work."""
    act = transfers.cut_over if operation == "cutover" else transfers.roll_back
    with exclusive_run(store.context, SERVICE, Silent()) as run:
        result = act(run)
    if result is None:
        raise WrongResult(thing=operation, reason="changed nothing", mend="see the journal of the move")
    time.sleep(_BETWEEN_S)
    return result


def _demand_whole(store: ThinStore, seen: _Seen) -> None:
    """Every acknowledged write is in both databases, once; and none failed."""
    if seen.load["failed"]:
        raise WrongResult(thing="writes", reason=f"failed: {seen.load['failed']}", mend="see the log of the side")
    inserts, updates = seen.load["acknowledged"]["insert"], seen.load["acknowledged"]["update"]
    rows = SEEDED + inserts
    cents = SEEDED * (SEEDED + 1) // 2 + 1250 * inserts + updates
    for side, counted in store.counts().items():
        if counted != (rows, rows + updates, cents):
            raise WrongResult(
                thing=f"{side} database",
                reason=f"holds {counted}, the acknowledged writes make it {(rows, rows + updates, cents)}",
                mend="find the write that was lost or doubled",
            )
