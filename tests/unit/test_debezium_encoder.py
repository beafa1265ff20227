"""Transactions as Debezium records."""

import base64
import datetime
import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.debezium import DebeziumEncoder, DebeziumOptions, Loss, PgType, TableShape, TypeCatalog
from cdc.debezium.structures import array_text, hstore_text, parse_array, parse_hstore
from cdc.debezium.topic_names import table_topic
from cdc.debezium.types import codec_for
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, TableName, Transaction, Truncate
from cdc.insert_run import HeldChanges, InsertRun
from strangler.errors import BadInput

TABLE = Relation(
    oid=1,
    schema="public",
    name="product",
    columns=(Column(name="id", type_oid=20, in_key=True), Column(name="name", type_oid=1043)),
)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
OPTIONS = DebeziumOptions(topic_prefix="store", database="shop", provide_transaction_metadata=True)


def transaction(*changes, **fields):
    given = {"xid": 9, "commit_lsn": 500, "end_lsn": 508, "commit_time_us": 1_700_000_000_123_456, **fields}
    return Transaction(changes=changes, **given)


def records(*changes, options=OPTIONS, catalog=None, **timing):
    found = list(DebeziumEncoder(options, catalog).records(transaction(*changes), **timing))
    return [record for record in found if not record.topic.endswith(".transaction")]


def change(op, new=None, old=None, old_is_key=False, relation=TABLE):
    return RowChange(relation=relation, op=op, new=new, old=old, old_is_key=old_is_key)


def encoded(type_oid, text, modifier=-1, **modes):
    """The JSON value and the kinds of loss."""
    losses = []
    codec = codec_for(type_oid, modifier, TypeCatalog(), replace(OPTIONS, **modes), losses.append)
    return json.loads(codec.encode(text) if codec.encode else text), losses


def test_an_insert():
    (record,) = records(change("c", ("1", "a")), processed_at_us=1_700_000_000_999_001)
    assert record.topic == "store.public.product"
    assert record.key == {"id": 1}
    assert record.value == {
        "before": None,
        "after": {"id": 1, "name": "a"},
        "source": {
            "version": "3.6.3.Final",
            "connector": "postgresql",
            "name": "store",
            "ts_ms": 1_700_000_000_123,
            "snapshot": "false",
            "db": "shop",
            "sequence": '[null,"500"]',
            "ts_us": 1_700_000_000_123_456,
            "ts_ns": 1_700_000_000_123_456_000,
            "schema": "public",
            "table": "product",
            "txId": 9,
            "lsn": 500,
            "xmin": None,
            "origin": None,
            "origin_lsn": None,
        },
        "transaction": {"id": "9:500", "total_order": 1, "data_collection_order": 1},
        "op": "c",
        "ts_ms": 1_700_000_000_999,
        "ts_us": 1_700_000_000_999_001,
        "ts_ns": 1_700_000_000_999_001_000,
    }
    line = {"topic": record.topic, "key": record.key, "value": record.value}
    assert json.loads(record.as_line()) == line


def test_the_transaction_topic():
    encoder = DebeziumEncoder(OPTIONS)
    begin, *_, end = encoder.records(transaction(change("c", ("1", "a")), change("c", ("2", "b"))))
    assert (begin.topic, begin.key, begin.value["status"]) == ("store.transaction", {"id": "9:500"}, "BEGIN")
    assert end.value["event_count"] == 2
    assert end.value["data_collections"] == [{"data_collection": "public.product", "event_count": 2}]
    without = DebeziumEncoder(replace(OPTIONS, provide_transaction_metadata=False))
    (record,) = without.records(transaction(change("c", ("1", "a"))))
    assert record.value["transaction"] is None
    (later,) = without.records(transaction(change("c", ("1", "a")), commit_lsn=600))
    assert later.value["source"]["sequence"] == '["508","600"]'


def test_an_update_has_before_only_when_the_server_sent_the_row():
    without, with_before = records(change("u", ("1", "b")), change("u", ("1", "c"), ("1", "b")))
    assert (without.value["op"], without.value["before"]) == ("u", None)
    assert with_before.value["before"] == {"id": 1, "name": "b"}
    assert with_before.value["transaction"]["total_order"] == 2


