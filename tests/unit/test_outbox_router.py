"""Outbox rows become domain events, as Debezium's outbox event router has it (item 7)."""

import json
from datetime import UTC, datetime

import pytest

from cdc.errors import OutboxInvalid
from cdc.events import Column, Relation, RowChange, TableName, Transaction, Truncate
from cdc.lsn import Lsn
from cdc.outbox.options import OutboxOptions, parse_placements
from cdc.outbox.router import Complaint, OutboxRouter

OIDS = {"id": 2950, "payload": 3802, "tenant": 23, "at": 1184, "ms": 20, "urgent": 16, "raw": 17}
TABLE = TableName(name="outbox")
ROW = {
    "id": "4d47e190-0402-4048-bc2c-89dd54343cdc",
    "aggregatetype": "order",
    "aggregateid": "1",
    "type": "OrderCreated",
    "payload": '{"id": 1, "total": 10000000000000000000.10}',
}


def relation(columns, name="outbox"):
    return Relation(
        oid=1, schema="public", name=name,
        columns=tuple(Column(name=column, type_oid=OIDS.get(column, 25)) for column in columns),
    )  # fmt: skip


def change(op="c", name="outbox", **given):
    row = {**ROW, **given}
    return RowChange(relation=relation(row, name), op=op, new=tuple(row.values()), old=None)


def route(one, **options):
    transaction = Transaction(xid=7, commit_lsn=Lsn(99), end_lsn=Lsn(100), commit_time_us=5_000_000, changes=(one,))
    return OutboxRouter(OutboxOptions(table=TABLE, **options)).route(transaction, 0, one)


def test_an_insert_is_an_event_with_topic_key_value_and_the_id_as_header():
    event = route(change())
    assert (event.topic, event.key, event.id) == ("outbox.event.order", "1", ROW["id"])
    assert event.value == ROW["payload"].encode()
    assert event.headers == {"id": ROW["id"]}
    assert (event.timestamp_us, event.commit_lsn, event.index) == (5_000_000, 99, 0)


def test_a_row_read_by_a_copy_is_an_event_and_deletes_truncates_and_other_tables_are_none():
    assert route(change("r")).id == ROW["id"]
    deleted = RowChange(relation=relation(ROW), op="d", new=None, old=tuple(ROW.values()))
    assert route(deleted) is None
    assert route(Truncate(relations=(relation(ROW),))) is None
    assert route(change(name="other")) is None


def test_an_update_is_as_loud_as_the_options_say():
    assert route(change("u")) == Complaint(level="warn", text=route(change("u")).text)
    assert route(change("u"), invalid_operation="error").level == "error"
    with pytest.raises(OutboxInvalid):
        route(change("u"), invalid_operation="fatal")


def test_columns_have_other_names():
    row = {"event_id": "e1", "kind": "Stock", "subject": "9", "body": "text", "happened": "2026-01-02 03:04:05.678+00"}
    found = RowChange(relation=relation(row), op="c", new=tuple(row.values()))
    event = route(
        found, id="event_id", route_by="kind", key="subject", payload="body", timestamp="happened",
        topic="${routedByValue}.events",
    )  # fmt: skip
    assert (event.topic, event.key, event.value, event.id) == ("Stock.events", "9", b"text", "e1")
    assert event.timestamp_us == int(datetime(2026, 1, 2, 3, 4, 5, 678000, UTC).timestamp() * 1_000_000)


def test_a_number_as_timestamp_is_milliseconds():
    assert route(change(ms="1556890294484"), timestamp="ms").timestamp_us == 1556890294484000
    assert route(change(ms=None), timestamp="ms").timestamp_us == 5_000_000


def test_the_topic_takes_groups_of_the_regex_in_java_form_too():
    event = route(
        change(aggregatetype="eu.order"), topic_regex=r"(?<region>\w+)\.(?<kind>.*)", topic="${kind}-${region}"
    )
    assert event.topic == "order-eu"
    assert route(change(aggregatetype="a.b"), topic_regex=r"(.)\.(.)", topic="x.$2").topic == "x.b"
    assert route(change(aggregatetype="plain"), topic_regex=r"(?P<a>x)", topic="${a}").topic == "plain", (
        "as RegexRouter"
    )


def test_further_columns_go_where_they_are_placed():
    place = parse_placements(["type:header:eventType", "tenant:envelope", "urgent:envelope:now", "slot:partition"])
    one = change(tenant="5", urgent="t", slot="3")
    event = route(one, place=place)
    assert event.headers == {"id": ROW["id"], "eventType": "OrderCreated"}
    assert event.partition == 3
    assert json.loads(event.value) == {"payload": ROW["payload"], "tenant": 5, "now": True}
    expanded = route(one, place=place, expand_json=True)
    assert b'"total": 10000000000000000000.10' in expanded.value, "no digit passes through a number of ours"
    assert json.loads(expanded.value)["payload"]["id"] == 1


def test_expanded_json_stands_in_the_line_as_it_is_and_what_is_not_json_stays_a_string():
    line = route(change(), expand_json=True).as_json()
    assert line.endswith(f'"value": {ROW["payload"]}}}')
    assert json.loads(line)["value"]["id"] == 1
    assert json.loads(route(change(), expand_json=False).as_json())["value"] == ROW["payload"]
    assert json.loads(route(change(payload="{no"), expand_json=True).as_json())["value"] == "{no"
    assert "\n" not in route(change(payload='{\n"a": 1}'), expand_json=True).as_json()


def test_a_null_payload_is_a_tombstone_and_an_empty_one_when_told_so():
    assert route(change(payload=None)).value is None
    assert route(change(payload="")).value == b""
    assert route(change(payload=""), tombstone_on_empty=True).value is None
    assert json.loads(route(change(payload=None)).as_json())["value"] is None


def test_bytes_travel_as_bytes():
    event = route(change(raw="\\x00ff80"), payload="raw")
    assert event.value == b"\x00\xff\x80"
    assert json.loads(event.as_json())["value"] == {"base16": "00ff80"}


def test_without_a_key_the_id_is_the_key():
    assert route(change(aggregateid=None)).key == ROW["id"]


@pytest.mark.parametrize(
    ("given", "options", "why"),
    [
        ({"id": None}, {}, "id is null"),
        ({"aggregatetype": None}, {}, "aggregatetype is null"),
        ({"aggregatetype": "two words"}, {}, "cannot be the name of a topic"),
        ({"at": "infinity"}, {"timestamp": "at"}, "not a time"),
        ({}, {"key": "nowhere"}, "has no column nowhere"),
        ({"slot": "x"}, {"place": parse_placements(["slot:partition"])}, "not the number of a partition"),
    ],
)
def test_a_row_that_cannot_be_routed_is_refused_by_name(given, options, why):
    with pytest.raises(OutboxInvalid) as refused:
        route(change(**given), **options)
    assert why in refused.value.reason


@pytest.mark.parametrize("text", ["type", "type:body", ":header", "a:header:b:c"])
def test_a_placement_that_is_none_is_refused(text):
    with pytest.raises(OutboxInvalid):
        parse_placements([text])


@pytest.mark.parametrize(("regex", "topic"), [("(", "x"), ("(?P<a>.*)", "${b}"), ("(.)", "$2")])
def test_a_topic_that_cannot_be_made_is_refused_before_anything_is_read(regex, topic):
    with pytest.raises(OutboxInvalid):
        OutboxRouter(OutboxOptions(table=TABLE, topic_regex=regex, topic=topic))
