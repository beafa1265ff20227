"""What is refused about the topics, in words. Pure."""

import json
from typing import Final

from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.topic_events import EndMark, TopicEvent
from cdc.errors import (
    DecodeError,
    LogDamaged,
    LogNotFound,
    LogUnfit,
    PositionExpired,
    SlotMismatch,
    UntrustedValues,
    ValueRefused,
)
from cdc.events import TableName

START_OVER: Final = "empty the target's tables, remove the stream with --forget, and consume a new snapshot"
_OF_A_REGISTRY: Final = 0
"""The first byte of what serializers of schema registries write."""
_CONVERTER: Final = "org.apache.kafka.connect.json.JsonConverter"
_FOR_NEW_RECORDS: Final = "and consume a new snapshot in new topics"
_METADATA: Final = "set provide.transaction.metadata=true in the connector, or give the topic one partition"


def other_history(place: Place, offset: int) -> SlotMismatch:
    return SlotMismatch(
        thing=f"record {offset} of topic {place[0]}, partition {place[1]}",
        reason="is newer than what was read before and yet lies before it in the source's log: the connector reads "
        "another server, or one that was restored from a backup",
        mend=START_OVER,
    )


def out_of_order(event: TopicEvent) -> UntrustedValues:
    what = "a truncate" if event.op == "t" else "a row without a key"
    return UntrustedValues(
        thing=f"record {event.offset} of topic {event.place[0]}, partition {event.place[1]}",
        reason=f"is {what} in a topic of several partitions, and nothing says which rows of the others it comes after",
        mend=_METADATA,
    )


def incomplete(end: EndMark, table: TableName, count: int, found: int, blocked: TopicEvent | None) -> LogDamaged:
    behind = "" if blocked is None else f"; an event of transaction {blocked.xid} is in the way"
    return LogDamaged(
        thing=f"source transaction {end.xid} at {end.lsn}",
        reason=f"ended with {count} events of {table}, and {found} of them are in its topic{behind}",
        mend="remove transforms that filter or reroute events, or ignore the transaction topic "
        "(--transactions ignore), which promises less",
    )


def without_journal(topic: str) -> LogNotFound:
    return LogNotFound(
        thing=f"topic {topic}",
        reason="is not there, but the events name transactions that should end in it",
        mend="give it back its name, or ignore it (--transactions ignore), which promises less",
    )


def many_journals(topic: str) -> LogUnfit:
    return LogUnfit(
        thing=f"topic {topic}",
        reason="has several partitions, so nothing says in which order its transactions ended",
        mend="make it with one partition before the connector does, or ignore it (--transactions ignore), which "
        "promises less",
    )


def unknown_row(event: TopicEvent) -> ValueRefused:
    return ValueRefused(
        thing=f"record {event.offset} of topic {event.place[0]}, partition {event.place[1]}",
        reason="moves a row to a new key without the values that did not change, and what it moved from is not in its "
        "transaction",
        mend="set provide.transaction.metadata=true in the connector, or consume a new snapshot of the table",
    )


def expired(place: Place, wanted: int, first: int) -> PositionExpired:
    return PositionExpired(
        thing=f"topic {place[0]}, partition {place[1]}",
        reason=f"begins at offset {first}, and the stream stands at {wanted}: retention or compaction removed records "
        "that were never applied",
        mend=f"{START_OVER}; raise retention.ms of the topic to prevent it",
    )


def not_from_the_beginning(place: Place, first: int) -> PositionExpired:
    return PositionExpired(
        thing=f"topic {place[0]}, partition {place[1]}",
        reason=f"begins at offset {first}, so what it began with, the snapshot among it, is gone",
        mend="let the connector take a new snapshot into a new topic; or pass --accept-incomplete if the target "
        "already holds what came before",
    )


def made_anew(place: Place, wanted: int, end: int) -> SlotMismatch:
    return SlotMismatch(
        thing=f"topic {place[0]}, partition {place[1]}",
        reason=f"ends at offset {end}, and the stream stands at {wanted}: the topic was removed and made anew",
        mend=START_OVER,
    )


def orphan(place: Place, offset: int) -> PositionExpired:
    return PositionExpired(
        thing=f"record {offset} of topic {place[0]}, partition {place[1]}",
        reason="is a tombstone, and the delete that belongs before it is not there: compaction removed it, or a "
        "transform",
        mend=f"{START_OVER}; set cleanup.policy=delete for the topic to prevent it, or pass over such records with "
        "--accept-incomplete, which leaves their rows in the target",
    )


def replaced(topic: str) -> SlotMismatch:
    return SlotMismatch(
        thing=f"topic {topic}",
        reason="was removed and made anew since the stream read it: its offsets name other records now",
        mend=START_OVER,
    )


def of_another_form(place: Place, offset: int, form: tuple[str, str]) -> DecodeError:
    """`form`: of `form_of_another`."""
    return DecodeError(
        thing=f"record {offset} of topic {place[0]}, partition {place[1]}", reason=f"is {form[0]}", mend=form[1]
    )


def form_of_another(key: bytes | None, value: bytes) -> tuple[str, str] | None:
    """What a record of a table's topic is instead of an event of the PostgreSQL connector in JSON, and what to do.

    None: it is one, or nobody can tell.
    """
    for name, part in (("value", value), ("key", key)):
        if part and part[0] == _OF_A_REGISTRY:
            what = "Avro, Protobuf or JSON of a schema registry" if name == "value" else "keyed by such a form"
            return f"{what}, not plain JSON", f"set {name}.converter={_CONVERTER} in the connector, {_FOR_NEW_RECORDS}"
    try:
        parsed, _ = json.loads(value), json.loads(key or b"null")
    except ValueError:
        return "not JSON", f"set key.converter and value.converter to {_CONVERTER} in the connector, {_FOR_NEW_RECORDS}"
    payload = parsed.get("payload", parsed) if isinstance(parsed, dict) else None
    if not isinstance(payload, dict):
        return "no event of Debezium's", "consume the topics of a Debezium connector only"
    source = payload.get("source")
    if not isinstance(source, dict) or "op" not in payload or not {"before", "after"} <= payload.keys():
        return (
            "flattened, or wrapped: without the envelope (before, after, source, op) it says neither what happened nor "
            "where in the source's log",
            f"remove the transform ExtractNewRecordState, or the CloudEvents converter, {_FOR_NEW_RECORDS}",
        )
    if source.get("connector") != "postgresql":
        return (
            f"of a connector for {source.get('connector')}",
            "consume topics of the PostgreSQL connector; `strangler cdc stream --source` reads MySQL and MariaDB",
        )
    return None