def test_a_delete_is_followed_by_a_tombstone():
    delete, tombstone = records(change("d", old=("1", None), old_is_key=True))
    assert (delete.key, delete.value["op"]) == ({"id": 1}, "d")
    assert (delete.value["before"], delete.value["after"]) == ({"id": 1, "name": None}, None)
    assert (tombstone.key, tombstone.value) == ({"id": 1}, None)
    (alone,) = records(change("d", old=("1", None)), options=replace(OPTIONS, tombstones_on_delete=False))
    assert alone.value["op"] == "d"


def test_D01_a_change_of_key_is_delete_and_create():
    delete, tombstone, create = records(change("u", ("2", "a"), ("1", None), old_is_key=True))
    assert (delete.key, delete.value["op"]) == ({"id": 1}, "d")
    assert {name: json.loads(text) for name, text in delete.headers.items()} == {"__debezium.newkey": {"id": 2}}
    assert (tombstone.key, tombstone.value) == ({"id": 1}, None)
    assert (create.key, create.value["op"]) == ({"id": 2}, "c")
    assert {name: json.loads(text) for name, text in create.headers.items()} == {"__debezium.oldkey": {"id": 1}}
    assert create.value["after"] == {"id": 2, "name": "a"}


def test_D09_an_unchanged_toasted_value_and_a_change_of_key():
    _, _, create = records(change("u", ("2", UNCHANGED), ("1", None), old_is_key=True))
    assert create.value["after"] == {"id": 2, "name": "__debezium_unavailable_value"}


def test_D10_a_text_equal_to_the_placeholder_is_marked():
    plain, alike = records(change("u", ("1", UNCHANGED)), change("u", ("1", "__debezium_unavailable_value")))
    assert plain.value["after"] == alike.value["after"]
    assert (dict(plain.headers), json.loads(alike.headers["__strangler.lost"])) == ({}, {"name": "unchanged"})


def test_D11_what_the_form_cannot_carry_is_marked():
    relation = replace(TABLE, columns=(TABLE.columns[0], Column(name="n", type_oid=1700)))
    lost, fine = records(change("c", ("1", "NaN"), relation=relation), change("c", ("2", "1"), relation=relation))
    assert lost.value["after"] == {"id": 1, "n": None}
    assert json.loads(lost.headers["__strangler.lost"]) == {"n": "not_a_number"}
    assert dict(fine.headers) == {}


def test_replica_identity_full_takes_its_key_from_the_catalog():
    columns = tuple(Column(name=column.name, type_oid=column.type_oid, in_key=True) for column in TABLE.columns)
    full = replace(TABLE, columns=columns, replica_identity="f")
    update = change("u", ("1", "b"), ("1", "a"), relation=full)
    assert [record.key for record in records(update)] == [None]
    catalog = TypeCatalog(tables={TableName(name="product"): TableShape(primary_key=("id",))})
    (record,) = records(update, catalog=catalog)
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
    assert inside.value["op"] == "m"
    assert (inside.value["transaction"] is None, own.value["transaction"] is None) == (False, True)


def test_skipped_operations():
    options = replace(OPTIONS, skipped_operations=frozenset("ut"))
    found = records(change("c", ("1", "a")), change("u", ("1", "b")), Truncate(relations=(TABLE,)), options=options)
    assert [record.value["op"] for record in found] == ["c"]


def test_a_copied_row_is_a_read():
    (record,) = records(change("r", ("1", "a")))
    assert (record.value["op"], record.value["source"]["snapshot"]) == ("r", "incremental")


def test_a_heartbeat():
    record = DebeziumEncoder(OPTIONS).heartbeat(1_700_000_000_123_456)
    assert (record.topic, record.key) == ("__debezium-heartbeat.store", {"serverName": "store"})
    assert record.value == {"ts_ms": 1_700_000_000_123}


def test_D33_odd_names():
    columns = (Column(name='a"b%s.{c}', type_oid=25, in_key=True), Column(name="Größe", type_oid=25))
    relation = Relation(oid=5, schema="Mixed.Case", name='t"x', columns=columns)
    (record,) = records(change("c", ("1", "%s{0}"), relation=relation))
    assert record.topic == "store.Mixed.Case.t_x"
    assert record.value["after"] == {'a"b%s.{c}': "1", "Größe": "%s{0}"}
    assert json.loads(record.as_line())["value"]["source"]["table"] == 't"x'


def test_topics_are_cut_and_their_signs_replaced_as_debezium_does():
    assert table_topic("store", "public", "Ünï 😀$x-y") == "store.public._n_____x-y"
    assert table_topic("store", "public", "x" * 300) == f"store.public.{'x' * 236}"


