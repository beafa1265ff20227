"""Transactions as Debezium events."""

import base64
import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.envelope import encode
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, TableName, Transaction, Truncate
from cdc.json_values import parse_array, to_json

TABLE = Relation(
    oid=1,
    schema="public",
    name="product",
    columns=(Column(name="id", type_oid=20, in_key=True), Column(name="name", type_oid=1043)),
)


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def records(*changes, **options):
    transaction = Transaction(xid=9, commit_lsn=500, end_lsn=508, commit_time_us=1_700_000_000_123_456, changes=changes)
    return encode(transaction, logical_name="store", database="shop", **options)


def change(op, new=None, old=None, old_is_key=False, relation=TABLE):
    return RowChange(relation=relation, op=op, new=new, old=old, old_is_key=old_is_key)


def test_an_insert():
    (record,) = records(change("c", ("1", "a")), processed_at_us=1_700_000_000_999_001, previous_commit_lsn=400)
    assert record.topic == "store.public.product"
    assert record.key == {"id": 1}
    assert record.value == {
        "before": None,
        "after": {"id": 1, "name": "a"},
        "source": {
            "version": "3.0.0.Final",
            "connector": "postgresql",
            "name": "store",
            "ts_ms": 1_700_000_000_123,
            "ts_us": 1_700_000_000_123_456,
            "ts_ns": 1_700_000_000_123_456_000,
            "snapshot": "false",
            "db": "shop",
            "sequence": '["400","500"]',
            "schema": "public",
            "table": "product",
            "txId": 9,
            "lsn": 500,
            "xmin": None,
            "origin": None,
        },
        "transaction": {"id": "9:500", "total_order": 1, "data_collection_order": 1},
        "op": "c",
        "ts_ms": 1_700_000_000_999,
        "ts_us": 1_700_000_000_999_001,
        "ts_ns": 1_700_000_000_999_001_000,
    }
    assert json.loads(record.as_json())["value"] == record.value


def test_an_update_has_before_only_when_the_server_sent_the_row():
    without, with_before = records(change("u", ("1", "b")), change("u", ("1", "c"), ("1", "b")))
    assert (without.value["op"], without.value["before"]) == ("u", None)
    assert with_before.value["before"] == {"id": 1, "name": "b"}
    assert with_before.value["transaction"]["total_order"] == 2


def test_a_delete_is_followed_by_a_tombstone():
    delete, tombstone = records(change("d", old=("1", None), old_is_key=True))
    assert (delete.key, delete.value["op"], delete.value["before"], delete.value["after"]) == (
        {"id": 1},
        "d",
        {"id": 1, "name": None},
        None,
    )
    assert (tombstone.key, tombstone.value) == ({"id": 1}, None)


def test_D01_a_change_of_key_is_delete_and_create():
    delete, tombstone, create = records(change("u", ("2", "a"), ("1", None), old_is_key=True))
    assert (delete.key, delete.value["op"], delete.headers) == ({"id": 1}, "d", {"__debezium.newkey": {"id": 2}})
    assert (tombstone.key, tombstone.value) == ({"id": 1}, None)
    assert (create.key, create.value["op"], create.headers) == ({"id": 2}, "c", {"__debezium.oldkey": {"id": 1}})
    assert create.value["after"] == {"id": 2, "name": "a"}


def test_replica_identity_full_takes_its_key_from_the_caller():
    columns = tuple(Column(name=column.name, type_oid=column.type_oid, in_key=True) for column in TABLE.columns)
    full = Relation(oid=1, schema="public", name="product", columns=columns, replica_identity="f")
    update = change("u", ("1", "b"), ("1", "a"), relation=full)
    assert [record.key for record in records(update)] == [None]
    (record,) = records(update, keys={TableName(name="product"): ("id",)})
    assert (record.key, record.value["op"]) == ({"id": 1}, "u")


