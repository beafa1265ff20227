"""The topics' partitions, each read from its own offset. No consumer group: the target says where a stream stands."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from kafka import TopicPartition

from cdc.changelog.debezium_topics.options import Place, TopicsOptions
from cdc.changelog.debezium_topics.place_queue import Progress
from cdc.changelog.debezium_topics.reading import headers_of
from cdc.changelog.debezium_topics.refusals import expired, made_anew, not_from_the_beginning, replaced
from cdc.changelog.debezium_topics.topic_events import Raw
from cdc.changelog.kafka.connection import kafka_errors_of, offsets_of, open_consumer, topic_ids
from cdc.errors import LogNotFound

_POLLED: Final = 2_000

Record = tuple[Place, int, Raw]


class TopicConsumer:
    """One connection. Belongs to one thread; after an error close it and make another."""

    def __init__(self, options: TopicsOptions) -> None:
        self._options = options
        self._thing = f"topics of Debezium's prefix {options.prefix}"
        self._consumer = open_consumer(options.kafka, max_poll_records=_POLLED, isolation_level="read_committed")
        self._where: dict[Place, TopicPartition] = {}
        self.topic_ids: dict[str, str] = {}
        """Of the topics that are read."""

    def discover(self) -> list[Place]:
        """Partitions of the wanted topics that are there and not read yet. Asks the brokers. Raises `SlotMismatch` when
        a topic that is read was replaced."""
        with kafka_errors_of(self._options.kafka, self._thing):
            self._consumer.topics()
            found = [
                (topic, partition)
                for topic in self._wanted()
                for partition in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]
        self._note_ids(self.topic_ids)
        return [place for place in found if place not in self._where]

    def _note_ids(self, known: Mapping[str, str]) -> None:
        """A heartbeat is worth nothing, so it may come from a new topic."""
        now = topic_ids(self._consumer, self._wanted())
        for topic, found in now.items():
            if known.get(topic, found) != found and topic != self._options.heartbeat_topic:
                raise replaced(topic)
        self.topic_ids |= now

    def refuse_without_topics(self) -> None:
        """Raises `LogNotFound` when none of the tables has a topic."""
        if not any(place[0] in self._options.table_topics for place in self._where):
            wanted = ", ".join(sorted(self._options.table_topics)[:5])
            raise LogNotFound(
                thing=self._thing,
                reason=f"none of them is there: {wanted}",
                mend="correct the topic prefix and the tables, or start the connector, which makes them",
            )

    def read_from(
        self, places: Iterable[Place], saved: Mapping[Place, Progress], saved_ids: Mapping[str, str]
    ) -> dict[Place, Progress]:
        """Read these partitions, too. `saved_ids`: of the topics whose offsets `saved` has. Raises `PositionExpired` or
        `SlotMismatch` where that would lose anything."""
        self._note_ids(saved_ids)
        new = {place: TopicPartition(*place) for place in places}
        began: dict[Place, Progress] = {}
        with kafka_errors_of(self._options.kafka, self._thing):
            firsts = offsets_of(self._consumer.beginning_offsets, new.values())
            ends = offsets_of(self._consumer.end_offsets, new.values())
        for place, where in new.items():
            began[place] = self._begin(place, saved.get(place), firsts[where], ends[where])
        self._where |= new
        with kafka_errors_of(self._options.kafka, self._thing):
            self._consumer.assign(list(self._where.values()))
            for place, (offset, _) in began.items():
                self._consumer.seek(new[place], offset)
        return began

    def look_at(self, places: Iterable[Place]) -> None:
        """Know these partitions without reading them."""
        self._where |= {place: TopicPartition(*place) for place in places}

    def poll(self, timeout_s: float) -> Iterator[Record]:
        """What has come, partition by partition."""
        with kafka_errors_of(self._options.kafka, self._thing):
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        for where, records in polled.items():
            place = (where.topic, where.partition)
            for record in records:
                raw = Raw(topic=where.topic, key=record.key, value=record.value or b"", headers=headers_of(record))
                yield place, record.offset, raw

    def hold_back(self, full: Iterable[Place]) -> None:
        """Read on everywhere but there."""
        wanted = {self._where[place] for place in full}
        paused: set[Any] = self._consumer.paused()
        if paused - wanted:
            self._consumer.resume(*(paused - wanted))
        if wanted - paused:
            self._consumer.pause(*(wanted - paused))

    def ends(self) -> dict[Place, int]:
        """The offset after the newest record of every partition, asked now."""
        with kafka_errors_of(self._options.kafka, self._thing):
            found = offsets_of(self._consumer.end_offsets, self._where.values())
        return {(where.topic, where.partition): int(offset) for where, offset in found.items()}

    def at_end(self) -> list[Place]:
        """Partitions that were read to where they end now."""
        ends = self.ends()
        with kafka_errors_of(self._options.kafka, self._thing):
            return [place for place, where in self._where.items() if self._consumer.position(where) >= ends[place]]

    def close(self) -> None:
        self._consumer.close(timeout_ms=1000)

    def _wanted(self) -> list[str]:
        options = self._options
        own = [options.heartbeat_topic]
        if options.transactions == "use":
            own.append(options.transaction_topic)
        return [*options.table_topics, *own]

    def _begin(self, place: Place, saved: Progress | None, first: int, end: int) -> Progress:
        if place[0] == self._options.heartbeat_topic:
            return (first if saved is None else min(max(saved[0], first), end)), None
        if saved is None:
            if first > 0 and not self._options.accept_incomplete:
                raise not_from_the_beginning(place, first)
            return first, None
        if saved[0] < first:
            raise expired(place, saved[0], first)
        if saved[0] > end:
            raise made_anew(place, saved[0], end)
        return saved
