"""Clients of kafka-python: made in one way, their errors translated, topics made and removed."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

import google_crc32c
import kafka.record.default_records
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.net.inet import KafkaNetSocket

from cdc.changelog.kafka.accelerated import AcceleratedProducer
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import BrokerRefused, BrokerUnreachable, LogNotFound, MessageTooLarge, PositionExpired, WrongCluster
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)

_CHECK: Final = (b"123456789", 0xE3069283)
"""The published check value of CRC-32C."""
DEFAULT_MESSAGE_BYTES: Final = 1_000_000
_ENVELOPE_BYTES: Final = 4096
"""Room for key, headers and the batch's own fields below the broker's limit."""
_BATCH_BYTES: Final = 512 << 10
_REFUSALS = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.PolicyViolationError,
    kafka_errors.InvalidReplicationFactorError,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.InvalidPartitionsError,
    kafka_errors.InvalidTopicError,
    kafka_errors.KafkaConfigurationError,
    kafka_errors.UnsupportedVersionError,
)


def _accelerate() -> None:
    """Half of kafka-python's time goes into CRC-32C in Python; the same function in C, checked before it is used."""

    def crc32c(view: Any) -> int:
        return int(google_crc32c.value(bytes(view)))

    if crc32c(_CHECK[0]) == _CHECK[1] and hasattr(kafka.record.default_records, "calc_crc32c"):
        kafka.record.default_records.calc_crc32c = crc32c


def _close_what_was_refused() -> None:
    """kafka-python 3.0 leaves the socket of each connection that fails to the garbage collector."""
    plain = getattr(KafkaNetSocket, "sock_connect", None)
    if plain is None:
        return

    async def sock_connect(factory: Any, net: Any, sock: Any, *more: Any, **named: Any) -> Any:
        try:
            return await plain(factory, net, sock, *more, **named)
        except BaseException:
            sock.close()
            raise

    KafkaNetSocket.sock_connect = sock_connect


_accelerate()
_close_what_was_refused()


@contextlib.contextmanager
def kafka_errors_of(options: KafkaOptions, thing: str) -> Iterator[None]:
    """Translates what kafka-python raises inside."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translated(options, thing, error) from error
    except OSError as error:
        raise _unreachable(options, thing, error) from error


def translated(options: KafkaOptions, thing: str, error: BaseException) -> StranglerError:
    """Our error for one of kafka-python's."""
    if isinstance(error, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError):
        return MessageTooLarge(
            thing=thing,
            reason=f"one event is larger than the broker takes ({_text(error)})",
            mend='raise the topic\'s max.message.bytes, or use form = "lossless", which splits large events',
        )
    if isinstance(error, kafka_errors.OffsetOutOfRangeError):
        return PositionExpired(
            thing=thing,
            reason=f"the cluster's retention removed what has to be read ({_text(error)})",
            mend="start over from a new copy; raise retention.ms of the stream's topics to prevent it",
        )
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return LogNotFound(
            thing=thing,
            reason="the topic is not there",
            mend="start the stream worker, which makes it; or correct stream.kafka.topic_prefix and bootstrap",
        )
    if isinstance(error, _REFUSALS):
        return BrokerRefused(
            thing=thing, reason=_text(error), mend="grant what it names, or correct [stream.kafka] in strangler.toml"
        )
    return _unreachable(options, thing, error)


def _unreachable(options: KafkaOptions, thing: str, error: BaseException) -> BrokerUnreachable:
    return BrokerUnreachable(
        thing=thing,
        reason=f"Kafka at {options.bootstrap} does not answer in time ({_text(error)})",
        mend="start the brokers or correct stream.kafka.bootstrap; the stream goes on by itself, nothing is lost",
    )


def open_producer(options: KafkaOptions, message_bytes: int) -> Any:
    """Idempotent, acknowledged by all replicas in sync."""
    if options.client == "confluent":
        return AcceleratedProducer(options, message_bytes)
    with kafka_errors_of(options, f"producer of {options.prefix}"):
        return KafkaProducer(
            **options.client_config(),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=min(_BATCH_BYTES, message_bytes),
            max_request_size=max(message_bytes + _ENVELOPE_BYTES, 1 << 20),
            max_block_ms=int(options.timeout_s * 1000),
            delivery_timeout_ms=int(options.timeout_s * 1000),
            compression_type=options.compression,
            allow_auto_create_topics=False,
        )


def open_consumer(options: KafkaOptions, *, group: str | None = None, **more: Any) -> Any:
    """A consumer without automatic commits; without `group` it belongs to none."""
    with kafka_errors_of(options, f"consumer of {options.prefix}"):
        consumer = KafkaConsumer(
            **options.client_config(),
            **{
                "group_id": group,
                "enable_auto_commit": False,
                "auto_offset_reset": "none",
                "allow_auto_create_topics": False,
                "fetch_max_bytes": 8 << 20,
                **more,
            },
        )
    with contextlib.suppress(AttributeError):
        # kafka-python 3.0 does not hand its setting on; a tenth of a second on every cold path, one inside a cutover.
        consumer._client.cluster.config["retry_backoff_ms"] = consumer.config["retry_backoff_ms"]
    return consumer


