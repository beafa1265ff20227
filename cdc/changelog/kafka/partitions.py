"""Rows out of the table topics: one consumer, bounded queues, the ranges that an END names."""

import heapq
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from kafka import TopicPartition

from cdc.changelog.kafka.connection import kafka_errors_of, open_consumer
from cdc.changelog.kafka.debezium_form import DebeziumReading, is_debezium
from cdc.changelog.kafka.fetching import Batch, fetched, open_batch_consumer
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.record_batch import Record
from cdc.changelog.kafka.records import (
    CHUNK_HEADER,
    COPY_HEADER,
    End,
    Range,
    decode_change,
    decode_inserts,
    decode_relation_record,
    is_as_sent,
    same_table,
    unpack_position,
)
from cdc.errors import BrokerUnreachable, LogDamaged, LogNotFound, PositionExpired
from cdc.events import Change, Relation
from cdc.insert_run import MOST_RUN_BYTES, ChangesInRuns, Run
from strangler.clock import Clock

_POLL_MS: Final = 250
_QUEUED_BYTES: Final = 16 << 20
"""That may wait in memory before the partitions with more than their share of it are held back."""
_BATCH_OVERHEAD_BYTES: Final = 512
_POLLED: Final = 2000
_POLLED_WHEN_FULL: Final = 16
"""Batches. Each partition may add one poll to what waits already: it is wanted next, and nothing of it is there."""
_WORTH_A_SEEK: Final = 5000

Indexed = tuple[int, Change | bytes]
"""An event's number in its transaction, and the event; as bytes, a row that the source sent."""
_offset = itemgetter(0)


class _Waiting:
    """Of one partition: batches that were fetched, and the records of the one that is being read."""

    __slots__ = ("_at", "_records", "_through", "batches", "bytes", "consumed")

    def __init__(self, first: int) -> None:
        self.batches: deque[Batch] = deque()
        self.bytes = 0
        self.consumed = first
        self._records: list[Record] = []
        self._at = 0
        self._through = -1

    def add(self, batches: Sequence[Batch]) -> None:
        self.batches += batches
        self.bytes += sum(map(_size, batches))

    def place(self, first: int) -> bool:
        """Go to offset `first`. False when what is here does not lead to it."""
        if self._records and self._records[0][0] <= first <= self._through:
            self._at = bisect_left(self._records, first, key=_offset)
            return True
        if first < self.consumed:
            return False
        self._records, self._at = [], 0
        while self.batches and self.batches[0].offset < first:
            self._pop()
        return bool(self.batches) or first <= self.consumed + _WORTH_A_SEEK

    def restart(self, first: int) -> None:
        """Nothing is here any more; `first` comes next."""
        self.batches.clear()
        self.bytes, self.consumed = 0, first
        self._records, self._at, self._through = [], 0, -1

    def take(self, first: int, last: int) -> tuple[Sequence[Record], bool]:
        """What is here of the offsets `first` through `last`, out of one batch; whether more of them may come."""
        if self._at >= len(self._records):
            if not self.batches:
                return (), True
            batch = self._pop()
            self._records, self._through = list(batch.records()), batch.offset
            self._at = bisect_left(self._records, first, key=_offset)
        end = bisect_right(self._records, last, lo=self._at, key=_offset)
        found, self._at = self._records[self._at : end], end
        if found:
            self.consumed = found[-1][0] + 1
        return found, self._through < last

    def _pop(self) -> Batch:
        batch = self.batches.popleft()
        self.bytes -= _size(batch)
        self.consumed = batch.offset + 1
        return batch


