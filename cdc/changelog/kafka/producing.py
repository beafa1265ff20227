"""What the appender sends records with: whole batches of kafka-python's producer, or record by record.

A record of `KafkaProducer.send` costs a dozen objects and calls. `BatchProducer` writes the batches itself
(`record_batch`) and hands each one to the library's queue, which numbers, sends and sends again as ever. Where that
queue is not what it was when this was written, `RecordProducer` sends record by record.
"""

import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

import google_crc32c
from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.codec import gzip_encode, zstd_encode
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch

from cdc.changelog.kafka.accelerated import AcceleratedProducer
from cdc.changelog.kafka.connection import kafka_errors_of, open_producer
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.record_batch import BATCH_HEADER_BYTES, RecordWriter
from cdc.changelog.kafka.records import POSITION_HEADER, Header, RowPositions

_BATCH_BYTES: Final = 512 << 10
_UNDER_WAY_BYTES: Final = 16 << 20
"""So much may be on its way to the brokers."""
_MOST_OPEN: Final = 32
"""Partitions whose batches fill at the same time."""

Where = tuple[str, int]


class Place(Protocol):
    """A record that was sent. `offset`: what the broker gave it, once `settle` has returned."""

    @property
    def offset(self) -> int: ...


class AppendingProducer(Protocol):
    """Idempotent, acknowledged by all replicas in sync, order kept in each partition. Belongs to one thread.

    Raises kafka-python's errors; after one it is to be closed.
    """

    def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header], partition: int
    ) -> Place: ...

    def send_rows(
        self, where: Where, keys: Sequence[bytes | None], values: Sequence[bytes], positions: RowPositions
    ) -> tuple[Place, Place]:
        """One record each, with the header that names it; the first and the last one."""
        ...

    def settle(self, timeout_s: float) -> None:
        """Until everything sent is durable. Raises when anything is not."""
        ...

    def close(self, timeout: float) -> None:
        """What was not acknowledged by then is dropped."""
        ...


def open_appending(options: KafkaOptions, message_bytes: int) -> AppendingProducer:
    """`message_bytes`: of the largest value that the brokers take."""
    if options.client == "confluent":
        return AcceleratedProducer(options, message_bytes)
    producer = open_producer(options, message_bytes)
    if _queue_is_known(producer):
        return BatchProducer(producer, options, message_bytes)
    return RecordProducer(producer, options)


class BatchProducer:
    """See `AppendingProducer`."""

    def __init__(self, producer: Any, options: KafkaOptions, message_bytes: int) -> None:
        self._producer, self._options = producer, options
        self._accumulator, self._sender = producer._accumulator, producer._sender
        self._limit = min(_BATCH_BYTES, message_bytes)
        self._open: dict[Where, _Batch] = {}
        self._handed: deque[_Batch] = deque()
        self._under_way = 0

    def send(self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header], partition: int) -> Place:
        where = topic, partition
        batch = self._batch(where)
        if not batch.writer.add(key, value, headers):
            batch = self._next(where)
            batch.writer.add(key, value, headers)
        return _InBatch(batch, batch.writer.count - 1)

    def send_rows(
        self, where: Where, keys: Sequence[bytes | None], values: Sequence[bytes], positions: RowPositions
    ) -> tuple[Place, Place]:
        first: Place | None = None
        at, count = 0, len(values)
        while True:
            batch = self._batch(where)
            before = batch.writer.count
            start, at = at, batch.writer.add_rows(keys, values, positions.events, at, positions.before, positions.after)
            if first is None and at > start:
                first = _InBatch(batch, before)
            if at == count:
                assert first is not None
                return first, _InBatch(batch, batch.writer.count - 1)
            self._next(where)

    def settle(self, timeout_s: float) -> None:
        self._hand_over(*self._open)
        deadline_s = time.monotonic() + timeout_s
        while self._handed:
            self._await_oldest(deadline_s)

    def close(self, timeout: float) -> None:
        self._open.clear()
        self._handed.clear()
        self._producer.close(timeout=timeout)

    def _batch(self, where: Where) -> "_Batch":
        batch = self._open.get(where)
        if batch is None:
            if len(self._open) >= _MOST_OPEN:
                self._hand_over(*self._open)
                self._make_room()
            batch = self._open[where] = _Batch(where, self._limit)
        return batch

    def _next(self, where: Where) -> "_Batch":
        """The batch is full: send it, and begin the one after it."""
        self._hand_over(where)
        self._make_room()
        return self._batch(where)

    def _make_room(self) -> None:
        deadline_s = time.monotonic() + self._options.timeout_s
        while self._under_way > _UNDER_WAY_BYTES:
            self._await_oldest(deadline_s)

    def _hand_over(self, *places: Where) -> None:
        """Into the library's queue, all before it looks, so that few requests carry them."""
        accumulator = self._accumulator
        for where in places:
            batch = self._open.pop(where)
            with kafka_errors_of(self._options, f"topic {where[0]}"):
                self._producer.partitions_for(where[0])
            sealed = batch.seal(accumulator.config["compression_attrs"])
            with accumulator._tp_lock(sealed.topic_partition):
                accumulator._batches[sealed.topic_partition].append(sealed)
                accumulator._incomplete.add(sealed)
            self._handed.append(batch)
            self._under_way += batch.writer.size
        self._sender.wakeup()

    def _await_oldest(self, deadline_s: float) -> None:
        batch = self._handed[0]
        batch.wait(deadline_s)
        self._under_way -= batch.writer.size
        self._handed.popleft()


