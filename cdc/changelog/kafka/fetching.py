"""What the readers take records with: whole batches out of kafka-python's consumer.

A record of `KafkaConsumer.poll` costs some twenty objects and calls. The library fetches, checks and keeps its place as
ever, but gives each batch out as the bytes it came in (`record_batch.read_records`). Where it is not what it was when
this was written, its records are taken one by one.
"""

from collections.abc import Iterator
from typing import Any, Final

from kafka import errors as kafka_errors

from cdc.changelog.kafka.connection import open_consumer
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.record_batch import Record, read_records
from cdc.changelog.kafka.records import POSITION_HEADER

_LONGEST_WAIT_MS: Final = 50
"""The broker holds a fetch back so long when there is nothing new. A reader asks only for what is there, but a fetch
that it has no more use for has to end before the next one can begin."""


class Fetched:
    """One batch. `offset`: of its last record, by which the library sees whether it was asked for. `size`: bytes."""

    __slots__ = ("_base_offset", "_count", "_data", "offset", "size")

    def __init__(self, data: bytes, base_offset: int, last_offset: int, count: int) -> None:
        self._data, self._base_offset, self._count = data, base_offset, count
        self.offset, self.size = last_offset, len(data)

    def records(self) -> Iterator[Record]:
        return read_records(self._data, self._base_offset, self._count)


class FetchedRecord:
    """A record that the library has read, as a batch of one."""

    __slots__ = ("_record", "offset", "size")

    def __init__(self, record: Any) -> None:
        self._record = record
        self.offset, self.size = record.offset, len(record.value or b"")

    def records(self) -> Iterator[Record]:
        record = self._record
        headers = tuple(record.headers or ())
        position = headers[0][1] if headers and headers[0][0] == POSITION_HEADER else None
        yield Record(record.offset, record.key, record.value, position, headers if position is None else headers[1:])


Batch = Fetched | FetchedRecord


def open_batch_consumer(options: KafkaOptions, **more: Any) -> Any:
    """A consumer without a group whose `poll` gives `Fetched`, or, at worst, records for `fetched`."""
    consumer = open_consumer(options, fetch_max_wait_ms=_LONGEST_WAIT_MS, **more)
    fetcher: Any = getattr(consumer, "_fetcher", None)
    reading = getattr(fetcher, "PartitionRecords", None)
    if hasattr(reading, "_unpack_records"):
        fetcher.PartitionRecords = _batches_of(reading)
    return consumer


def fetched(record: Any) -> Batch:
    """What `poll` gave."""
    return record if isinstance(record, Fetched) else FetchedRecord(record)


def _batches_of(reading: Any) -> Any:
    class Batches(reading):  # type: ignore[misc]
        """Gives out batches instead of records."""

        def _unpack_records(self, where: Any, records: Any, *_: Any) -> Iterator[Any]:
            last: Any = None
            batch = records.next_batch()
            while batch is not None:
                if self.check_crcs and not batch.validate_crc():
                    raise kafka_errors.CorruptRecordError(f"batch at offset {batch.base_offset} of {where}")
                last = batch
                if batch.magic == 2:
                    self.leader_epoch = batch.leader_epoch
                if batch.magic != 2 or not batch.is_control_batch:
                    yield from self._given_out(batch)
                batch = records.next_batch()
            if last is not None and last.magic == 2:
                self.next_fetch_offset = last.next_offset
            self.drain()

        def _given_out(self, batch: Any) -> Iterator[Any]:
            if batch.magic != 2:
                raise kafka_errors.UnsupportedForMessageFormatError("records older than format 2")
            iter(batch)
            found = Fetched(
                bytes(memoryview(batch._buffer)[batch._pos :]),
                batch.base_offset,
                batch.last_offset,
                batch.records_count,
            )
            self.records_read += batch.records_count
            self.bytes_read += found.size
            self.next_fetch_offset = batch.next_offset
            yield found

    return Batches
