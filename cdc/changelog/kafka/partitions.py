"""Rows out of the table topics: one consumer, bounded queues, the ranges that an END names."""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from kafka import TopicPartition

from cdc.changelog.kafka.connection import kafka_errors_of, open_consumer
from cdc.changelog.kafka.debezium_form import DebeziumReading, is_debezium
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.records import (
    CHUNK_HEADER,
    COPY_HEADER,
    POSITION_HEADER,
    End,
    Range,
    decode_change,
    decode_relation_record,
    unpack_position,
)
from cdc.errors import BrokerUnreachable, LogDamaged, LogNotFound, PositionExpired
from cdc.events import Change, Relation
from strangler.clock import Clock

_POLL_MS: Final = 250
_QUEUED: Final = 10_000
"""Records that may wait in memory before the partitions with more than their share of them are held back."""
_QUEUED_BYTES: Final = 16 << 20
_POLLED: Final = 2000
_POLLED_WHEN_FULL: Final = 500
"""Each partition may add one poll to what waits already: it is wanted next, and nothing of it is there."""
_WORTH_A_SEEK: Final = 5000

IndexedChange = tuple[int, Change]


class PartitionReader:
    """Reads ranges of partitions, mostly forward. Not to be used by two threads at a time."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._consumer: Any = None
        self._queues: dict[TopicPartition, deque[Any]] = {}
        self._consumed: dict[TopicPartition, int] = {}
        self._held: dict[TopicPartition, int] = {}
        """Partitions that are not fetched now, and the offset at which they go on."""
        self._bytes: dict[TopicPartition, int] = {}
        self.debezium = DebeziumReading(options.prefix)

    def records(self, topic: str, partition: int, first: int, last: int) -> Iterator[Any]:
        """The records from offset `first` through `last` that are still there."""
        where = TopicPartition(topic, partition)
        consumer = self._place(where, first)
        queue = self._queues[where]
        while True:
            while queue:
                if queue[0].offset > last:
                    return
                record = self._pop(where, queue)
                if record.offset >= first:
                    yield record
                if record.offset == last:
                    return
            self._give_back(consumer, where)
            idle_since_s = self._clock.monotonic()
            while not queue:
                with kafka_errors_of(self._options, f"topic {topic}"):
                    if consumer.position(where) > last:
                        return
                self._fill(consumer, where)
                if not queue and self._clock.monotonic() - idle_since_s > self._options.timeout_s:
                    raise BrokerUnreachable(
                        thing=f"topic {topic}",
                        reason=f"Kafka at {self._options.bootstrap} gave no records for {self._options.timeout_s:g} s",
                        mend="start the brokers or correct stream.kafka.bootstrap; reading goes on by itself",
                    )

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(timeout_ms=1000)
            self._consumer = None
        self._queues.clear()
        self._held.clear()

    def _place(self, where: TopicPartition, first: int) -> Any:
        """Make sure that the next records of the queue lead to `first`."""
        if self._consumer is None:
            self._consumer = open_consumer(self._options)
        consumer = self._consumer
        if where not in self._queues:
            with kafka_errors_of(self._options, f"topic {where.topic}"):
                partitions = consumer.partitions_for_topic(where.topic)
            if not partitions:
                raise LogNotFound(
                    thing=f"topic {where.topic}",
                    reason="was removed, but the transaction topic names rows in it",
                    mend="deprovision the stream and copy anew, or give the topic back",
                )
            self._queues[where], self._bytes[where] = deque(), 0
            self._held[where] = self._consumed[where] = first
            self._give_back(consumer, where)
            return consumer
        queue = self._queues[where]
        while queue and queue[0].offset < first:
            self._pop(where, queue)
        if first < self._consumed[where] or (not queue and first > self._consumed[where] + _WORTH_A_SEEK):
            queue.clear()
            self._bytes[where] = 0
            self._consumed[where] = first
            if where in self._held:
                self._held[where] = first
            else:
                consumer.seek(where, first)
        return consumer

    def _fill(self, consumer: Any, wanted: TopicPartition) -> None:
        """Poll once."""
        is_full = self._hold_back(consumer, wanted)
        with kafka_errors_of(self._options, f"topic {wanted.topic}"):
            polled = consumer.poll(timeout_ms=_POLL_MS, max_records=_POLLED_WHEN_FULL if is_full else _POLLED)
        for where, records in polled.items():
            self._queues[where].extend(records)
            self._bytes[where] += sum(map(_size, records))

    def _hold_back(self, consumer: Any, wanted: TopicPartition) -> bool:
        """When too much waits in memory (then True): fetch no more of the partitions that have most of it.

        Not `pause`: kafka-python 3.0 sets aside what it has parsed of a paused partition, may never give it out again,
        and fetches nothing more of that partition as long as it lies there.
        """
        if sum(map(len, self._queues.values())) <= _QUEUED and sum(self._bytes.values()) <= _QUEUED_BYTES:
            return False
        records, size = _QUEUED // len(self._queues), _QUEUED_BYTES // len(self._queues)
        held = {
            where: queue[-1].offset + 1
            for where, queue in self._queues.items()
            if where != wanted and where not in self._held and (len(queue) > records or self._bytes[where] > size)
        }
        if held:
            self._held |= held
            consumer.assign([where for where in self._queues if where not in self._held])
        return True

    def _give_back(self, consumer: Any, wanted: TopicPartition) -> None:
        """Fetch again what nothing waits of any more, and `wanted` in any case."""
        again = [where for where in self._held if where == wanted or not self._queues[where]]
        if again:
            offsets = {where: self._held.pop(where) for where in again}
            consumer.assign([where for where in self._queues if where not in self._held])
            for where, offset in offsets.items():
                consumer.seek(where, offset)

    def _pop(self, where: TopicPartition, queue: deque[Any]) -> Any:
        record = queue.popleft()
        self._bytes[where] -= _size(record)
        self._consumed[where] = record.offset + 1
        return record


class Relations:
    """The columns of every table version, by fingerprint; read again when one is missing."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._topic = Topics(prefix=options.prefix).relations
        self._known: dict[bytes, Relation] = {}

    def __call__(self, fingerprint: bytes) -> Relation:
        found = self._known.get(fingerprint)
        if found is None:
            self._load()
            found = self._known.get(fingerprint)
        if found is None:
            raise LogDamaged(
                thing=f"topic {self._topic}",
                reason=f"does not hold the columns of table version {fingerprint.hex()}",
                mend="its cleanup.policy has to be compact; deprovision the stream and copy anew",
            )
        return found

    def _load(self) -> None:
        partition = TopicPartition(self._topic, 0)
        consumer = open_consumer(self._options)
        try:
            consumer.assign([partition])
            with kafka_errors_of(self._options, f"topic {self._topic}"):
                begin = consumer.beginning_offsets([partition])[partition]
                end = consumer.end_offsets([partition])[partition]
                consumer.seek(partition, begin)
                idle_since_s = self._clock.monotonic()
                while consumer.position(partition) < end:
                    records = consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
                    for record in records:
                        if record.value is not None and record.key is not None:
                            self._known[bytes.fromhex(record.key.decode())] = decode_relation_record(record.value)
                    if not records and self._clock.monotonic() - idle_since_s > self._options.timeout_s:
                        break
        finally:
            consumer.close(timeout_ms=1000)