class _Batch:
    """The records of one batch while they come, then what became of it."""

    __slots__ = ("_base_offset", "_futures", "_made_at_ms", "_produced", "_where", "writer")

    def __init__(self, where: Where, limit: int) -> None:
        self._where = TopicPartition(*where)
        self.writer = RecordWriter(limit)
        self._made_at_ms = int(time.time() * 1000)
        self._base_offset = -1
        self._produced: Any = None
        self._futures: _Futures | None = None

    def seal(self, compression: int) -> Any:
        """As the library's queue holds it; this keeps of it only what is told about it."""
        sealed = ProducerBatch(self._where, _WrittenRecords(self.writer, self._made_at_ms, compression))
        self._produced = sealed.produce_future
        self._futures = sealed._record_futures = _Futures(self._produced, self.writer.count)
        return sealed

    def wait(self, deadline_s: float) -> None:
        """Until the brokers have it. Raises what kept them from it."""
        produced, futures = self._produced, self._futures
        assert futures is not None
        left_s = deadline_s - time.monotonic()
        if not produced.is_done and (left_s <= 0 or not produced.wait(left_s)):
            raise kafka_errors.KafkaTimeoutError("records were not acknowledged in time")
        if produced.is_done:
            self._base_offset, _, failure = produced.value
            if failure is not None:
                raise failure(0)
            if self._base_offset < 0:
                # What a broker says of a batch that it had long ago: it is there, but no END could name it.
                raise kafka_errors.KafkaTimeoutError("records were acknowledged without their offset")
            return
        for number in range(self.writer.count):
            # Split in two by the library, and each record has a batch of its own to wait for.
            futures[number].get(timeout=max(0.0, deadline_s - time.monotonic()))

    def offset(self, number: int) -> int:
        """Of a record, after `wait`."""
        assert self._futures is not None
        return int(self._futures[number].value.offset if self._base_offset < 0 else self._base_offset + number)


class _InBatch:
    """See `Place`."""

    __slots__ = ("_batch", "_number")

    def __init__(self, batch: _Batch, number: int) -> None:
        self._batch, self._number = batch, number

    @property
    def offset(self) -> int:
        return self._batch.offset(self._number)


class _Futures:
    """The futures of a batch's records. The library asks for them when it splits a batch that is too large."""

    def __init__(self, produced: Any, count: int) -> None:
        self._produced, self._count = produced, count
        self._lock = threading.Lock()
        self._made: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Any:
        with self._lock:
            if number not in self._made:
                self._made[number] = FutureRecordMetadata(self._produced, number, None, None, -1, -1, -1)
            return self._made[number]


