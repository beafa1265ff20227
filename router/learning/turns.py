"""One request at a time: each waits for the one before, and only so long."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from strangler.errors import StranglerError


class Marks(Protocol):
    """Writes a request's begin and end into the log of the monolith's database. Calls block, never two at once."""

    def begin(self, marker: str) -> None:
        """What runs from now on is of this request. Raises `StranglerError`."""
        ...

    def end(self, marker: str) -> bool:
        """Wait, for a bounded time, until the database is quiet, and mark the end. False: it did not become quiet."""
        ...


@dataclass(kw_only=True, slots=True, eq=False)
class Turn:
    """One request on its way. `alone` until another one runs beside it."""

    marker: str
    alone: bool = True
    has_lock: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnLimits:
    """Seconds: how long a request waits for its turn before it passes all the same, how long it may keep the turn,
    and, where nobody marks the log, how long to pause after an answer so that times tell requests apart."""

    wait_s: float = 30.0
    keep_s: float = 10.0
    pause_s: float = 0.05


class Turnstile:
    """Lets requests through singly. Whatever fails here, the request passes: it only is not marked as alone.

    Between `enter` and `leave` of one turn that stayed `alone` no other request was under way.
    """

    def __init__(self, marks: Marks | None, limits: TurnLimits) -> None:
        self._marks = marks
        self._limits = limits
        self._lock = asyncio.Lock()
        self._marking = asyncio.Lock()
        self._open: set[Turn] = set()
        self._overtime: dict[Turn, asyncio.TimerHandle] = {}
        self.problem: StranglerError | None = None
        """The last failure to mark the log."""
        self.crowded = 0
        """Requests that ran beside another one."""
        self.restless = 0
        """Requests after which the database did not become quiet in time."""

    @property
    def marks_log(self) -> bool:
        """Whether a request that ran alone can be found in the log by its marker."""
        return self._marks is not None

    async def enter(self, marker: str) -> Turn:
        """Wait for the turn, at most `wait_s`."""
        turn = Turn(marker=marker)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._lock.acquire()
            turn.has_lock = True
        except TimeoutError:
            turn.alone = False
        self._join(turn)
        if turn.has_lock:
            self._overtime[turn] = asyncio.get_running_loop().call_later(self._limits.keep_s, self._give_up, turn)
            if turn.alone:
                turn.alone = await self._mark_begin(turn)
        return turn

    async def leave(self, turn: Turn) -> bool:
        """The request was answered: wait until the database is quiet, then let the next one in. True: it ran alone."""
        try:
            if turn.has_lock:
                turn.alone = await self._mark_end(turn) and turn.alone
        finally:
            self._open.discard(turn)
            self._pass_on(turn)
        self.crowded += not turn.alone
        return turn.alone

    def beside(self) -> Turn:
        """Something that lasts has begun (a WebSocket): until it leaves, nothing runs alone."""
        turn = Turn(marker="", alone=False)
        self._join(turn)
        return turn

    def ended(self, turn: Turn) -> None:
        """What `beside` let in has ended."""
        self._open.discard(turn)

    def _join(self, turn: Turn) -> None:
        for other in self._open:
            other.alone = turn.alone = False
        self._open.add(turn)

    def _give_up(self, turn: Turn) -> None:
        """It takes too long (a stream, a long poll): the others go on beside it."""
        turn.alone = False
        self._pass_on(turn)

    def _pass_on(self, turn: Turn) -> None:
        if timer := self._overtime.pop(turn, None):
            timer.cancel()
        if turn.has_lock:
            turn.has_lock = False
            self._lock.release()

    async def _mark_begin(self, turn: Turn) -> bool:
        if self._marks is None:
            return True
        try:
            async with self._marking:
                await asyncio.to_thread(self._marks.begin, turn.marker)
        except StranglerError as error:
            self.problem = error
            return False
        return True

    async def _mark_end(self, turn: Turn) -> bool:
        if self._marks is None:
            await asyncio.sleep(self._limits.pause_s)
            return True
        try:
            async with self._marking:
                is_quiet = await asyncio.to_thread(self._marks.end, turn.marker)
        except StranglerError as error:
            self.problem = error
            return False
        self.restless += not is_quiet
        return is_quiet
