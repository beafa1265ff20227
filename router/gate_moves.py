"""The waiting room of one move's writes: admits, holds, releases, counts. No I/O; runs in one event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from router.gate_state import Closure, GateMoveStatus, GateState, hold_times
from router.rules import Side

KEPT_CLOSURES = 10
MAX_TIMES = 100_000
"""Hold times kept for one closure; what comes after is counted, not timed."""

Admission = asyncio.Future[Side]


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """The last resort: beyond either bound a write is refused with 503 and Retry-After, and counted."""

    max_held: int = 5000
    hold_s: float = 60.0


class MoveGate:
    """Closed until told otherwise: a move of which nothing is known is held, never waved through."""

    def __init__(self, state: GateState | None, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._monotonic, self._now = monotonic, now
        self._state = state
        self._waiting: dict[Admission, float] = {}
        self._closures: deque[Closure] = deque(maxlen=KEPT_CLOSURES)
        self._held_total = self._admitted = self._released = self._refused = self._left = 0
        self._begin_closure()

    @property
    def owner(self) -> Side | None:
        """Whom a write goes to now, or None: it has to wait."""
        return self._state.owner if self._state is not None and self._state.state == "open" else None

    @property
    def held_now(self) -> int:
        return len(self._waiting)

    def admit(self) -> None:
        """Count a write that passed without waiting."""
        self._admitted += 1

    def apply(self, state: GateState | None) -> None:
        """Take note of the file's state (None: it cannot be believed); opening releases all who wait at once."""
        was_open = self.owner is not None
        self._state = state
        if self.owner is None:
            if was_open:
                self._begin_closure()
        elif not was_open:
            self._end_closure(self.owner)

    def wait(self, loop: asyncio.AbstractEventLoop) -> Admission:
        """A future of the owner. Whoever gets it reports `leave` or `refuse` if it ends otherwise."""
        admission: Admission = loop.create_future()
        self._waiting[admission] = self._monotonic()
        self._held_total += 1
        return admission

    def leave(self, admission: Admission) -> None:
        """The client went before the gate opened."""
        if self._waiting.pop(admission, None) is not None:
            self._left += 1

    def refuse(self, admission: Admission | None) -> None:
        """This write waited too long, or (None) found no room to wait."""
        if admission is None or self._waiting.pop(admission, None) is not None:
            self._refused += 1

    def status(self) -> GateMoveStatus:
        oldest = min(self._waiting.values(), default=None)
        current = () if self.owner is not None else (self._closure(None, None, []),)
        ended = tuple(self._closures)
        return GateMoveStatus(
            version=self._state.version if self._state else 0,
            state="closed" if self.owner is None else "open",
            owner=self._state.owner if self._state else None,
            held_now=self.held_now,
            oldest_held_ms=0.0 if oldest is None else self._elapsed_ms(oldest),
            held_total=self._held_total,
            admitted=self._admitted,
            released=self._released,
            refused=self._refused,
            left=self._left,
            hold_ms=ended[-1].hold_ms if ended else hold_times([]),
            closures=(*ended, *current),
        )

    def _begin_closure(self) -> None:
        self._closed_at, self._closed_s = self._now(), self._monotonic()
        self._closed_version = self._state.version if self._state else 0
        self._before = (self._released, self._refused, self._left)

    def _end_closure(self, owner: Side) -> None:
        now = self._monotonic()
        waited = [now - since for since in self._waiting.values()]
        self._released += len(waited)
        self._admitted += len(waited)
        for admission in self._waiting:
            if not admission.done():
                admission.set_result(owner)
        self._waiting.clear()
        self._closures.append(self._closure(self._elapsed_ms(self._closed_s), owner, waited[:MAX_TIMES]))

    def _closure(self, open_after_ms: float | None, owner: Side | None, held_s: list[float]) -> Closure:
        released, refused, left = self._before
        return Closure(
            version=self._closed_version,
            closed_at=self._closed_at.isoformat(),
            open_after_ms=open_after_ms,
            released_to=owner,
            released=self._released - released,
            refused=self._refused - refused,
            left=self._left - left,
            hold_ms=hold_times(held_s),
        )

    def _elapsed_ms(self, since: float) -> float:
        return round((self._monotonic() - since) * 1000, 3)
