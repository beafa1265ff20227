"""What the worker must know to run one direction of one move. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cdc.events import TableName
from cdc.mapping.port import Mapper
from cdc.schema_port import SchemaEvolution

Direction = Literal["forward", "reverse"]


def stream_name(move: str, direction: Direction) -> str:
    """The one name that slot, publication, replication origin and position row of a direction share."""
    return f"strangler_{move}_{direction}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLimits:
    """A bound on everything that queues, waits or retries."""

    batch_events: int = 2000
    """Source events that may share one target transaction (one source transaction is never divided)."""
    copy_chunk_rows: int = 5000
    """Of the first chunk of a table, and the least while its rows are not large."""
    copy_chunk_bytes: int = 4 << 20
    """Chunks grow towards this size while their rows are small, and end where they reach it."""
    copy_chunks_in_flight: int = 2
    """Chunks read from the source but not yet committed in the target."""
    log_backlog_bytes: int = 4 << 30
    """Source log bytes captured but not yet applied, above which capture pauses."""
    log_retention_bytes: int = 1 << 30
    """Source log bytes that the change log keeps below the applied position."""
    status_s: float = 1.0
    lock_timeout_s: float = 10.0
    """How long one apply statement may wait for a lock before the batch is tried again."""
    takeover_s: float = 10.0
    """How long a starting worker waits for the session of a dead one to end."""
    transient_attempts: int = 10
    """Tries of one batch that keeps losing deadlocks or serialization conflicts."""
    parked_rows: int = 1000
    """Refused rows that may be parked; one more stops the stream."""
    parked_events: int = 100_000
    """The same, with all events that wait behind them."""
    retry_min_s: float = 0.2
    retry_max_s: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSpec:
    """One direction: where it reads, where it writes, how rows change on the way.

    `source_keys`: the primary-key columns of every captured source table, in index order.
    `on_bad_row`: what a row that the target refuses does: `park` it with all that depends on it, or `stop` the stream.
    `evolution`: what follows schema changes of the source; None: every one of them stops its table.
    `follows_copy`: the target's rows come from our own copy. Changes of a table are then applied only from the moment
    its copy begins (what happened before is in the copy). Always False for `reverse`, whose target was the origin.
    `value_types`: `format_type` of the values that reach each target column (`cdc.sql_target.value_types`). PostgreSQL
    targets need none; others tell an array from JSON by it, and refuse at the start what cannot hold its source.
    """

    move: str
    direction: Direction
    source_dsn: str = field(repr=False)
    target_dsn: str = field(repr=False)
    log_folder: Path
    mapper: Mapper
    source_keys: Mapping[TableName, tuple[str, ...]]
    follows_copy: bool = True
    limits: LinkLimits = LinkLimits()
    on_bad_row: Literal["park", "stop"] = "park"
    evolution: SchemaEvolution | None = None
    value_types: Mapping[TableName, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.direction == "reverse":
            object.__setattr__(self, "follows_copy", False)

    @property
    def stream(self) -> str:
        return stream_name(self.move, self.direction)
