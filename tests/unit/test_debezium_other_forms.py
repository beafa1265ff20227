"""Topics that hold something else than events of Debezium's PostgreSQL connector in JSON."""

import json

import pytest

from cdc.changelog.debezium_topics.options import TopicsOptions
from cdc.changelog.debezium_topics.reading import RecordReader
from cdc.changelog.debezium_topics.topic_events import Raw, TopicEvent
from cdc.changelog.kafka.options import KafkaOptions
from cdc.debezium import DebeziumEncoder, DebeziumOptions, TypeCatalog
from cdc.errors import DecodeError
from cdc.events import Column, Relation, RowChange, TableName, Transaction
from strangler.errors import BadInput

TOPIC = "store.public.item"
ITEM = Relation(
    oid=1,
    schema="public",
    name="item",
    columns=(Column(name="id", type_oid=23, in_key=True), Column(name="v", type_oid=25)),
)


def reader():
    written = DebeziumOptions(topic_prefix="store")
    kafka = KafkaOptions(bootstrap="127.0.0.1:1", prefix="store")
    return RecordReader(TopicsOptions(kafka=kafka, tables=(TableName(name="item"),), written=written), TypeCatalog())


def read(key, value, topic=TOPIC):
    return reader().read((topic, 0), 7, Raw(topic=topic, key=key, value=value))


def event(**source):
    change = RowChange(relation=ITEM, op="c", new=("1", "x"))
    transaction = Transaction(xid=9, commit_lsn=5, end_lsn=8, commit_time_us=1, changes=(change,))
    encoder = DebeziumEncoder(DebeziumOptions(topic_prefix="store", schemas_enable=True))
    (record,) = encoder.records(transaction)
    value = record.value
    value["payload"]["source"] |= source
    return record.key_json.encode(), json.dumps(value).encode()


def test_an_event_is_read():
    assert isinstance(read(*event()), TopicEvent)


FLAT = {"id": 1, "v": "x"}


@pytest.mark.parametrize(
    ("key", "value", "reason", "mend"),
    [
        (b"\0\0\0\0\x01\x02", b"\0\0\0\0\x02\x02\x04ab", "schema registry", "value.converter="),
        (b"\0\0\0\0\x01\x02", event()[1], "keyed", "key.converter="),
        (b"Struct{id=1}", event()[1], "not JSON", "key.converter"),
        (b"1", b"\xff\xfe", "not JSON", "JsonConverter"),
        (b"1", json.dumps(FLAT).encode(), "flattened", "ExtractNewRecordState"),
        (b"1", json.dumps({"schema": {"type": "struct"}, "payload": FLAT}).encode(), "flattened", "ExtractNewRecord"),
        (b"1", json.dumps({**FLAT, "ts_ms": 5}).encode(), "flattened", "ExtractNewRecordState"),
        (b"1", json.dumps({**FLAT, "status": "END", "id": "7:9", "event_count": 0}).encode(), "flattened", "Extract"),
        (b"1", json.dumps({**FLAT, "op": "c"}).encode(), "flattened", "ExtractNewRecordState"),
        (b"1", json.dumps({"specversion": "1.0", "data": {}}).encode(), "flattened", "CloudEvents"),
        (b"1", b"[1]", "no event", "Debezium connector"),
        (b"1", b'"text"', "no event", "Debezium connector"),
        (*event(connector="sqlserver"), "connector for sqlserver", "PostgreSQL connector"),
    ],
)
def test_other_forms_are_called_by_their_name(key, value, reason, mend):
    with pytest.raises(DecodeError) as refused:
        read(key, value)
    assert refused.value.thing == f"record 7 of topic {TOPIC}, partition 0"
    assert reason in refused.value.reason
    assert mend in refused.value.mend


def test_a_mysql_event_is_named_although_it_has_no_schema():
    key, value = event(connector="mysql")
    found = json.loads(value)
    del found["payload"]["source"]["schema"]
    with pytest.raises(DecodeError, match="connector for mysql"):
        read(key, json.dumps(found).encode())


def test_heartbeats_and_marks_are_read_where_they_belong():
    beat = reader().read(("x", 0), 1, Raw(topic="__debezium-heartbeat.store", key=b"{}", value=b'{"ts_ms":5}'))
    assert beat.time_us == 5000


def test_tables_that_would_share_a_topic_are_refused():
    kafka, written = KafkaOptions(bootstrap="127.0.0.1:1", prefix="store"), DebeziumOptions(topic_prefix="store")
    with pytest.raises(BadInput, match="share a topic"):
        TopicsOptions(kafka=kafka, tables=(TableName(name="a b"), TableName(name="a_b")), written=written)
    twice = (TableName(name="a"), TableName(name="a"))
    assert TopicsOptions(kafka=kafka, tables=twice, written=written).table_topics == {"store.public.a": twice[0]}
