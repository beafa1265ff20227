"""The transaction topic, read: where the log begins and ends, and every END between."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from kafka import TopicPartition

from cdc.changelog.kafka.connection import kafka_errors_of
from cdc.changelog.kafka.fetching import fetched, open_batch_consumer
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.records import End, JournalEntry, Start, decode_journal
from cdc.errors import BrokerUnreachable, LogNotFound
from cdc.lsn import ZERO, Lsn
from strangler.clock import Clock

_POLL_MS: Final = 250
_TAIL: Final = 256
_LINEAR: Final = 4096
"""Records that are read through rather than searched."""


class Journal:
    """One reader of one stream's transaction topic. Not to be used by two threads at a time."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._partition = TopicPartition(Topics(prefix=options.prefix).transaction, 0)
        self._consumer: Any = None
        self._queue: deque[tuple[int, bytes | None]] = deque()
        self._next = -1

    @property
    def thing(self) -> str:
        return f"change log {self._options.prefix} in Kafka"

    def bounds(self) -> tuple[int, int]:
        """(first offset, offset after the last). Raises `LogNotFound` without the topic."""
        consumer = self._open()
        with kafka_errors_of(self._options, self.thing):
            begin = consumer.beginning_offsets([self._partition])[self._partition]
            return begin, consumer.end_offsets([self._partition])[self._partition]

    def entries(self, start: int, end: int) -> Iterator[tuple[int, JournalEntry]]:
        """Ours from offset `start` to before `end`, which must be there: it is waited for."""
        for offset, value in self._records(start, end):
            entry = decode_journal(value)
            if entry is not None:
                yield offset, entry

    def first_lsn(self) -> Lsn:
        """What lies up to this position may be missing."""
        begin, end = self.bounds()
        first = ZERO
        for _, entry in self.entries(begin, end):
            if isinstance(entry, End):
                return Lsn(entry.previous)
            if isinstance(entry, Start):
                first = Lsn(max(first, entry.position))
        return first

    def last_lsn(self, through: int | None = None) -> tuple[Lsn, bool]:
        """(position of the newest transaction or, without one, where the log was started; whether there is one).

        `through`: look no further than this offset.
        """
        begin, end = self.bounds()
        end = end if through is None else through
        window = _TAIL
        while True:
            start = max(begin, end - window)
            ends, starts = [ZERO], [ZERO]
            for _, entry in self.entries(start, end):
                if isinstance(entry, End):
                    ends.append(Lsn(entry.commit_lsn))
                elif isinstance(entry, Start):
                    starts.append(Lsn(entry.position))
            if len(ends) > 1 or start == begin:
                return max(ends) if len(ends) > 1 else max(starts), len(ends) > 1
            window *= 16

    def search(self, after: Lsn, begin: int, end: int) -> int:
        """An offset from which on every transaction later than `after` has its END, most likely.

        Positions rise with offsets but where two appenders overlapped for a moment, so the caller checks that the first
        transaction follows on what it has, and reads from the beginning where it does not.
        """
        while end - begin > _LINEAR:
            middle = (begin + end) // 2
            found = self._first_end(middle, end)
            if found is not None and found[1] <= after:
                begin = found[0]
            else:
                end = middle
        return begin

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close(timeout_ms=1000)
            self._consumer = None

    def _first_end(self, start: int, end: int) -> tuple[int, int] | None:
        for offset, entry in self.entries(start, end):
            if isinstance(entry, End):
                return offset, entry.commit_lsn
        return None

    def _records(self, start: int, end: int) -> Iterator[tuple[int, bytes | None]]:
        if start >= end:
            return
        consumer = self._open()
        if not self._queue or self._queue[0][0] != start:
            self._queue.clear()
            if self._next != start:
                consumer.seek(self._partition, start)
                self._next = start
        idle_since_s = self._clock.monotonic()
        while True:
            while self._queue:
                if self._queue[0][0] >= end:
                    return
                offset, value = self._queue.popleft()
                yield offset, value
                if offset == end - 1:
                    return
            if self._next >= end:
                return
            if self._fill(consumer):
                idle_since_s = self._clock.monotonic()
            elif self._clock.monotonic() - idle_since_s > self._options.timeout_s:
                raise self._silent()

    def _fill(self, consumer: Any) -> bool:
        with kafka_errors_of(self._options, self.thing):
            polled = consumer.poll(timeout_ms=_POLL_MS, max_records=5000).get(self._partition, [])
        for each in polled:
            batch = fetched(each)
            self._queue.extend((offset, value) for offset, _, value, _, _ in batch.records() if offset >= self._next)
            self._next = batch.offset + 1
        return bool(polled)

    def _open(self) -> Any:
        if self._consumer is None:
            topic = self._partition.topic
            consumer = open_batch_consumer(self._options)
            with kafka_errors_of(self._options, self.thing):
                partitions = consumer.partitions_for_topic(topic)
            if not partitions:
                consumer.close(timeout_ms=1000)
                raise LogNotFound(
                    thing=self.thing,
                    reason=f"there is no topic {topic} at {self._options.bootstrap}",
                    mend="start the stream worker first, or correct stream.kafka.topic_prefix and bootstrap",
                )
            self._consumer = consumer
            self._consumer.assign([self._partition])
            self._queue.clear()
            self._next = -1
        return self._consumer

    def _silent(self) -> BrokerUnreachable:
        return BrokerUnreachable(
            thing=self.thing,
            reason=f"Kafka at {self._options.bootstrap} gave no records for {self._options.timeout_s:g} s",
            mend="start the brokers or correct stream.kafka.bootstrap; reading goes on by itself",
        )
