"""What `pgoutput` can say, as values. Pure."""

from typing import NamedTuple

from cdc.events import Relation, Row
from cdc.lsn import Lsn


class Begin(NamedTuple):
    """`commit_lsn` and the commit time (microseconds since the Unix epoch) are known before the first change."""

    commit_lsn: Lsn
    commit_time_us: int
    xid: int


class Commit(NamedTuple):
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int


class Origin(NamedTuple):
    """The transaction was itself applied by replication; `lsn` is its commit position on that other server."""

    lsn: Lsn
    name: str


class RelationMessage(NamedTuple):
    """The shape of a table for the changes that follow it."""

    relation: Relation


class TypeMessage(NamedTuple):
    """Name of a type that is not built in."""

    oid: int
    schema: str
    name: str


class Insert(NamedTuple):
    relation_oid: int
    new: Row


class Update(NamedTuple):
    relation_oid: int
    new: Row
    old: Row | None
    old_is_key: bool


class Delete(NamedTuple):
    relation_oid: int
    old: Row
    old_is_key: bool


class TruncateMessage(NamedTuple):
    relation_oids: tuple[int, ...]
    cascade: bool
    restart_identity: bool


class LogicalMessage(NamedTuple):
    """`pg_logical_emit_message`."""

    transactional: bool
    lsn: Lsn
    prefix: str
    content: bytes


class StreamStart(NamedTuple):
    """A piece of the open transaction `xid` follows. `first`: nothing of it came before."""

    xid: int
    first: bool


class StreamStop(NamedTuple):
    """The piece ends."""


class StreamCommit(NamedTuple):
    """The streamed transaction committed; nothing more of it follows."""

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int


class StreamAbort(NamedTuple):
    """`subxid` was rolled back: the whole streamed transaction when it equals `xid`."""

    xid: int
    subxid: int


PgMessage = (
    Begin
    | Commit
    | Origin
    | RelationMessage
    | TypeMessage
    | Insert
    | Update
    | Delete
    | TruncateMessage
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
)