class _WrittenRecords:
    """What the library's queue asks of a batch (`kafka.record.MemoryRecordsBuilder`), over records already written."""

    _HEADER: Final = struct.Struct(">qiibIhiqqqhii")
    _CHECKED_FROM: Final = struct.calcsize(">qiibI")
    _CHECKSUM_AT: Final = struct.calcsize(">qiib")
    _AFTER_LENGTH: Final = struct.calcsize(">qi")
    _ENCODERS: Final = {1: gzip_encode, 4: zstd_encode}

    def __init__(self, writer: RecordWriter, made_at_ms: int, compression: int) -> None:
        self._writer, self._made_at_ms, self._compression = writer, made_at_ms, compression
        self._state = (-1, -1, -1, False)
        self._buffer: bytearray | None = None

    @property
    def producer_id(self) -> int:
        return self._state[0]

    @property
    def producer_epoch(self) -> int:
        return self._state[1]

    @property
    def base_sequence(self) -> int:
        return self._state[2]

    def append(self, timestamp: Any, key: Any, value: Any, headers: Any = None) -> None:
        """There is never room for another record."""

    def set_producer_state(self, producer_id: int, epoch: int, sequence: int, is_transactional: bool) -> None:
        if self._buffer is not None:
            raise kafka_errors.IllegalStateError("a closed batch keeps its producer")
        self._state = producer_id, epoch, sequence, is_transactional

    def close(self) -> None:
        """May be called again."""
        if self._buffer is not None:
            return
        records, attributes = self._writer.take(), 0
        if self._compression:
            compressed = self._ENCODERS[self._compression](records)
            if len(compressed) < len(records):
                records, attributes = compressed, self._compression
        producer, epoch, sequence, _ = self._state
        count, made_at_ms = self._writer.count, self._made_at_ms
        length = BATCH_HEADER_BYTES - self._AFTER_LENGTH + len(records)
        header = bytearray(
            self._HEADER.pack(
                0, length, 0, 2, 0, attributes, count - 1, made_at_ms, made_at_ms, producer, epoch, sequence, count
            )
        )
        checked = google_crc32c.extend(google_crc32c.value(bytes(header[self._CHECKED_FROM :])), records)
        struct.pack_into(">I", header, self._CHECKSUM_AT, checked)
        self._buffer = header + records

    def size_in_bytes(self) -> int:
        return self._writer.size if self._buffer is None else len(self._buffer)

    def compression_rate(self) -> float:
        return self.size_in_bytes() / self._writer.size

    def is_full(self) -> bool:
        return True

    def next_offset(self) -> int:
        return self._writer.count

    def buffer(self) -> bytearray:
        assert self._buffer is not None
        return self._buffer


class RecordProducer:
    """See `AppendingProducer`: kafka-python's own, record by record."""

    def __init__(self, producer: Any, options: KafkaOptions) -> None:
        self._producer, self._options = producer, options
        self._failures: list[BaseException] = []
        self._marks: deque[Any] = deque()
        self._unmarked = 0

    def send(self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header], partition: int) -> Place:
        future = self._producer.send(topic, value, key, headers, partition)
        future.add_errback(self._failures.append)
        self._unmarked += 256 + (0 if value is None else len(value))
        if self._unmarked >= _UNDER_WAY_BYTES // 16:
            self._unmarked = 0
            self._marks.append(future)
            if len(self._marks) > 16:
                self._marks.popleft().get(timeout=self._options.timeout_s)
        return _Future(future)

    def send_rows(
        self, where: Where, keys: Sequence[bytes | None], values: Sequence[bytes], positions: RowPositions
    ) -> tuple[Place, Place]:
        places = [
            self.send(where[0], value, key, [(POSITION_HEADER, positions[row])], where[1])
            for row, (key, value) in enumerate(zip(keys, values, strict=True))
        ]
        return places[0], places[-1]

    def settle(self, timeout_s: float) -> None:
        self._producer.flush(timeout=timeout_s)
        self._marks.clear()
        if self._failures:
            raise self._failures[0]

    def close(self, timeout: float) -> None:
        self._producer.close(timeout=timeout)


class _Future:
    """See `Place`."""

    __slots__ = ("_future",)

    def __init__(self, future: Any) -> None:
        self._future = future

    @property
    def offset(self) -> int:
        return int(self._future.value.offset)


def _queue_is_known(producer: Any) -> bool:
    """What is used of the library besides its public face."""
    accumulator = getattr(producer, "_accumulator", None)
    return (
        all(hasattr(accumulator, name) for name in ("_tp_lock", "_batches", "_incomplete"))
        and "compression_attrs" in getattr(accumulator, "config", {})
        and hasattr(getattr(producer, "_sender", None), "wakeup")
        and producer.config.get("api_version", (0,)) >= (0, 11)
    )
