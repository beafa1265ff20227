"""One transaction of a binlog: as it is read, and as it is delivered. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field

from cdc.events import Transaction
from cdc.mysql.changes import ChangeBuffer, Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one row change stands, as Debezium tells it: offset of its event, number of the row in it."""

    pos: int
    row: int
    query: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BinlogTransaction(Transaction):
    """A transaction with what only a binlog knows. The change log does not keep the additional fields.

    `places`: one per change, empty unless the assembler was told to keep them.
    """

    file: str
    pos: int
    server_id: int
    gtid: str | None = None
    thread: int | None = None
    places: Collection[Place] = ()


@dataclass(kw_only=True, slots=True)
class OpenTransaction:
    """The transaction that is being read."""

    pos: int
    server_id: int
    gtid: str | None
    began: bool
    """Ends with a commit; otherwise with its one statement."""
    commit_time_us: int | None
    changes: ChangeBuffer
    thread: int | None = None
    query: str | None = None
    places: list[Place] = field(default_factory=list)
    ours: bool = False
    savepoints: dict[str, Mark] = field(default_factory=dict)
