"""Samples of what goes on while the story runs: lag of both streams, and who may write where."""

import threading
import time
from dataclasses import dataclass, field

import psycopg

from cdc.lag import read_lag
from cdc.link import Direction, stream_name
from demo.report import LagSample
from strangler.errors import StranglerError

_EVERY_S = 0.5
_OWNER = "SELECT fenced FROM strangler.ownership WHERE move = %s"


@dataclass
class Watch:
    """A background sampler. `two_owners` counts moments at which both databases accepted application writes."""

    legacy_database: str
    service_database: str
    move: str
    started: float
    lag: list[LagSample] = field(default_factory=list)
    events: dict[Direction, int] = field(default_factory=dict)
    two_owners: int = 0
    observations: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        """Lag is sampled of the stream that carries the owner's writes: the other one has nothing to be late with."""
        with (
            psycopg.connect(self.legacy_database, autocommit=True) as legacy,
            psycopg.connect(self.service_database, autocommit=True) as service,
        ):
            while not self._stop.wait(_EVERY_S):
                writing = self._look_at_owners(legacy, service)
                if writing is not None:
                    self._look_at_stream(writing)

    def _look_at_owners(self, legacy: psycopg.Connection, service: psycopg.Connection) -> Direction | None:
        """Legacy is read before and after the service: only if it was open both times were both open at once."""
        before, other, after = (self._open(side) for side in (legacy, service, legacy))
        if before is None or other is None:
            return None
        self.observations += 1
        self.two_owners += bool(before and other and after)
        if after and not other:
            return "forward"
        return "reverse" if other and not after else None

    def _open(self, connection: psycopg.Connection) -> bool | None:
        try:
            row = connection.execute(_OWNER, (self.move,)).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if row is None else not row[0]

    def _look_at_stream(self, direction: Direction) -> None:
        ends = (self.legacy_database, self.service_database)
        source, target = ends if direction == "forward" else reversed(ends)
        try:
            seen = read_lag(source, target, stream_name(self.move, direction))
        except StranglerError:
            return
        if seen.state == "streaming" and seen.seconds is not None:
            at = time.monotonic() - self.started
            self.lag.append(LagSample(at=at, direction=direction, lag_ms=seen.seconds * 1000))
        self.events[direction] = max(self.events.get(direction, 0), seen.events)