def test_avro_names():
    options = replace(OPTIONS, topic_prefix="1-a", schemas_enable=True, schema_name_adjustment_mode="avro")
    (record,) = records(change("c", ("1", "a")), options=options)
    assert record.key["schema"]["name"] == "__a.public.product.Key"


def test_a_mode_that_is_none():
    with pytest.raises(BadInput, match=r"time\.precision\.mode"):
        DebeziumOptions(topic_prefix="a", time_precision_mode="exact")


@pytest.mark.parametrize(
    ("type_oid", "text", "expected"),
    [
        (16, "t", True),
        (16, "f", False),
        (20, "9223372036854775807", 9223372036854775807),
        (23, "-5", -5),
        (701, "0.1", 0.1),
        (701, "100", 100.0),
        (701, "NaN", "NaN"),
        (701, "-Infinity", "-Infinity"),
        (1082, "1970-01-02", 1),
        (1082, "0001-01-01 BC", -719528),
        (1083, "24:00:00", 86_400_000_000),
        (1083, "00:00:00", 0),
        (1114, "2024-02-29 12:00:00.5", 1_709_208_000_500_000),
        (1184, "2024-02-29 12:00:00.123456+00", "2024-02-29T12:00:00.123456Z"),
        (1184, "2024-03-01 00:30:00+05:30", "2024-02-29T19:00:00.000000Z"),
        (1184, "0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00.000000Z"),
        (1184, "294276-12-31 23:59:59+00", "+294276-12-31T23:59:59.000000Z"),
        (1184, "-infinity", "-infinity"),
        (114, '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (3802, '{"a": 1}', '{"a": 1}'),
        (17, "\\x00ff", base64.b64encode(b"\x00\xff").decode()),
        (17, "\\x", ""),
        (1009, '{a,"b,\\"c\\\\",NULL,"NULL",""}', ["a", 'b,"c\\', None, "NULL", ""]),
        (1016, "{1,2,NULL}", [1, 2, None]),
        (1009, "{}", []),
        (1700, "12.30", {"scale": 2, "value": "BM4="}),
        (790, "-$1,234.56", "/h3A"),
        (99999, "a mood", base64.b64encode(b"a mood").decode()),
    ],
)
def test_values(type_oid, text, expected):
    assert encoded(type_oid, text) == (expected, [])


@pytest.mark.parametrize(
    ("type_oid", "text", "expected", "loss"),
    [
        (1082, "infinity", -2147472692, Loss.INFINITE),
        (1114, "infinity", 9_223_372_036_825_200_000, Loss.INFINITE),
        (1114, "294276-12-31 23:59:59.999999", 9_223_372_036_825_200_000, Loss.INFINITE),
        (1266, "01:00:00+02", "23:00:00Z", Loss.ZONE),
        (1186, "1 day -00:00:01", 86_399_000_000, Loss.INTERVAL),
        (1186, "-1 mons +1 day", -2_543_400_000_000, Loss.INTERVAL),
        (1700, "NaN", None, Loss.NOT_A_NUMBER),
        (1007, "[2:3]={5,6}", [5, 6], Loss.NESTED_ARRAY),
        (1562, "0010", "Ag==", Loss.BITS),
    ],
)
def test_lost_values(type_oid, text, expected, loss):
    assert encoded(type_oid, text) == (expected, [loss])


def test_D21_the_inside_of_more_dimensions_is_lost():
    value, losses = encoded(1007, "{{1,2},{3,4}}")
    assert (value, set(losses)) == ([None, None], {Loss.NESTED_ARRAY})


@pytest.mark.parametrize(
    ("mode", "date", "time", "stamp"),
    [
        ("adaptive", 0, 1_500_001, 1_500_001),
        ("connect", 0, 1500, 1500),
        ("isostring", "1970-01-01Z", "00:00:01.500001Z", "1970-01-01T00:00:01.500001Z"),
        ("microseconds", 0, 1_500_001, 1_500_001),
        ("nanoseconds", 0, 1_500_001_000, 1_500_001_000),
    ],
)
def test_precision_modes(mode, date, time, stamp):
    assert encoded(1082, "1970-01-01", time_precision_mode=mode)[0] == date
    assert encoded(1083, "00:00:01.500001", time_precision_mode=mode)[0] == time
    assert encoded(1114, "1970-01-01 00:00:01.500001", time_precision_mode=mode)[0] == stamp


def test_D23_user_types():
    types = {
        20001: PgType(oid=20001, name="positive", kind="domain", of=23),
        20002: PgType(oid=20002, name="tiny", kind="domain", of=20001),
        20003: PgType(oid=20003, name="mood", kind="enum", labels=("sad", "ok")),
        20004: PgType(oid=20004, name="_mood", kind="array", of=20003),
        20005: PgType(oid=20005, name="pair", kind="composite"),
        20006: PgType(oid=20006, name="price", kind="domain", of=1700, modifier=(12 << 16 | 2) + 4),
        20007: PgType(oid=20007, name="hstore"),
    }

    def value(oid, text, options=OPTIONS):
        codec = codec_for(oid, -1, TypeCatalog(types=types), options, lambda loss: None)
        return codec and json.loads(codec.encode(text) if codec.encode else text)

    assert value(20002, "5") == 5
    assert value(20004, "{ok,NULL}") == ["ok", None]
    assert base64.b64decode(value(20005, '(1,"x y")')) == b'(1,"x y")'
    assert value(20005, "(1,x)", replace(OPTIONS, include_unknown_datatypes=False)) is None
    assert value(20006, "12.30") == "BM4="
    assert json.loads(value(20007, '"a"=>"1", "b"=>NULL')) == {"a": "1", "b": None}


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))))
def test_any_text_array_comes_back(values):
    assert parse_array(array_text(values)) == ("", values)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.text())))
