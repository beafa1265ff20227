"""PostgreSQL's logical replication messages (`pgoutput`, protocol versions 1 and 2): bytes → values. Pure.

`decode` is the hot loop of capture, so the messages are named tuples and every decoder works on one `bytes` object
with an offset. Protocol 2 streams open transactions: between `StreamStart` and `StreamStop` the id of the
(sub-)transaction follows the tag of each message (`streamed`). `_DECODERS` is the one place that knows the tags.
"""

import struct
from collections.abc import Callable
from typing import Final, Literal, cast

from cdc.errors import DecodeError
from cdc.events import UNCHANGED, Column, Relation, Row, Value
from cdc.lsn import Lsn
from cdc.pgoutput_messages import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Origin,
    PgMessage,
    RelationMessage,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    TruncateMessage,
    TypeMessage,
    Update,
)

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since the Unix epoch; the protocol counts from there."""


_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_BEGIN_BYTES, _COMMIT_BYTES = 1 + _BEGIN.size, 1 + _COMMIT.size
_U64 = struct.Struct(">Q")
_TRUNCATE = struct.Struct(">IB")
_COLUMN_TAIL = struct.Struct(">Ii")
_MESSAGE = struct.Struct(">BQ")
_STREAM_START = struct.Struct(">IB")
_STREAM_COMMIT = struct.Struct(">IBQQq")
_STREAM_ABORT = struct.Struct(">II")

_NULL, _UNCHANGED, _TEXT = ord("n"), ord("u"), ord("t")
_NEW, _KEY, _OLD = ord("N"), ord("K"), ord("O")


def decode(payload: bytes, *, streamed: bool = False) -> PgMessage:
    """One message. Raises `DecodeError`, and nothing else, on bytes that are not one whole message.

    `streamed`: it came between `StreamStart` and `StreamStop`.
    """
    try:
        return _DECODERS[payload[0]](payload, 5 if streamed else 1)
    except (KeyError, IndexError, ValueError, struct.error) as error:
        raise not_the_protocol(payload[:1], len(payload), error) from None


def decode_insert(payload: bytes, *, streamed: bool = False) -> tuple[int, Row]:
    """Table and new row of an insert: `decode` for the message that most logs consist of."""
    try:
        at = 5 if streamed else 1
        if payload[at + 4] != _NEW:
            raise ValueError("insert without a new row")
        row, end = _row(payload, at + 5)
        if end != len(payload):
            _expect_end(payload, end)
        return _U32.unpack_from(payload, at)[0], row
    except (IndexError, ValueError, struct.error) as error:
        raise not_the_protocol(payload[:1], len(payload), error) from None


def decode_update(payload: bytes) -> Update:
    """`decode` for an update that was not streamed."""
    try:
        return _update(payload, 1)
    except (IndexError, ValueError, struct.error) as error:
        raise not_the_protocol(payload[:1], len(payload), error) from None


def transaction_bounds(begin: bytes, commit: bytes) -> tuple[int, Lsn, Lsn, int] | None:
    """Transaction id, commit position, end and commit time; None when these are not the two ends of one transaction."""
    if len(begin) != _BEGIN_BYTES or len(commit) != _COMMIT_BYTES:
        return None
    named, _, xid = _BEGIN.unpack_from(begin, 1)
    _, commit_lsn, end_lsn, time = _COMMIT.unpack_from(commit, 1)
    return (xid, commit_lsn, end_lsn, time + POSTGRES_EPOCH_US) if named == commit_lsn else None


def subtransaction(payload: bytes | memoryview) -> int:
    """Which (sub-)transaction a streamed message belongs to. Raises `DecodeError`."""
    try:
        xid: int = _U32.unpack_from(payload, 1)[0]
    except struct.error as error:
        raise not_the_protocol(bytes(payload[:1]), len(payload), error) from None
    return xid


def not_the_protocol(tag: bytes, size: int, error: Exception) -> DecodeError:
    """The error for bytes that cannot be decoded."""
    return DecodeError(
        thing=f"pgoutput message {tag!r} of {size} bytes",
        reason=f"not protocol version 1 or 2 in text form: {error}",
        mend="check that the slot uses pgoutput on PostgreSQL 13 or later and that its database is UTF-8",
    )


def _begin(data: bytes, _: int) -> Begin:
    _expect_end(data, _BEGIN_BYTES)
    commit_lsn, time, xid = _BEGIN.unpack_from(data, 1)
    return Begin(commit_lsn, time + POSTGRES_EPOCH_US, xid)


def _commit(data: bytes, _: int) -> Commit:
    _expect_end(data, _COMMIT_BYTES)
    _, commit_lsn, end_lsn, time = _COMMIT.unpack_from(data, 1)
    return Commit(commit_lsn, end_lsn, time + POSTGRES_EPOCH_US)


def _origin(data: bytes, _: int) -> Origin:
    (lsn,) = _U64.unpack_from(data, 1)
    name, at = _string(data, 9)
    _expect_end(data, at)
    return Origin(lsn, name)


def _relation(data: bytes, at: int) -> RelationMessage:
    (oid,) = _U32.unpack_from(data, at)
    schema, at = _string(data, at + 4)
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


def _type(data: bytes, at: int) -> TypeMessage:
    (oid,) = _U32.unpack_from(data, at)
    schema, at = _string(data, at + 4)
    name, at = _string(data, at)
    _expect_end(data, at)
    return TypeMessage(oid, schema or "pg_catalog", name)


def _insert(data: bytes, at: int) -> Insert:
    return Insert(*decode_insert(data, streamed=at != 1))


def _update(data: bytes, at: int) -> Update:
    (oid,) = _U32.unpack_from(data, at)
    at += 4
    kind = data[at]
    old: Row | None = None
    if kind in (_KEY, _OLD):
        old, at = _row(data, at + 1)
    if data[at] != _NEW:
        raise ValueError("update without a new row")
    new, at = _row(data, at + 1)
    _expect_end(data, at)
    return Update(oid, new, old, kind == _KEY)


def _delete(data: bytes, at: int) -> Delete:
    (oid,) = _U32.unpack_from(data, at)
    kind = data[at + 4]
    if kind not in (_KEY, _OLD):
        raise ValueError("delete without an old row")
    old, at = _row(data, at + 5)
    _expect_end(data, at)
    return Delete(oid, old, kind == _KEY)


def _truncate(data: bytes, at: int) -> TruncateMessage:
    count, options = _TRUNCATE.unpack_from(data, at)
    _expect_end(data, at + 5 + 4 * count)
    return TruncateMessage(struct.unpack_from(f">{count}I", data, at + 5), options & 1 == 1, options & 2 == 2)


def _message(data: bytes, at: int) -> LogicalMessage:
    flags, lsn = _MESSAGE.unpack_from(data, at)
    prefix, at = _string(data, at + 9)
    (length,) = _U32.unpack_from(data, at)
    _expect_end(data, at + 4 + length)
    return LogicalMessage(flags & 1 == 1, lsn, prefix, data[at + 4 :])


def _stream_start(data: bytes, _: int) -> StreamStart:
    _expect_end(data, 6)
    xid, first = _STREAM_START.unpack_from(data, 1)
    return StreamStart(xid, first == 1)


def _stream_stop(data: bytes, _: int) -> StreamStop:
    _expect_end(data, 1)
    return StreamStop()


def _stream_commit(data: bytes, _: int) -> StreamCommit:
    _expect_end(data, 30)
    xid, _flags, commit_lsn, end_lsn, time = _STREAM_COMMIT.unpack_from(data, 1)
    return StreamCommit(xid, commit_lsn, end_lsn, time + POSTGRES_EPOCH_US)


def _stream_abort(data: bytes, _: int) -> StreamAbort:
    _expect_end(data, 9)
    return StreamAbort(*_STREAM_ABORT.unpack_from(data, 1))


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


_DECODERS: Final[dict[int, Callable[[bytes, int], PgMessage]]] = {
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
    ord("S"): _stream_start,
    ord("E"): _stream_stop,
    ord("c"): _stream_commit,
    ord("A"): _stream_abort,
}
