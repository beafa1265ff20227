"""Binlog events, bytes → values. Pure.

An event is a header of 19 bytes, a body, and (when the server says so) a CRC-32 of both. Anything that is not what the
format describes raises `DecodeError`; what the format knows but this capture does not is told by its name, never
skipped, unless the server itself marked it as ignorable.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cdc.errors import SlotMismatch, SourceUnfit
from cdc.mysql.wire import inflate, length_encoded, malformed, table_name

HEADER_BYTES: Final = 19
_CHECKSUM_BYTES: Final = 4
_HEADER: Final = struct.Struct("<IBIIIH")
_IGNORABLE: Final = 0x80

QUERY, STOP, ROTATE, FORMAT, XID = 2, 3, 4, 15, 16
EXECUTE_LOAD, TABLE_MAP, INCIDENT, HEARTBEAT, ROWS_QUERY = 18, 19, 26, 27, 29
GTID, ANONYMOUS_GTID, XA_PREPARE, PARTIAL_UPDATE, PAYLOAD, HEARTBEAT_V2, TAGGED_GTID = 33, 34, 38, 39, 40, 41, 42
ANNOTATE, MARIADB_GTID, QUERY_COMPRESSED = 160, 162, 165

ROW_EVENTS: Final = {
    23: ("c", 1, False),
    24: ("u", 1, False),
    25: ("d", 1, False),
    30: ("c", 2, False),
    31: ("u", 2, False),
    32: ("d", 2, False),
    166: ("c", 1, True),
    167: ("u", 1, True),
    168: ("d", 1, True),
    169: ("c", 2, True),
    170: ("u", 2, True),
    171: ("d", 2, True),
}
"""Type code → (operation, version of the event, whether MariaDB compressed its rows)."""

_WITHOUT_MEANING: Final = frozenset({0, STOP, 5, 13, 14, 17, 28, 35, 36, 37, 161, 163, 164})
"""Variables of statements, bookkeeping of files and groups."""

_STANDALONE = 0x01


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """`at_s`: source clock, seconds. `end`: offset in the file just after the event, 0 for one made up on the way."""

    at_s: int
    kind: int
    server_id: int
    size: int
    end: int
    flags: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """Opens every file. `checksummed`: the events that follow end with a CRC-32."""

    server_version: str
    checksummed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotate:
    """The file that follows, and where in it the stream goes on."""

    file: str
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gtid:
    """Begins a group. `gtid` None: the server has them off. `began`: it ends with a commit; otherwise BEGIN follows, or
    the one statement that is the whole group."""

    gtid: str | None
    began: bool = False
    commit_time_us: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A statement as text: BEGIN, COMMIT, SAVEPOINT, DDL."""

    thread: int
    schema: str
    sql: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Xid:
    """The commit of a transaction in a transactional engine."""

    xid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMap:
    """Describes the table of the row events that follow, by a number that is valid for this session only."""

    table_id: int
    database: str
    table: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Row images of one table. `present` are bitmaps of the columns in the old and the new image."""

    op: str
    table_id: int
    column_count: int
    old_present: bytes
    new_present: bytes
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """The statement whose rows follow, where the server logs it."""

    sql: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """The server has sent everything through this place and has nothing else."""

    file: str
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A transaction was prepared (XA) and may be committed or rolled back much later, unless it was `one_phase`."""

    one_phase: bool


Event = (
    Format | Rotate | Gtid | Query | Xid | TableMap | Rows | Statement | Heartbeat | Prepared | None
)  # None: without meaning for capture


def decode_header(data: bytes) -> Header:
    """The first 19 bytes of an event."""
    try:
        at_s, kind, server_id, size, end, flags = _HEADER.unpack_from(data)
    except struct.error:
        raise malformed("shorter than its header") from None
    if size != len(data):
        raise malformed(f"its header says {size} bytes, {len(data)} arrived")
    return Header(at_s=at_s, kind=kind, server_id=server_id, size=size, end=end, flags=flags)


def decode_event(data: bytes, header: Header, *, checksummed: bool) -> Event:
    """Raises `DecodeError`; `SlotMismatch` when the server says that events are missing; `SourceUnfit` for what is not
    supported."""
    body = data[HEADER_BYTES:]
    if header.kind == FORMAT:
        return _format(body)
    if checksummed:
        body = _checked(data, body, header)
    try:
        return _decode_body(body, header)
    except (struct.error, IndexError, UnicodeDecodeError, zlib.error) as error:
        raise malformed(f"event of type {header.kind} is cut short or damaged ({error})") from None


def _checked(data: bytes, body: bytes, header: Header) -> bytes:
    if len(body) < _CHECKSUM_BYTES:
        raise malformed("shorter than its checksum")
    if zlib.crc32(data[:-_CHECKSUM_BYTES]) != int.from_bytes(data[-_CHECKSUM_BYTES:], "little"):
        raise malformed(f"event of type {header.kind} ending at {header.end} fails its checksum")
    return body[:-_CHECKSUM_BYTES]


