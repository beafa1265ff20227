"""Changes ⇄ Kafka records in the lossless form. Pure.

A row's record: the key is a JSON object of the primary key's text forms; the value is a msgpack array that begins with
the fingerprint of the relation it was written with. Its first header is its identity. A value that is larger than the
broker takes travels in several records with the same identity.

A new row out of a run (`cdc.insert_run`) has the same key and header, but its value is what the source sent: the byte
0xC1, which no msgpack begins with, the fingerprint, and the protocol message from its number of columns on.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack
import xxhash

from cdc.changelog.codec import decode_relation, encode_relation
from cdc.errors import DecodeError, LogDamaged
from cdc.events import UNCHANGED, Change, Message, Relation, Row, RowChange, TableName, Truncate
from cdc.insert_run import SHORTEST_RUN, InsertRun
from cdc.lsn import Lsn

POSITION_HEADER: Final = "strangler.position"
CHUNK_HEADER: Final = "strangler.chunk"
COPY_HEADER: Final = "strangler.copy"

LARGEST_KEY: Final = 32 << 10
_FOREIGN: Final = "somebody else writes to this topic, or a newer version did: use another topic prefix, or upgrade"

Header = tuple[str, bytes]

_ROW, _TRUNCATE, _MESSAGE = 0, 1, 2
_AS_SENT: Final = 0xC1
_AS_SENT_BYTES: Final = 1 + 8
"""Before the row: the mark and the fingerprint."""
_NEEDS_QUOTES: Final = re.compile(rb'["\\\x00-\x1f]')
_UNCHANGED_CODE: Final = 1
_UNCHANGED_EXT: Final = msgpack.ExtType(_UNCHANGED_CODE, b"")


class Position(NamedTuple):
    """Identity of an event, and the session of the appender that sent this copy of it."""

    commit_lsn: int
    event: int
    session: int


def pack_position(position: Position) -> bytes:
    return b"%d:%d:%d" % position


def unpack_position(data: bytes) -> Position:
    lsn, event, session = data.split(b":")
    return Position(int(lsn), int(event), int(session))


class RowPositions:
    """Identities of rows of one transaction: `events`, their numbers in it, one a row."""

    __slots__ = ("after", "before", "events")

    def __init__(self, commit_lsn: int, events: Sequence[int], session: int) -> None:
        self.before, self.after = b"%d:" % commit_lsn, b":%d" % session
        self.events = events

    def __getitem__(self, row: int) -> bytes:
        return b"%b%d%b" % (self.before, self.events[row], self.after)


class RowForm:
    """How the rows of one relation are written: made once per relation, used for every row."""

    __slots__ = ("_key_columns", "_key_prefixes", "fingerprint", "relation", "topic")

    def __init__(self, relation: Relation, key: Sequence[str] | None, topic: str) -> None:
        """`key`: the primary key's columns; None takes the replica identity's."""
        self.relation, self.topic = relation, topic
        self.fingerprint = fingerprint(relation)
        names = [column.name for column in relation.columns]
        chosen = [column.name for column in relation.columns if column.in_key] if key is None else key
        self._key_columns = [names.index(name) for name in chosen if name in names]
        self._key_prefixes = [f"{_quoted(name)}:" for name in chosen if name in names]

    def key(self, row: Row, other: Row | None = None) -> bytes | None:
        """None without a primary key. `other` knows a key column that `row` has unchanged."""
        parts = []
        for column, prefix in zip(self._key_columns, self._key_prefixes, strict=True):
            value = row[column]
            if value is UNCHANGED and other is not None:
                value = other[column]
            parts.append(prefix + ("null" if value is None or value is UNCHANGED else _quoted(value)))
        return ("{" + ",".join(parts) + "}").encode() if parts else None

    def run_keys(self, run: InsertRun) -> list[bytes | None]:
        """The same as `key` for each row of the run."""
        if not self._key_columns:
            return [None] * len(run)
        columns = [_quoted_texts(texts) for texts in run.texts(self._key_columns)]
        prefixes = [prefix.encode().replace(b"%", b"%%") for prefix in self._key_prefixes]
        form = b"{" + b",".join(prefix + b"%b" for prefix in prefixes) + b"}"
        return [form % texts for texts in zip(*columns, strict=True)]

    def run_values(self, run: InsertRun) -> list[bytes]:
        """What `decode_change` reads each row of the run from."""
        mark = bytes([_AS_SENT]) + self.fingerprint
        return [mark + body for body in run.bodies()]

    def value(self, change: RowChange) -> bytes:
        packed: bytes = msgpack.packb(
            (self.fingerprint, _ROW, change.op, change.new, change.old, change.old_is_key), default=_pack_unchanged
        )
        return packed

    def keys(self, change: RowChange) -> tuple[bytes | None, bytes | None]:
        """(the record's key, the key that this change leaves behind: to be followed by a tombstone)."""
        if change.new is None:
            gone = None if change.old is None else self.key(change.old)
            return gone, gone
        key = self.key(change.new, change.old)
        if change.old is None or key is None:
            return key, None
        before = self.key(change.old)
        return key, None if before == key else before


def short_key(key: bytes) -> bytes:
    """What stands for a key that would fill a message: equal for equal keys. The key itself is in the value."""
    return _json({"strangler.key": xxhash.xxh3_128_hexdigest(key)})


def fingerprint(relation: Relation) -> bytes:
    return xxhash.xxh64_digest(encode_relation(relation))


def encode_truncate(truncate: Truncate, fingerprints: Sequence[bytes]) -> bytes:
    packed: bytes = msgpack.packb((list(fingerprints), _TRUNCATE, truncate.cascade, truncate.restart_identity))
    return packed


def encode_message(message: Message) -> bytes:
    packed: bytes = msgpack.packb((b"", _MESSAGE, message.prefix, message.content, message.transactional, message.lsn))
    return packed


def is_as_sent(value: bytes) -> bool:
    """The row is what the source sent."""
    return value[0] == _AS_SENT


def decode_inserts(values: Sequence[bytes], relation_of: Callable[[bytes], Relation]) -> InsertRun | list[Change]:
    """Rows as the source sent them, all of one version of a table: a run, if they are enough for one."""
    if len(values) < SHORTEST_RUN:
        return [decode_change(value, relation_of) for value in values]
    relation = relation_of(values[0][1:_AS_SENT_BYTES])
    return InsertRun.of_bodies(relation, [value[_AS_SENT_BYTES:] for value in values])


def same_table(value: bytes, other: bytes) -> bool:
    """Both as the source sent them, in the same version of one table."""
    return value[:_AS_SENT_BYTES] == other[:_AS_SENT_BYTES]


def decode_change(value: bytes, relation_of: Callable[[bytes], Relation]) -> Change:
    """Raises `LogDamaged` on bytes that are not ours."""
    if value[0] == _AS_SENT:
        relation = relation_of(value[1:_AS_SENT_BYTES])
        try:
            return next(iter(InsertRun.of_bodies(relation, [value[_AS_SENT_BYTES:]])))
        except DecodeError as error:
            raise LogDamaged(thing="Kafka record", reason=error.reason, mend=_FOREIGN) from None
    try:
        fields: Any = msgpack.unpackb(value, use_list=False, ext_hook=_unpack_ext, strict_map_key=False)
        kind = fields[1]
        if kind == _ROW:
            mark, _, op, new, old, old_is_key = fields
            return RowChange(relation=relation_of(mark), op=op, new=new, old=old, old_is_key=old_is_key)
        if kind == _TRUNCATE:
            marks, _, cascade, restart = fields
            relations = tuple(relation_of(mark) for mark in marks)
            return Truncate(relations=relations, cascade=cascade, restart_identity=restart)
        _, _, prefix, content, transactional, lsn = fields
        return Message(prefix=prefix, content=content, transactional=transactional, lsn=Lsn(lsn))
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise LogDamaged(
            thing="Kafka record",
            reason=f"its content is not ours: {error}",
            mend=_FOREIGN,
        ) from None


class Range(NamedTuple):
    """Where the events of one transaction lie in one partition. `events`: without tombstones and copies."""

    topic: str
    partition: int
    first: int
    last: int
    events: int


class End(NamedTuple):
    """What an END says. `previous`: the commit_lsn before this one in the log. `size`: bytes of all values."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_time_us: int
    origin: str | None
    previous: int
    session: int
    events: int
    size: int
    ranges: tuple[Range, ...]


class Open(NamedTuple):
    """An appender began a session. Its own offset in the journal is the session's number."""

    instance: str
    stream: str


class Start(NamedTuple):
    """An empty log begins at this position."""

    position: int


JournalEntry = End | Open | Start


def encode_begin(xid: int, commit_lsn: int, commit_time_us: int) -> tuple[bytes, bytes]:
    """(key, value) of Debezium's BEGIN."""
    identity = f"{xid}:{commit_lsn}"
    value = {"status": "BEGIN", "id": identity, "ts_ms": commit_time_us // 1000}
    value |= {"event_count": None, "data_collections": None}
    return _json({"id": identity}), _json(value)


def encode_end(end: End, tables: Mapping[TableName, int]) -> tuple[bytes, bytes]:
    """(key, value) of Debezium's END, with our own block. `tables`: number of row events of each."""
    identity = f"{end.xid}:{end.commit_lsn}"
    value = {
        "status": "END",
        "id": identity,
        "ts_ms": end.commit_time_us // 1000,
        "event_count": end.events,
        "data_collections": [
            {"data_collection": f"{table.schema}.{table.name}", "event_count": count} for table, count in tables.items()
        ],
        "strangler": end,
    }
    return _json({"id": identity}), _json(value)


def encode_open(entry: Open) -> tuple[bytes, bytes]:
    return _json({"id": "strangler"}), _json({"status": "STRANGLER_OPEN", "strangler": entry})


def encode_start(entry: Start) -> tuple[bytes, bytes]:
    return _json({"id": "strangler"}), _json({"status": "STRANGLER_START", "strangler": entry})


def decode_journal(value: bytes | None) -> JournalEntry | None:
    """None for a BEGIN and for what other software wrote. Raises `LogDamaged` for what looks like ours and is not."""
    if value is None or b'"strangler"' not in value:
        return None
    try:
        found = json.loads(value)
        status, fields = found["status"], found["strangler"]
        if status == "STRANGLER_OPEN":
            return Open(*fields)
        if status == "STRANGLER_START":
            return Start(*fields)
        end = End(*fields)
        return end._replace(ranges=tuple(Range(*each) for each in end.ranges))
    except (ValueError, TypeError, KeyError) as error:
        raise LogDamaged(
            thing="Kafka transaction topic",
            reason=f"a record is not ours: {error}",
            mend=_FOREIGN,
        ) from None


def encode_relation_record(relation: Relation) -> tuple[bytes, bytes]:
    """(key, value) for the topic of relations."""
    return fingerprint(relation).hex().encode(), encode_relation(relation)


def decode_relation_record(value: bytes) -> Relation:
    return decode_relation(value)


def _quoted_texts(texts: Sequence[bytes | None]) -> list[bytes]:
    """As JSON, all of a column at once."""
    known = [b"" if text is None else text for text in texts]
    if _NEEDS_QUOTES.search(b"".join(known)):
        known = [_quoted(text.decode())[1:-1].encode() for text in known]
    return [b"null" if text is None else b'"%b"' % quoted for text, quoted in zip(texts, known, strict=True)]


_quoted: Callable[[str], str] = json.encoder.encode_basestring
_json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def _json(value: object) -> bytes:
    return _json_text(value).encode()


def _pack_unchanged(value: object) -> msgpack.ExtType:
    if value is UNCHANGED:
        return _UNCHANGED_EXT
    raise TypeError(f"no column value: {type(value).__name__}")


def _unpack_ext(code: int, data: bytes) -> object:
    if code != _UNCHANGED_CODE:
        raise ValueError(f"extension type {code}")
    return UNCHANGED
