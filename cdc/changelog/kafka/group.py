"""Row events for other consumers: consumer groups over the table topics.

Order is kept per key. Delivery is at least once across crashes and rebalances, and an event's identity
(`commit_lsn`, `event`) says what came again: with each committed offset goes the newest identity of its partition, so
that whoever takes a partition over passes over what an appender sent twice. Our own applier never reads this way: its
position is in the target's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from cdc.changelog.kafka.connection import kafka_errors_of, open_consumer
from cdc.changelog.kafka.debezium_form import DebeziumReading, is_debezium
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.partitions import Relations
from cdc.changelog.kafka.records import CHUNK_HEADER, COPY_HEADER, POSITION_HEADER, decode_change, unpack_position
from cdc.events import Change, TableName
from cdc.lsn import Lsn
from strangler.clock import Clock, SystemClock

_REBALANCED: Final = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)

Identity = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupEvent:
    """One change out of one partition. `is_marker`: a copy that stands in every partition (a barrier, a truncate)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    commit_lsn: Lsn
    event: int
    change: Change
    is_marker: bool = False

    @property
    def identity(self) -> Identity:
        return self.commit_lsn, self.event


class GroupReader(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of a consumer group. A context manager; belongs to one thread."""

    def __init__(
        self,
        options: KafkaOptions,
        *,
        group: str,
        tables: Sequence[TableName],
        clock: Clock | None = None,
        session_timeout_s: float = 45.0,
    ) -> None:
        self._options, self._relations = options, Relations(options, clock or SystemClock())
        self._newest: dict[TopicPartition, tuple[int, int, int]] = {}
        self._read: dict[TopicPartition, int] = {}
        self._debezium = DebeziumReading(options.prefix)
        self._chunks: dict[TopicPartition, list[bytes]] = {}
        self._consumer = open_consumer(
            options,
            group=group,
            auto_offset_reset="earliest",
            session_timeout_ms=int(session_timeout_s * 1000),
            heartbeat_interval_ms=int(session_timeout_s * 1000 / 6),
        )
        self._consumer.subscribe(list(Topics(prefix=options.prefix).tables(tables)), listener=self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def poll(self, timeout_s: float, most: int = 500) -> list[GroupEvent]:
        """The next events of the partitions that this member has now, repeats left out; may be empty."""
        with kafka_errors_of(self._options, f"consumer group of {self._options.prefix}"):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=most)
        found = []
        for where, records in polled.items():
            for record in records:
                event = self._event(where, record)
                if event is not None:
                    found.append(event)
        return found

    def commit(self) -> bool:
        """Everything that `poll` has given is done. False after a rebalance took partitions: their events come again
        to whoever has them now, with the same identities."""
        offsets = {
            where: OffsetAndMetadata(offset, "{}:{}:{}".format(*self._newest.get(where, (0, 0, 0))), -1)
            for where, offset in self._read.items()
        }
        if not offsets:
            return True
        try:
            with kafka_errors_of(self._options, f"consumer group of {self._options.prefix}"):
                try:
                    self._consumer.commit(offsets)
                except _REBALANCED:
                    return False
        finally:
            self._read.clear()
        return True

    @property
    def partitions(self) -> frozenset[tuple[str, int]]:
        """What this member has now."""
        return frozenset((where.topic, where.partition) for where in self._consumer.assignment())

    def close(self) -> None:
        self._consumer.close(timeout_ms=2000)

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Called by the client inside `poll`: what was not committed is somebody else's now."""
        for where in revoked:
            self._read.pop(where, None)
            self._newest.pop(where, None)
            self._chunks.pop(where, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        """Called by the client inside `poll`."""

    def _event(self, where: TopicPartition, record: Any) -> GroupEvent | None:
        headers = dict(record.headers or ())
        if record.value is None or POSITION_HEADER not in headers:
            self._read[where] = record.offset + 1
            return None
        value: bytes = record.value
        if CHUNK_HEADER in headers:
            number, count = map(int, headers[CHUNK_HEADER].split(b"/"))
            chunks = self._chunks.setdefault(where, [])
            if number == 0:
                chunks.clear()
            chunks.append(value)
            if number + 1 < count:
                return None
            value = b"".join(self._chunks.pop(where))
        self._read[where] = record.offset + 1
        position = unpack_position(headers[POSITION_HEADER])
        identity = (position.commit_lsn, position.event, position.session)
        newest = self._newest_of(where)
        if identity[:2] < newest[:2] or (identity[:2] == newest[:2] and identity[2] != newest[2]):
            return None
        self._newest[where] = identity
        return GroupEvent(
            topic=where.topic,
            partition=where.partition,
            offset=record.offset,
            key=record.key,
            commit_lsn=Lsn(position.commit_lsn),
            event=position.event,
            change=self._change(record, value, headers),
            is_marker=COPY_HEADER in headers,
        )

    def _change(self, record: Any, value: bytes, headers: dict[str, bytes]) -> Change:
        if is_debezium(value):
            return self._debezium.change(record.topic, record.key, value, headers)
        return decode_change(value, self._relations)

    def _newest_of(self, where: TopicPartition) -> tuple[int, int, int]:
        """Of the partition as far as it was committed; the member before us left it with its offset."""
        found = self._newest.get(where)
        if found is None:
            with kafka_errors_of(self._options, f"consumer group of {self._options.prefix}"):
                committed = self._consumer.committed(where, metadata=True)
            words = (committed.metadata if committed is not None else "").split(":")
            is_ours = len(words) == 3 and all(word.isdigit() for word in words)
            found = self._newest[where] = (int(words[0]), int(words[1]), int(words[2])) if is_ours else (0, 0, 0)
        return found
