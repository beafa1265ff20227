"""PostgreSQL's logical replication messages (`pgoutput`, protocol version 1): bytes → values. Pure.

`decode` is the hot loop of capture, so the messages are named tuples and every decoder works on one `bytes` object
with an offset. Protocol 2 (streaming of open transactions) would add the decoders for `S`, `E`, `c` and `A` and a
transaction id after the tag of the data messages: `_DECODERS` is the one place that knows the tags.
"""

import struct
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, cast

from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Column, Relation, Row, Value
from cdc.lsn import Lsn

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since the Unix epoch; the protocol counts from there."""


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
)

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_U64 = struct.Struct(">Q")
_TRUNCATE = struct.Struct(">IB")
_COLUMN_TAIL = struct.Struct(">Ii")
_MESSAGE = struct.Struct(">BQ")

_NULL, _UNCHANGED, _TEXT = ord("n"), ord("u"), ord("t")
_NEW, _KEY, _OLD = ord("N"), ord("K"), ord("O")


def decode(payload: bytes) -> PgMessage:
    """One message. Raises `DecodeError`, and nothing else, on bytes that are not one whole protocol 1 message."""
    try:
        return _DECODERS[payload[0]](payload)
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise DecodeError(
            thing=f"pgoutput message {payload[:1]!r} of {len(payload)} bytes",
            reason=f"not protocol version 1 in text form: {error}",
            mend="check that the slot uses pgoutput on PostgreSQL 14 or later and that its database is UTF-8",
        ) from None


def _begin(data: bytes) -> Begin:
    _expect_end(data, 21)
    commit_lsn, time, xid = _BEGIN.unpack_from(data, 1)
    return Begin(commit_lsn, time + POSTGRES_EPOCH_US, xid)


def _commit(data: bytes) -> Commit:
    _expect_end(data, 26)
    _, commit_lsn, end_lsn, time = _COMMIT.unpack_from(data, 1)
    return Commit(commit_lsn, end_lsn, time + POSTGRES_EPOCH_US)


def _origin(data: bytes) -> Origin:
    (lsn,) = _U64.unpack_from(data, 1)
    name, at = _string(data, 9)
    _expect_end(data, at)
    return Origin(lsn, name)


def _relation(data: bytes) -> RelationMessage:
    (oid,) = _U32.unpack_from(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    identity = chr(data[at])
    if identity not in "dnfi":
        raise ValueError(f"replica identity {identity!r}")
    (count,) = _U16.unpack_from(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        in_key = data[at] & 1 == 1
        column, at = _string(data, at + 1)
        type_oid, modifier = _COLUMN_TAIL.unpack_from(data, at)
        at += 8
        columns.append(Column(name=column, type_oid=type_oid, type_modifier=modifier, in_key=in_key))
    _expect_end(data, at)
    return RelationMessage(
        Relation(
            oid=oid,
            schema=schema or "pg_catalog",
            name=name,
            columns=tuple(columns),
            replica_identity=cast(Literal["d", "n", "f", "i"], identity),
        )
    )


def _type(data: bytes) -> TypeMessage:
    (oid,) = _U32.unpack_from(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    _expect_end(data, at)
    return TypeMessage(oid, schema or "pg_catalog", name)


def _insert(data: bytes) -> Insert:
    (oid,) = _U32.unpack_from(data, 1)
    if data[5] != _NEW:
        raise ValueError("insert without a new row")
    row, at = _row(data, 6)
    _expect_end(data, at)
    return Insert(oid, row)


def _update(data: bytes) -> Update:
    (oid,) = _U32.unpack_from(data, 1)
    kind = data[5]
    old: Row | None = None
    at = 5
    if kind in (_KEY, _OLD):
        old, at = _row(data, 6)
    if data[at] != _NEW:
        raise ValueError("update without a new row")
    new, at = _row(data, at + 1)
    _expect_end(data, at)
    return Update(oid, new, old, kind == _KEY)


def _delete(data: bytes) -> Delete:
    (oid,) = _U32.unpack_from(data, 1)
    kind = data[5]
    if kind not in (_KEY, _OLD):
        raise ValueError("delete without an old row")
    old, at = _row(data, 6)
    _expect_end(data, at)
    return Delete(oid, old, kind == _KEY)


def _truncate(data: bytes) -> TruncateMessage:
    count, options = _TRUNCATE.unpack_from(data, 1)
    _expect_end(data, 6 + 4 * count)
    return TruncateMessage(struct.unpack_from(f">{count}I", data, 6), options & 1 == 1, options & 2 == 2)


def _message(data: bytes) -> LogicalMessage:
    flags, lsn = _MESSAGE.unpack_from(data, 1)
    prefix, at = _string(data, 10)
    (length,) = _U32.unpack_from(data, at)
    _expect_end(data, at + 4 + length)
    return LogicalMessage(flags & 1 == 1, lsn, prefix, data[at + 4 :])


def _row(data: bytes, at: int) -> tuple[Row, int]:
    """One tuple. A length that points past the end shows as an IndexError or at `_expect_end`."""
    (count,) = _U16.unpack_from(data, at)
    at += 2
    values: list[Value] = []
    append = values.append
    length_at = _U32.unpack_from
    for _ in range(count):
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + length_at(data, at + 1)[0]
            append(data[start:at].decode())
        elif kind == _NULL:
            append(None)
            at += 1
        elif kind == _UNCHANGED:
            append(UNCHANGED)
            at += 1
        else:
            raise ValueError(f"column value of kind {chr(kind)!r}")
    return tuple(values), at


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _expect_end(data: bytes, at: int) -> None:
    if at != len(data):
        raise ValueError(f"{len(data)} bytes where the message ends at {at}")


_DECODERS: Final[dict[int, Callable[[bytes], PgMessage]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _message,
}