def _decode_body(body: bytes, header: Header) -> Event:
    reader = _READERS.get(header.kind)
    if reader is not None:
        return reader(body, header)
    if header.kind in _UNSUPPORTED:
        reason, mend = _UNSUPPORTED[header.kind]
        raise SourceUnfit(thing="binlog", reason=reason, mend=mend)
    if header.kind in _WITHOUT_MEANING or header.flags & _IGNORABLE:
        return None
    raise malformed(f"event of type {header.kind} is unknown and the server does not say that it may be ignored")


def _rotate(body: bytes, _: Header) -> Rotate:
    return Rotate(offset=struct.unpack_from("<Q", body)[0], file=body[8:].rstrip(b"\0").decode())


def _heartbeat(body: bytes, header: Header) -> Heartbeat:
    return Heartbeat(file=body.rstrip(b"\0").decode(), offset=header.end)


def _xid(body: bytes, _: Header) -> Xid:
    return Xid(xid=struct.unpack_from("<Q", body)[0])


def _table_map(body: bytes, _: Header) -> TableMap:
    database, table = table_name(body)
    return TableMap(table_id=int.from_bytes(body[:6], "little"), database=database, table=table, body=body)


def _statement(body: bytes, header: Header) -> Statement:
    """MySQL's has a byte of length before it, which is too short for most."""
    return Statement(sql=body[header.kind == ROWS_QUERY :].decode(errors="replace"))


def _prepared(body: bytes, _: Header) -> Prepared:
    return Prepared(one_phase=bool(body[0]))


def _incident(_body: bytes, _: Header) -> Event:
    raise SlotMismatch(
        thing="binlog",
        reason="the server wrote an incident into it: changes were made that it does not hold",
        mend="copy the tables anew, from a position after the incident",
    )


_UNSUPPORTED: Final = {
    EXECUTE_LOAD: (
        "holds a LOAD DATA statement instead of its rows",
        "SET GLOBAL binlog_format = ROW, reconnect the application, then copy the tables anew",
    ),
    PARTIAL_UPDATE: (
        "holds JSON values as differences",
        "SET GLOBAL binlog_row_value_options = '', reconnect the application, then copy the tables anew",
    ),
    PAYLOAD: (
        "holds transactions that the server compressed as a whole",
        "SET GLOBAL binlog_transaction_compression = OFF, reconnect the application, then copy the tables anew",
    ),
    TAGGED_GTID: ("holds GTIDs with tags", "let the application commit without a GTID tag"),
}


def _format(body: bytes) -> Format:
    if len(body) < 57 + 1 + _CHECKSUM_BYTES or int.from_bytes(body[:2], "little") != 4:
        raise malformed("the binlog is of another version than 4")
    algorithm = body[-_CHECKSUM_BYTES - 1]
    if algorithm not in (0, 1):
        raise malformed(f"checksums of an unknown kind ({algorithm})")
    version = body[2:52].rstrip(b"\0").decode(errors="replace")
    return Format(server_version=version, checksummed=algorithm == 1)


def _query(body: bytes, header: Header) -> Query:
    thread, _, schema_size, _, variables_size = struct.unpack_from("<IIBHH", body)
    at = 13 + variables_size
    schema = body[at : at + schema_size].decode(errors="replace")
    sql = body[at + schema_size + 1 :]
    if header.kind == QUERY_COMPRESSED:
        sql = inflate(sql)
    return Query(thread=thread, schema=schema, sql=sql.decode(errors="replace"))


def _mariadb_gtid(body: bytes, header: Header) -> Gtid:
    sequence, domain, flags = struct.unpack_from("<QIB", body)
    return Gtid(gtid=f"{domain}-{header.server_id}-{sequence}", began=not flags & _STANDALONE)


def _mysql_gtid(body: bytes, header: Header) -> Gtid:
    gtid = None
    if header.kind != ANONYMOUS_GTID:
        digits = body[1:17].hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        gtid = f"{'-'.join(parts)}:{struct.unpack_from('<Q', body, 17)[0]}"
    commit_time_us = int.from_bytes(body[42:49], "little") & ~(1 << 55) if len(body) >= 49 else None
    return Gtid(gtid=gtid, commit_time_us=commit_time_us)


def _rows(body: bytes, header: Header) -> Rows:
    op, version, compressed = ROW_EVENTS[header.kind]
    table_id, at = int.from_bytes(body[:6], "little"), 8
    if version == 2:
        at += struct.unpack_from("<H", body, at)[0]
    column_count, at = length_encoded(body, at)
    size = (column_count + 7) // 8
    first, at = body[at : at + size], at + size
    second = first
    if op == "u":
        second, at = body[at : at + size], at + size
    data = inflate(body[at:]) if compressed else body[at:]
    return Rows(op=op, table_id=table_id, column_count=column_count, old_present=first, new_present=second, data=data)


_READERS: Final[Mapping[int, Callable[[bytes, Header], Event]]] = {
    **dict.fromkeys(ROW_EVENTS, _rows),
    TABLE_MAP: _table_map,
    XID: _xid,
    QUERY: _query,
    QUERY_COMPRESSED: _query,
    MARIADB_GTID: _mariadb_gtid,
    GTID: _mysql_gtid,
    ANONYMOUS_GTID: _mysql_gtid,
    ROTATE: _rotate,
    HEARTBEAT: _heartbeat,
    ANNOTATE: _statement,
    ROWS_QUERY: _statement,
    XA_PREPARE: _prepared,
    INCIDENT: _incident,
}