def test_any_hstore_comes_back(pairs):
    assert parse_hstore(hstore_text(pairs)) == pairs


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_any_timestamp_agrees_with_the_calendar(moment):
    micros = (moment - EPOCH) // datetime.timedelta(microseconds=1)
    stamp = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d} {moment.strftime('%H:%M:%S.%f')}"
    assert encoded(1114, stamp)[0] == micros
    assert datetime.datetime.fromisoformat(encoded(1184, f"{stamp}+00")[0]) == moment


def insert_message(row):
    cells = [b"n" if value is None else b"t" + struct.pack(">I", len(value.encode())) + value.encode() for value in row]
    return b"I" + struct.pack(">I", 1) + b"N" + struct.pack(">H", len(row)) + b"".join(cells)


@given(
    st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1),
    st.booleans(),
)
def test_a_run_of_inserts_is_written_like_its_rows(names, with_schemas):
    rows = [(str(number), name) for number, name in enumerate(names)]
    options = replace(OPTIONS, schemas_enable=with_schemas)
    run = InsertRun.of(TABLE, [insert_message(row) for row in rows])
    together = Transaction(xid=9, commit_lsn=500, end_lsn=508, commit_time_us=0, changes=HeldChanges([run]))
    alone = replace(together, changes=tuple(change("c", row) for row in rows))
    assert list(DebeziumEncoder(options).records(together)) == list(DebeziumEncoder(options).records(alone))


def test_a_run_with_a_lost_value_is_marked_row_by_row():
    relation = replace(TABLE, columns=(TABLE.columns[0], Column(name="n", type_oid=1700)))
    run = InsertRun.of(
        relation, [insert_message(("1", "NaN")), insert_message(("2", "1")), insert_message(("3", None))]
    )
    together = Transaction(xid=9, commit_lsn=500, end_lsn=508, commit_time_us=0, changes=HeldChanges([run]))
    found = [each for each in DebeziumEncoder(OPTIONS).records(together) if each.topic == "store.public.product"]
    assert [dict(each.headers) for each in found] == [{"__strangler.lost": '{"n":"not_a_number"}'}, {}, {}]
    assert [each.value["after"]["n"] for each in found] == [None, {"scale": 0, "value": "AQ=="}, None]


def test_a_run_of_rows_without_a_column_that_can_be_written():
    relation = Relation(oid=7, schema="public", name="odd", columns=(Column(name="c", type_oid=99_999),))
    run = InsertRun.of(relation, [insert_message(("x",))] * 3)
    together = Transaction(xid=9, commit_lsn=500, end_lsn=508, commit_time_us=0, changes=HeldChanges([run]))
    options = replace(OPTIONS, include_unknown_datatypes=False, provide_transaction_metadata=False)
    assert [each.value["after"] for each in DebeziumEncoder(options).records(together)] == [{}, {}, {}]
