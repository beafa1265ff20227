"""Domain events over a real broker: topic, key, headers, tombstone, order per key, and again after a lost position."""

import random

import pytest
from kafka import TopicPartition

from cdc.changelog.kafka import connection
from cdc.changelog.memory import MemoryChangeLog
from cdc.events import Column, Relation, RowChange, TableName, Transaction
from cdc.lsn import Lsn
from cdc.outbox.options import OutboxOptions, parse_placements
from cdc.outbox.relay import OutboxRelay
from cdc.outbox.sinks import KafkaSink, PositionFile
from tests.kafka_rig import any_kafka, new_options, real_kafka, wheel_broker  # noqa: F401

COLUMNS = ("id", "aggregatetype", "aggregateid", "type", "payload")
OUTBOX = Relation(
    oid=1, schema="public", name="outbox", columns=tuple(Column(name=name, type_oid=25) for name in COLUMNS)
)


def transaction(lsn, *rows):
    changes = tuple(RowChange(relation=OUTBOX, op="c", new=row) for row in rows)
    at_us = lsn * 1_000_000
    return Transaction(xid=lsn, commit_lsn=Lsn(lsn), end_lsn=Lsn(lsn + 1), commit_time_us=at_us, changes=changes)


def consumed(options, topic, count):
    consumer = connection.open_consumer(options)
    where = TopicPartition(topic, 0)
    consumer.assign([where])
    consumer.seek_to_beginning(where)
    found = []
    for _ in range(100):
        found += [record for records in consumer.poll(timeout_ms=300).values() for record in records]
        if len(found) >= count:
            break
    consumer.close()
    return found


@pytest.mark.integration
def test_events_reach_the_broker_in_order_and_come_again_with_the_same_ids(any_kafka, tmp_path):  # noqa: F811
    options = new_options(any_kafka[0])
    kind = options.prefix
    chance, log = random.Random(5), MemoryChangeLog()
    for lsn in range(1, 60):
        rows = [(f"e{lsn}-{n}", kind, str(chance.randint(1, 4)), "Changed", f'{{"n": {lsn}}}') for n in range(3)]
        log.append([transaction(lsn, *rows)])
    log.append([transaction(60, ("gone", kind, "1", "Gone", None))])
    routing = OutboxOptions(
        table=TableName(name="outbox"),
        topic="${routedByValue}.events",
        place=parse_placements(["type:header:eventType"]),
    )
    topic, position = f"{kind}.events", PositionFile(tmp_path / "position")
    connection.ensure_topics(options, {topic: 1})
    try:
        for expected in (1, 2):
            sink = KafkaSink(options, position)
            relay = OutboxRelay(log, routing, sink)
            relay.start(Lsn(0))
            assert relay.step() == 60
            assert relay.step() == 0
            sink.close()
            assert position.read() == 60
            found = consumed(options, topic, expected * 178)
            assert len(found) == expected * 178
            (tmp_path / "position").unlink()
        ids = [dict(record.headers)["id"].decode() for record in found]
        assert len(set(ids)) == 178, "what came again carries the same id"
        for key in (b"1", b"2", b"3", b"4"):
            own = list(dict.fromkeys(dict(record.headers)["id"] for record in found if record.key == key))
            assert [int(each[1:].split(b"-")[0]) for each in own if each != b"gone"] == sorted(
                int(each[1:].split(b"-")[0]) for each in own if each != b"gone"
            )
        last = found[-1]
        assert (last.key, last.value, dict(last.headers)) == (b"1", None, {"id": b"gone", "eventType": b"Gone"})
        assert last.timestamp == 60_000
    finally:
        connection.delete_topics(options)