class PartitionReader:
    """Reads ranges of partitions, mostly forward. Not to be used by two threads at a time."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._consumer: Any = None
        self._waiting: dict[TopicPartition, _Waiting] = {}
        self._held: dict[TopicPartition, int] = {}
        """Partitions that are not fetched now, and the offset at which they go on."""
        self.debezium = DebeziumReading(options.prefix)

    def records(self, topic: str, partition: int, first: int, last: int) -> Iterator[Sequence[Record]]:
        """The records from offset `first` through `last` that are still there, some at a time."""
        where = TopicPartition(topic, partition)
        consumer = self._place(where, first)
        waiting = self._waiting[where]
        idle_since_s = self._clock.monotonic()
        while True:
            found, may_come = waiting.take(first, last)
            if found:
                yield found
            if not may_come:
                return
            if found or waiting.batches:
                idle_since_s = self._clock.monotonic()
                continue
            self._give_back(consumer, where)
            with kafka_errors_of(self._options, f"topic {topic}"):
                if consumer.position(where) > last:
                    return
            self._fill(consumer, where)
            if not waiting.batches and self._clock.monotonic() - idle_since_s > self._options.timeout_s:
                raise BrokerUnreachable(
                    thing=f"topic {topic}",
                    reason=f"Kafka at {self._options.bootstrap} gave no records for {self._options.timeout_s:g} s",
                    mend="start the brokers or correct stream.kafka.bootstrap; reading goes on by itself",
                )

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(timeout_ms=1000)
            self._consumer = None
        self._waiting.clear()
        self._held.clear()

    def _place(self, where: TopicPartition, first: int) -> Any:
        """Make sure that the next records that wait lead to `first`."""
        if self._consumer is None:
            self._consumer = open_batch_consumer(self._options)
        consumer = self._consumer
        waiting = self._waiting.get(where)
        if waiting is None:
            with kafka_errors_of(self._options, f"topic {where.topic}"):
                partitions = consumer.partitions_for_topic(where.topic)
            if not partitions:
                raise LogNotFound(
                    thing=f"topic {where.topic}",
                    reason="was removed, but the transaction topic names rows in it",
                    mend="deprovision the stream and copy anew, or give the topic back",
                )
            self._waiting[where] = _Waiting(first)
            self._held[where] = first
            self._give_back(consumer, where)
        elif not waiting.place(first):
            waiting.restart(first)
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
            self._waiting[where].add([fetched(record) for record in records])

    def _hold_back(self, consumer: Any, wanted: TopicPartition) -> bool:
        """When too much waits in memory (then True): fetch no more of the partitions that have most of it.

        Not `pause`: kafka-python 3.0 sets aside what it has parsed of a paused partition, may never give it out again,
        and fetches nothing more of that partition as long as it lies there.
        """
        if sum(waiting.bytes for waiting in self._waiting.values()) <= _QUEUED_BYTES:
            return False
        share = _QUEUED_BYTES // len(self._waiting)
        held = {
            where: waiting.batches[-1].offset + 1
            for where, waiting in self._waiting.items()
            if where != wanted and where not in self._held and waiting.bytes > share
        }
        if held:
            self._held |= held
            consumer.assign([where for where in self._waiting if where not in self._held])
        return True

    def _give_back(self, consumer: Any, wanted: TopicPartition) -> None:
        """Fetch again what nothing waits of any more, and `wanted` in any case."""
        again = [where for where in self._held if where == wanted or not self._waiting[where].batches]
        if again:
            offsets = {where: self._held.pop(where) for where in again}
            consumer.assign([where for where in self._waiting if where not in self._held])
            for where, offset in offsets.items():
                consumer.seek(where, offset)


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
) -> Iterator[Indexed]:
    """The events of one transaction in one partition, in order; what another session sent is passed over.

    Raises `PositionExpired` when some are gone: retention or compaction came first.
    """
    count = 0
    chunks: list[bytes] = []
    of_this = f"{end.commit_lsn}:".encode()
    of_session = f":{end.session}".encode()
    before, after = len(of_this), -len(of_session)
    for records in reader.records(where.topic, where.partition, where.first, where.last):
        for _, key, value, mark, headers in records:
            if value is None or mark is None or not (mark.startswith(of_this) and mark.endswith(of_session)):
                continue
            if headers:
                name, text = headers[0]
                if name == COPY_HEADER:
                    continue
                if name == CHUNK_HEADER and text is not None:
                    number, chunk_count = map(int, text.split(b"/"))
                    chunks = [*chunks, value] if number else [value]
                    if number + 1 < chunk_count:
                        continue
                    if len(chunks) != chunk_count:
                        raise _expired(end, where, "parts of a split event are gone")
                    value, chunks = b"".join(chunks), []
            count += 1
            if is_as_sent(value):
                yield int(mark[before:after]), value
            elif is_debezium(value):
                named = {name: text for name, text in headers if text is not None}
                yield unpack_position(mark).event, reader.debezium.change(where.topic, key, value, named)
            else:
                yield unpack_position(mark).event, decode_change(value, relation_of)
    if count != where.events:
        raise _expired(end, where, f"{where.events - count} of {where.events} events are gone")


def merged(reader: PartitionReader, end: End, relation_of: Callable[[bytes], Relation]) -> Iterator[Change | Run]:
    """All events of a transaction in their order, neighbouring rows that the source sent as runs."""
    ranges = [events(reader, end, where, relation_of) for where in end.ranges]
    ordered = ranges[0] if len(ranges) == 1 else heapq.merge(*ranges, key=_offset)
    return _in_runs((event for _, event in ordered), relation_of)


def _in_runs(found: Iterable[Change | bytes], relation_of: Callable[[bytes], Relation]) -> Iterator[Change | Run]:
    rows: list[bytes] = []
    size = 0
    for event in found:
        if isinstance(event, bytes):
            if rows and (size >= MOST_RUN_BYTES or not same_table(rows[0], event)):
                yield from _run(rows, relation_of)
                rows, size = [], 0
            rows.append(event)
            size += len(event)
            continue
        if rows:
            yield from _run(rows, relation_of)
            rows, size = [], 0
        yield event
        # A large value may be the only one that there is room for.
        del event
    if rows:
        yield from _run(rows, relation_of)


def _run(rows: Sequence[bytes], relation_of: Callable[[bytes], Relation]) -> Sequence[Change | Run]:
    found = decode_inserts(rows, relation_of)
    return (found,) if isinstance(found, Run) else found


class KafkaChanges(ChangesInRuns):
    """The changes of a huge transaction, read from the topics each time they are iterated."""

    def __init__(self, options: KafkaOptions, clock: Clock, end: End, relation_of: Callable[[bytes], Relation]) -> None:
        self._options, self._clock, self._end, self._relation_of = options, clock, end, relation_of

    def __len__(self) -> int:
        return self._end.events

    def runs(self) -> Iterator[Change | Run]:
        reader = PartitionReader(self._options, self._clock)
        try:
            yield from merged(reader, self._end, self._relation_of)
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


def _size(batch: Batch) -> int:
    return batch.size + _BATCH_OVERHEAD_BYTES
