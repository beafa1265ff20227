"""The changes of one unit: decoded, rows that changed their key put together, and where partitions stand after it."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgpack

from cdc.changelog.debezium_topics.assembly import EventStore, Unit
from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.place_queue import Progress
from cdc.changelog.debezium_topics.reading import RecordReader
from cdc.changelog.debezium_topics.refusals import unknown_row
from cdc.changelog.debezium_topics.topic_events import Raw, TopicEvent
from cdc.debezium.record import OLD_KEY_HEADER
from cdc.events import UNCHANGED, Change, Column, Iterated, Relation, Row, RowChange, TableName, Transaction
from cdc.spill import SpillFile

IN_MEMORY_EVENTS: Final = 5_000
IN_MEMORY_BYTES: Final = 16 << 20

POSITION_TABLE: Final = TableName(schema="strangler", name="topic_position")
POSITIONS: Final = Relation(
    oid=0,
    schema=POSITION_TABLE.schema,
    name=POSITION_TABLE.name,
    columns=tuple(
        Column(name=name, type_oid=0, in_key=name in ("stream", "topic", "partition"))
        for name in ("stream", "topic", "partition", "next_offset", "newest", "topic_id")
    ),
)


class SpillingStore:
    """`EventStore`: in memory while it is small, else on disk."""

    def __init__(self, reader: RecordReader, folder: Path | None) -> None:
        self._reader, self._folder = reader, folder
        self._events: list[TopicEvent] = []
        self._spill: SpillFile | None = None
        self._count = self._bytes = 0

    @property
    def is_in_memory(self) -> bool:
        return self._spill is None

    def append(self, event: TopicEvent) -> None:
        """Raises `LogUnwritable` when the disk refuses."""
        self._count, self._bytes = self._count + 1, self._bytes + event.size
        if self._spill is None:
            self._events.append(event)
            if self._count > IN_MEMORY_EVENTS or self._bytes > IN_MEMORY_BYTES:
                self._spill = SpillFile(self._folder)
                for each in self._events:
                    self._spill.append(_packed(each))
                self._events = []
        else:
            self._spill.append(_packed(event))

    def __iter__(self) -> Iterator[TopicEvent]:
        if self._spill is None:
            yield from self._events
            return
        for record in self._spill.records():
            data = record if isinstance(record, bytes) else record.take(record.left)
            yield self._unpacked(data)

    def __len__(self) -> int:
        return self._count

    def _unpacked(self, data: bytes) -> TopicEvent:
        topic, partition, offset, key, value, headers, lsn, order = msgpack.unpackb(data)
        raw = Raw(topic=topic, key=key, value=value, headers=tuple((name, text) for name, text in headers))
        return self._reader.again((topic, partition), offset, raw, lsn=lsn, order=order)


def _packed(event: TopicEvent) -> bytes:
    topic, partition = event.place
    raw = event.raw
    packed: bytes = msgpack.packb(
        (topic, partition, event.offset, raw.key, raw.value, raw.headers, event.lsn, event.order)
    )
    return packed


class UnitChanges(Iterated[Change]):
    """Decoded while they are iterated, again and again."""

    def __init__(self, unit: Unit, positions: tuple[Change, ...], decode: Callable[[TopicEvent], Change]) -> None:
        self._unit, self._positions, self._decode = unit, positions, decode
        self._length: int | None = None

    def __iter__(self) -> Iterator[Change]:
        yield from row_changes(self._unit.events(), self._decode)
        yield from self._positions

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length


def changes_of(
    unit: Unit, stream: str, reader: RecordReader, topic_ids: Mapping[str, str] | None = None
) -> Collection[Change]:
    """All at once when they lie in memory. Raises the error of an event that cannot be applied."""
    found = UnitChanges(unit, position_changes(stream, unit.progress, topic_ids or {}), reader.change)
    return tuple(found) if all(getattr(store, "is_in_memory", True) for store in unit.stores) else found


def row_changes(events: Iterator[TopicEvent], decode: Callable[[TopicEvent], Change]) -> Iterator[Change]:
    """A change of key is two events at one place of the source's log. They become one update again when the new row
    lacks values that did not change, which only the old row has."""
    left: tuple[TopicEvent, RowChange] | None = None
    for event in events:
        change = decode(event)
        if left is not None and isinstance(change, RowChange) and _moves(left[0], event, change):
            old = left[1].old
            assert old is not None
            left = None
            yield RowChange(relation=change.relation, op="u", new=change.new, old=old, old_is_key=True)
            continue
        if left is not None:
            yield left[1]
            left = None
        if isinstance(change, RowChange) and change.op == "d" and change.old is not None:
            left = (event, change)
            continue
        if isinstance(change, RowChange) and change.op in "cr" and _lacks(change.new):
            raise unknown_row(event)
        yield change
    if left is not None:
        yield left[1]


def _moves(old: TopicEvent, new: TopicEvent, change: RowChange) -> bool:
    is_one = (old.table, old.xid, old.lsn) == (new.table, new.xid, new.lsn)
    return is_one and change.op == "c" and _lacks(change.new) and _names(new, old)


def _names(new: TopicEvent, old: TopicEvent) -> bool:
    """False when the new row's header says that it comes from another key."""
    header = dict(new.raw.headers).get(OLD_KEY_HEADER)
    if header is None or old.raw.key is None:
        return True
    try:
        return bool(_payload(header) == _payload(old.raw.key))
    except ValueError:
        return True


def _payload(data: bytes) -> Any:
    found = json.loads(data)
    return found["payload"] if isinstance(found, dict) and found.keys() == {"schema", "payload"} else found


def _lacks(row: Row | None) -> bool:
    return row is not None and any(value is UNCHANGED for value in row)


def position_changes(
    stream: str, progress: Mapping[Place, Progress], topic_ids: Mapping[str, str]
) -> tuple[Change, ...]:
    """Rows of `strangler.topic_position`, written by the transaction that writes the events before them."""
    rows = []
    for (topic, partition), (offset, newest) in progress.items():
        noted = None if newest is None else json.dumps(newest.as_json())
        row = (stream, topic, str(partition), str(offset), noted, topic_ids.get(topic))
        rows.append(RowChange(relation=POSITIONS, op="c", new=row))
    return tuple(rows)


def without_positions(transaction: Transaction) -> Transaction:
    """What came of the topics, for those who count. As it is when its events lie on disk: nobody decodes them twice."""
    changes = transaction.changes
    if not isinstance(changes, tuple):
        return transaction
    own = next((at for at, each in enumerate(changes) if _is_position(each)), len(changes))
    return replace(transaction, changes=changes[:own])


def _is_position(change: Change) -> bool:
    return isinstance(change, RowChange) and change.relation is POSITIONS


_: type[EventStore] = SpillingStore