def events(
    reader: PartitionReader, end: End, where: Range, relation_of: Callable[[bytes], Relation]
) -> Iterator[IndexedChange]:
    """The events of one transaction in one partition, in order; what another session sent is passed over.

    Raises `PositionExpired` when some are gone: retention or compaction came first.
    """
    count = 0
    chunks: list[bytes] = []
    of_this = f"{end.commit_lsn}:".encode()
    of_session = f":{end.session}".encode()
    for record in reader.records(where.topic, where.partition, where.first, where.last):
        headers = record.headers
        if record.value is None or not headers or headers[0][0] != POSITION_HEADER:
            continue
        mark = headers[0][1]
        if not (mark.startswith(of_this) and mark.endswith(of_session)):
            continue
        value = record.value
        if len(headers) > 1:
            name, text = headers[1]
            if name == COPY_HEADER:
                continue
            if name == CHUNK_HEADER:
                number, chunk_count = map(int, text.split(b"/"))
                chunks = [*chunks, value] if number else [value]
                if number + 1 < chunk_count:
                    continue
                if len(chunks) != chunk_count:
                    raise _expired(end, where, "parts of a split event are gone")
                value, chunks = b"".join(chunks), []
        if is_debezium(value):
            change = reader.debezium.change(where.topic, record.key, value, dict(headers))
        else:
            change = decode_change(value, relation_of)
        yield unpack_position(mark).event, change
        count += 1
    if count != where.events:
        raise _expired(end, where, f"{where.events - count} of {where.events} events are gone")


def merged(reader: PartitionReader, end: End, relation_of: Callable[[bytes], Relation]) -> Iterator[IndexedChange]:
    """All events of a transaction in their order."""
    ranges = [events(reader, end, where, relation_of) for where in end.ranges]
    return ranges[0] if len(ranges) == 1 else heapq.merge(*ranges, key=lambda each: each[0])


class KafkaChanges(Collection[Change]):
    """The changes of a huge transaction, read from the topics each time they are iterated."""

    def __init__(self, options: KafkaOptions, clock: Clock, end: End, relation_of: Callable[[bytes], Relation]) -> None:
        self._options, self._clock, self._end, self._relation_of = options, clock, end, relation_of

    def __len__(self) -> int:
        return self._end.events

    def __contains__(self, change: object) -> bool:
        return any(change == each for each in self)

    def __iter__(self) -> Iterator[Change]:
        reader = PartitionReader(self._options, self._clock)
        try:
            for _, change in merged(reader, self._end, self._relation_of):
                yield change
        finally:
            reader.close()


def _expired(end: End, where: Range, reason: str) -> PositionExpired:
    return PositionExpired(
        thing=f"topic {where.topic}",
        reason=f"partition {where.partition}: {reason} of the transaction at {end.commit_lsn:#x}: retention or "
        "compaction of the topic came before the reader",
        mend="this reader has to start over from a new copy; keep cleanup.policy=delete and retention.ms=-1 on the "
        "topics that it reads, the appender trims them itself",
    )


def _size(record: Any) -> int:
    return 0 if record.value is None else len(record.value)