def test_truncate_and_messages():
    truncate, inside, own = records(
        Truncate(relations=(TABLE,)),
        Message(prefix="p", content=b"\x00", transactional=True, lsn=450),
        Message(prefix="q", content=b"", transactional=False, lsn=450),
    )
    assert (truncate.key, truncate.value["op"], truncate.value["after"]) == (None, "t", None)
    assert (inside.topic, inside.key) == ("store.message", {"prefix": "p"})
    assert inside.value["message"] == {"prefix": "p", "content": base64.b64encode(b"\x00").decode()}
    assert (inside.value["op"], "transaction" in inside.value, "transaction" in own.value) == ("m", True, False)


def test_a_copied_row_is_a_read():
    (record,) = records(change("r", ("1", "a")))
    assert (record.value["op"], record.value["source"]["snapshot"]) == ("r", "incremental")


@pytest.mark.parametrize(
    ("type_oid", "text", "expected"),
    [
        (16, "t", True),
        (16, "f", False),
        (20, "9223372036854775807", 9223372036854775807),
        (23, "-5", -5),
        (701, "0.1", 0.1),
        (701, "NaN", "NaN"),
        (701, "-Infinity", "-Infinity"),
        (1700, "12.30", "12.30"),
        (1700, "NaN", "NaN"),
        (1082, "1970-01-02", 1),
        (1082, "infinity", 2147483647),
        (1082, "0001-01-01 BC", -719528),
        (1083, "24:00:00", 86_400_000_000),
        (1114, "2024-02-29 12:00:00.5", 1_709_208_000_500_000),
        (1114, "infinity", 9_223_372_036_825_200_000),
        (1184, "2024-02-29 12:00:00.123456+00", "2024-02-29T12:00:00.123456Z"),
        (1184, "2024-03-01 00:30:00+05:30", "2024-02-29T19:00:00Z"),
        (1184, "0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00Z"),
        (1184, "294276-12-31 23:59:59+00", "+294276-12-31T23:59:59Z"),
        (1184, "-infinity", "-infinity"),
        (1266, "01:00:00+02", "23:00:00Z"),
        (1186, "1 day -00:00:01", 86_399_000_000),
        (1186, "-1 mons +1 day", -2_543_400_000_000 - 0),
        (114, '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (3802, '{"a": 1}', '{"a": 1}'),
        (17, "\\x00ff", base64.b64encode(b"\x00\xff").decode()),
        (17, "\\x", ""),
        (2950, "6f1b0b7e-0000-4000-8000-000000000000", "6f1b0b7e-0000-4000-8000-000000000000"),
        (1009, '{a,"b,\\"c\\\\",NULL,"NULL",""}', ["a", 'b,"c\\', None, "NULL", ""]),
        (1016, "{1,2,NULL}", [1, 2, None]),
        (1007, "{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        (1007, "[2:3]={5,6}", [5, 6]),
        (1009, "{}", []),
        (99999, "a mood", "a mood"),
    ],
)
def test_values(type_oid, text, expected):
    assert to_json(Column(name="c", type_oid=type_oid), text) == expected


def test_null_and_unchanged():
    assert to_json(Column(name="c", type_oid=25), None) is None
    assert to_json(Column(name="c", type_oid=25), UNCHANGED) == "__debezium_unavailable_value"
    assert to_json(Column(name="c", type_oid=1009), UNCHANGED) == ["__debezium_unavailable_value"]
    placeholder = to_json(Column(name="c", type_oid=17), UNCHANGED)
    assert base64.b64decode(placeholder) == b"__debezium_unavailable_value"


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_any_text_array_comes_back(values):
    def quote(value):
        if value is None:
            return "NULL"
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    assert parse_array("{" + ",".join(map(quote, values)) + "}", str) == values


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_any_timestamp_agrees_with_the_calendar(moment):
    micros = (moment - EPOCH) // datetime.timedelta(microseconds=1)
    text = moment.strftime("%H:%M:%S.%f")
    stamp = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d} {text}"
    assert to_json(Column(name="c", type_oid=1114), stamp) == micros
    iso = to_json(Column(name="c", type_oid=1184), f"{stamp}+00")
    assert datetime.datetime.fromisoformat(iso) == moment
