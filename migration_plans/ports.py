"""What a move needs from the stream and from the traffic. `commands.wiring` joins them with `cdc` and `router`.

Every verb is idempotent: calling it again after a crash converges. Verbs return only when what they promise is in
force. Errors are `strangler.errors.StranglerError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Side = Literal["legacy", "service"]
Direction = Literal["forward", "reverse"]


def other(side: Side) -> Side:
    """The other side."""
    return "service" if side == "legacy" else "legacy"


def direction_from(side: Side) -> Direction:
    """The stream that carries `side`'s writes to the other side."""
    return "forward" if side == "legacy" else "reverse"


@dataclass(frozen=True, kw_only=True, slots=True)
class CopySeen:
    """Progress of the initial copy over all tables."""

    rows: int
    tables_done: int
    tables: int
    seconds: float

    @property
    def done(self) -> bool:
        return self.tables > 0 and self.tables_done == self.tables


@dataclass(frozen=True, kw_only=True, slots=True)
class LagSeen:
    """How far a stream is behind. `state` is the worker's own word; `error` names what stopped it.

    `seconds` is None while nothing was ever applied.
    """

    direction: Direction
    state: str
    seconds: float | None
    bytes: int
    events: int
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelRunSeen:
    """Totals of the parallel run since it started, and what they prove against the limits of the plan.

    `pass`: differences and failed calls are both provably rarer than allowed. `fail`: one is provably more frequent.
    """

    compared: int
    confirmed: int
    noise: int
    raced: int
    failed: int
    state: Literal["pass", "fail", "insufficient", "no_data"]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """A verification's verdict: what was equal, where in the log, under which schema, and when."""

    direction: Direction
    method: Literal["full", "changed"]
    equal: bool
    position: str
    """Log position of the source side that the comparison covers."""
    schema_hash: str
    rows: int
    difference_count: int
    at: datetime
    seconds: float
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSeen:
    """What the write gate held during its last closure. Milliseconds."""

    held_requests: int
    hold_p50_ms: float
    hold_p99_ms: float
    hold_max_ms: float
    refused: int


class Streams(Protocol):
    """The two change streams of one move, and verification between the two databases."""

    def preflight(self) -> Sequence[tuple[str, str, str]]:
        """Everything that stands in the way, as (thing, reason, mend); empty when fit. Changes nothing."""
        ...

    def provision(self) -> None:
        """Slots, publications, positions, origins, canaries for both directions."""
        ...

    def deprovision(self, *, empty_target: bool) -> None:
        """Drop what `provision` made; with `empty_target` also the rows that our copy brought."""
        ...

    def request_copy(self) -> None:
        """Ask the worker to copy every table."""
        ...

    def copy_progress(self) -> CopySeen: ...

    def lag(self, direction: Direction) -> LagSeen: ...

    def position(self, side: Side) -> str:
        """A log position of this side such that whatever commits from now on lies after it."""
        ...

    def emit_barrier(self, direction: Direction) -> str:
        """Write a marker into the source log; returns its position. Everything committed before it lies before it."""
        ...

    def wait_applied(self, direction: Direction, position: str, timeout_s: float) -> float:
        """Wait until the target has applied everything up to `position`; returns the seconds it took."""
        ...

    def exercise(self, direction: Direction, timeout_s: float) -> float:
        """Send a canary row through the stream; returns the seconds until it arrived."""
        ...

    def push_sequences(self, owner: Side) -> None:
        """Make the other side's sequences stand beyond the owner's."""
        ...

    def schema_hash(self) -> str:
        """Of the moved tables on both sides."""
        ...

    def verify(self, direction: Direction) -> Proof:
        """Compare every row, while the stream runs."""
        ...

    def verify_changed(self, direction: Direction, since: str) -> Proof:
        """Compare the rows that the source changed after `since`; both sides must stand still."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class WritesSeen:
    """Moving writes: under way now, and answered by a backend since the proxy started."""

    in_flight: int
    finished: int


class TrafficPlane(Protocol):
    """The routes and the write gate of one move."""

    def install(self) -> None:
        """All traffic to legacy, moving writes through their own countable path."""
        ...

    def uninstall(self) -> None:
        """As if this move had never been."""
        ...

    def set_read_percent(self, percent: float) -> None: ...

    def set_inspect_percent(self, percent: float) -> None: ...

    def arm(self, owner: Side) -> None:
        """Moving writes now ask the gate, which is open to `owner`."""
        ...

    def disarm(self, owner: Side) -> None:
        """Moving writes go straight to `owner` again."""
        ...

    def close_gate(self) -> None:
        """Hold moving writes from now on."""
        ...

    def writes_seen(self) -> WritesSeen:
        """Moving writes that are at a backend, or on their way to one, now, and how many were answered."""
        ...

    def drain(self, timeout_s: float) -> float:
        """Wait until no moving write is in flight; returns the seconds it took."""
        ...

    def open_gate(self, owner: Side) -> None:
        """Release what is held, to `owner`."""
        ...

    def gate_seen(self) -> GateSeen: ...

    def reset_parallel_run(self) -> None: ...

    def parallel_run(self) -> ParallelRunSeen: ...