def offsets_of(find: Callable[[list[Any]], Mapping[Any, int]], wheres: Iterable[Any]) -> dict[Any, int]:
    """By partition. `find`: a consumer's `beginning_offsets` or `end_offsets`. Raises `LogNotFound` for a topic that
    was removed a moment ago, at which the client ends with a `KeyError`."""
    try:
        return dict(find(list(wheres)))
    except KeyError as error:
        raise LogNotFound(
            thing=f"topic {getattr(error.args[0], 'topic', error)}",
            reason="was removed",
            mend="give it back, or end the stream that reads it",
        ) from None


def topic_ids(consumer: Any, topics: Iterable[str]) -> dict[str, str]:
    """What tells a topic from another of its name that was there before; from what `consumer` has last asked for.
    Brokers older than 2.8 do not say."""
    with contextlib.suppress(AttributeError):
        cluster = consumer._client.cluster
        return {topic: str(found) for topic in topics if (found := cluster.topic_id(topic)) is not None and found.int}
    return {}


def admin(options: KafkaOptions) -> Any:
    with kafka_errors_of(options, f"Kafka at {options.bootstrap}"):
        return KafkaAdminClient(**options.client_config())


def ensure_topics(options: KafkaOptions, wanted: Mapping[str, int], *, compacted: bool = False) -> dict[str, int]:
    """Make the topics of `wanted` (name → partitions) that are missing; returns the partitions that all have.

    Nothing in them expires by age: the appender trims what was applied. Raises `WrongCluster` as the options demand.
    """
    config = {"retention.ms": "-1", "retention.bytes": "-1"}
    if compacted:
        config = {"cleanup.policy": "compact"}
    if (options.replication_factor or 0) >= 3:
        config["min.insync.replicas"] = "2"
    with kafka_errors_of(options, f"topics of {options.prefix}"), contextlib.closing(admin(options)) as client:
        _refuse_other_cluster(options, client)
        found = {each["name"]: each for each in client.describe_topics(list(wanted)) if each["error_code"] == 0}
        missing = [
            NewTopic(name, count, options.replication_factor or -1, topic_configs=config)
            for name, count in wanted.items()
            if name not in found
        ]
        for topic in missing:
            with contextlib.suppress(kafka_errors.TopicAlreadyExistsError):
                client.create_topics([topic])
                _log.info("made topic %s", topic.name)
        if missing:
            client.wait_for_topics([topic.name for topic in missing])
    return dict(wanted) | {name: len(each["partitions"]) for name, each in found.items()}


def delete_topics(options: KafkaOptions) -> list[str]:
    """Remove every topic of the stream; returns their names."""
    with kafka_errors_of(options, f"topics of {options.prefix}"), contextlib.closing(admin(options)) as client:
        ours = sorted(topic for topic in client.list_topics() if str(topic).startswith(f"{options.prefix}."))
        if ours:
            with contextlib.suppress(kafka_errors.UnknownTopicOrPartitionError):
                client.delete_topics(ours)
    return ours


def message_bytes(options: KafkaOptions, topic: str) -> int:
    """The largest value that fits into one message of `topic`, as far as the broker says."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with kafka_errors_of(options, f"topic {topic}"), contextlib.closing(admin(options)) as client:
        found = client.describe_configs([resource], config_filter="all").get("topic", {}).get(topic, {})
    limit = int(found.get("max.message.bytes", {}).get("value", DEFAULT_MESSAGE_BYTES))
    return max(1024, limit - _ENVELOPE_BYTES)


def compacted_topics(options: KafkaOptions, topics: Collection[str]) -> set[str]:
    """Those whose older records of a key may be gone. All of them where the cluster does not say."""
    if not topics:
        return set()
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in sorted(topics)]
    try:
        with contextlib.closing(admin(options)) as client:
            found = client.describe_configs(resources, config_filter="all").get("topic", {})
    except kafka_errors.KafkaError as error:
        _log.warning("cleanup.policy of %s is not known: %s", options.prefix, _text(error))
        return set(topics)
    policies = {topic: found.get(topic, {}).get("cleanup.policy", {}).get("value", "compact") for topic in topics}
    return {topic for topic, policy in policies.items() if "compact" in str(policy)}


def delete_before(options: KafkaOptions, offsets: Mapping[tuple[str, int], int]) -> bool:
    """Remove the records before each offset. False when the cluster cannot do that."""
    records = {TopicPartition(*where): offset for where, offset in offsets.items()}
    try:
        with contextlib.closing(admin(options)) as client:
            client.delete_records(records, timeout_ms=int(options.timeout_s * 1000))
    except kafka_errors.KafkaError as error:
        _log.warning("retention: records of %s stay for now: %s", options.prefix, _text(error))
        return False
    return True


def _refuse_other_cluster(options: KafkaOptions, client: Any) -> None:
    if options.cluster_id is None:
        return
    found = client.describe_cluster()["cluster_id"]
    if found != options.cluster_id:
        raise WrongCluster(
            thing=f"Kafka at {options.bootstrap}",
            reason=f"is cluster {found}, not {options.cluster_id}",
            mend="correct stream.kafka.bootstrap or stream.kafka.cluster_id",
        )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
