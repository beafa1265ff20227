"""How far a stream is behind the topics that it consumes: their ends against the offsets that its target holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kafka import TopicPartition

from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.positions import PositionStore
from cdc.changelog.kafka.connection import kafka_errors_of, offsets_of, open_consumer
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import NotProvisioned
from cdc.lag import read_target_side


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicLag:
    """One topic. `waiting`: records between the offsets that the target holds and the ends; tombstones, markers and
    records that a compaction removed count, too. `lost`: those that the topic no longer has although they were never
    applied. `made_anew`: it ends before the stream's offset. `gone`: there is no such topic."""

    topic: str
    partitions: int
    waiting: int = 0
    lost: int = 0
    made_anew: bool = False
    gone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicsLag:
    """One stream. `state`, `error`, `transactions`, `events`: as `cdc.lag.StreamLag` has them. `source_time`: when the
    newest applied transaction committed in the source; `last_applied` and `parked`: by source table."""

    stream: str
    state: str
    error: Mapping[str, Any] | None
    transactions: int
    events: int
    source_time: datetime | None
    topics: tuple[TopicLag, ...]
    last_applied: Mapping[str, float]
    parked: Mapping[str, int]

    @property
    def waiting(self) -> int:
        return sum(topic.waiting for topic in self.topics)


def read_topics_lag(kafka: KafkaOptions, target_dsn: str, stream: str) -> TopicsLag:
    """Ask the target, then the brokers, once each. Raises `NotProvisioned`, `DatabaseUnreachable`, `BrokerUnreachable`,
    `LogNotFound`.

    The target is read first: what is applied in between counts as waiting, never as less than nothing.
    """
    places = {place: offset for place, (offset, _) in PositionStore(target_dsn, stream).load().places.items()}
    at_target, _, parked = read_target_side(target_dsn, stream)
    if not at_target:
        raise NotProvisioned(
            thing=f"stream {stream}", reason="is not in this target", mend="name the target and --name of the consumer"
        )
    tables: Mapping[str, Any] = at_target.get("tables") or {}
    return TopicsLag(
        stream=stream,
        state=at_target.get("state") or "absent",
        error=at_target.get("error"),
        transactions=int(at_target.get("transactions") or 0),
        events=int(at_target.get("events") or 0),
        source_time=at_target.get("source_commit_time"),
        topics=_topics(kafka, places),
        last_applied={name: seen["last_applied_s"] for name, seen in tables.items() if seen.get("last_applied_s")},
        parked=parked,
    )


def _topics(kafka: KafkaOptions, places: Mapping[Place, int]) -> tuple[TopicLag, ...]:
    consumer = open_consumer(kafka)
    try:
        with kafka_errors_of(kafka, "topics of the stream"):
            there = consumer.topics()
            wheres = {
                topic: [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
                for topic in sorted({topic for topic, _ in places})
                if topic in there
            }
            every = [where for each in wheres.values() for where in each]
            firsts, ends = offsets_of(consumer.beginning_offsets, every), offsets_of(consumer.end_offsets, every)
    finally:
        consumer.close(timeout_ms=1000)
    return tuple(
        _topic(topic, wheres.get(topic), places, firsts, ends) for topic in sorted({topic for topic, _ in places})
    )


def _topic(
    topic: str,
    partitions: Iterable[TopicPartition] | None,
    places: Mapping[Place, int],
    firsts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> TopicLag:
    if partitions is None:
        return TopicLag(topic=topic, partitions=0, gone=True)
    count = waiting = lost = 0
    made_anew = False
    for where in partitions:
        first, end = firsts[where], ends[where]
        applied = places.get((topic, where.partition), first)
        count += 1
        waiting += max(0, end - max(applied, first))
        lost += max(0, first - applied)
        made_anew |= applied > end
    return TopicLag(topic=topic, partitions=count, waiting=waiting, lost=lost, made_anew=made_anew)
