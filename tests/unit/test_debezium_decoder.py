"""Debezium's records back into events: exact, or said to be in doubt."""

import contextlib
import datetime
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.debezium import (
    DebeziumDecoder,
    DebeziumEncoder,
    DebeziumOptions,
    DecoderOptions,
    Loss,
    PgType,
    TableShape,
    TypeCatalog,
)
from cdc.debezium.calendar import date_text, timestamp_text
from cdc.debezium.lossless import LosslessReader, LosslessWriter
from cdc.debezium.options import PLACEHOLDER
from cdc.debezium.read_numbers import float_text
from cdc.debezium.structures import array_text, hstore_text
from cdc.errors import DecodeError, UntrustedValues
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, TableName, Transaction, Truncate

TYPES = {
    20001: PgType(oid=20001, name="mood", kind="enum", labels=("sad", "ok")),
    20002: PgType(oid=20002, name="pair", kind="composite"),
    20003: PgType(oid=20003, name="hstore"),
    20004: PgType(oid=20004, name="positive", kind="domain", of=23),
    20005: PgType(oid=20005, name="citext"),
}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.just(PLACEHOLDER)
days = st.integers(-2_440_588, 2_145_042_541)
micros = st.integers(-210_866_803_200_000_000, 9_224_318_015_999_999_999)
infinite = st.sampled_from(["infinity", "-infinity"])
clocks = st.integers(0, 86_400_000_000).map(
    lambda us: timestamp_text(us).split(" ")[1] if us < 86_400_000_000 else "24:00:00"
)
numerics = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,12})?", fullmatch=True).filter(
    lambda text: float(text) or text[0] != "-"
)
SHIFTED = "[2:3]={a,b}"
text_arrays = st.lists(st.none() | texts).map(array_text) | st.sampled_from(["{{a,b},{c,d}}", SHIFTED])
int_arrays = st.lists(st.none() | st.integers(-9, 130).map(str)).map(array_text) | st.just("{{1,2},{3,4}}")
cents = st.integers(0, 10**10).map(lambda number: f"{number // 100}.{number % 100:02d}") | st.just("-99.90")
intervals = st.sampled_from(
    ["1 year 2 mons 3 days 04:05:06.789", "-1 mons +1 day -00:00:01.5", "00:00:00", "100:00:00", "-1 days"]
)

VALUES = {
    "bool": (16, -1, st.sampled_from("tf")),
    "int8": (20, -1, st.integers(-(2**63), 2**63 - 1).map(str)),
    "float8": (701, -1, st.floats().map(lambda number: float_text(number, single=False))),
    "float4": (700, -1, st.floats(width=32).map(lambda number: float_text(number, single=True))),
    "text": (25, -1, texts),
    "numeric": (1700, -1, numerics | st.sampled_from(["NaN", "Infinity", "-Infinity"])),
    "numeric(10,2)": (1700, (10 << 16 | 2) + 4, cents),
    "money": (790, -1, st.sampled_from(["$0.00", "-$1,234.56", "$9.99"])),
    "bytea": (17, -1, st.binary().map(lambda data: f"\\x{data.hex()}")),
    "date": (1082, -1, days.map(date_text) | infinite),
    "time": (1083, -1, clocks),
    "time(3)": (1083, 3, st.sampled_from(["10:00:00", "10:00:00.12", "24:00:00"])),
    "timetz": (1266, -1, clocks.map(lambda clock: f"{clock}+00") | st.just("10:00:00+02:30")),
    "timestamp": (1114, -1, micros.map(timestamp_text) | infinite),
    "timestamp(3)": (1114, 3, micros.map(lambda us: timestamp_text(us // 1000 * 1000)) | infinite),
    "timestamptz": (1184, -1, micros.map(lambda us: timestamp_text(us, "+00")) | infinite),
    "interval": (1186, -1, intervals),
    "json": (114, -1, st.just('{"a": 1,  "a":2}')),
    "uuid": (2950, -1, st.uuids().map(str)),
    "inet": (869, -1, st.just("10.0.0.1/8")),
    "int4range": (3904, -1, st.just("[1,5)")),
    "point": (600, -1, st.just("(1.5,-2e+30)")),
    "line": (628, -1, st.just("{1,2,3}")),
    "bit(12)": (1560, 12, st.integers(0, 4095).map(lambda number: f"{number:012b}")),
    "bit(1)": (1560, 1, st.sampled_from("01")),
    "varbit": (1562, -1, st.text("01", max_size=20)),
    "text[]": (1009, -1, text_arrays),
    "int4[]": (1007, -1, int_arrays),
    "numeric[]": (1231, -1, st.lists(st.none() | numerics | st.just("NaN")).map(array_text)),
    "bytea[]": (1001, -1, st.lists(st.binary().map(lambda data: f"\\x{data.hex()}")).map(array_text)),
    "date[]": (1182, -1, st.lists(days.map(date_text) | infinite).map(array_text)),
    "enum": (20001, -1, st.sampled_from(["sad", "ok"])),
    "composite": (20002, -1, st.just('(1,"x y")')),
    "hstore": (20003, -1, st.dictionaries(texts, st.none() | texts, max_size=3).map(hstore_text)),
    "domain": (20004, -1, st.just("5")),
    "citext": (20005, -1, texts),
}  # fmt: skip

MODES = {
    "defaults": DebeziumOptions(topic_prefix="store"),
    "strings": DebeziumOptions(
        topic_prefix="store",
        decimal_handling_mode="string",
        time_precision_mode="connect",
        interval_handling_mode="string",
        binary_handling_mode="hex",
        hstore_handling_mode="map",
    ),
    "iso": DebeziumOptions(
        topic_prefix="store", time_precision_mode="isostring", binary_handling_mode="base64-url-safe"
    ),
    "nanos": DebeziumOptions(
        topic_prefix="store",
        decimal_handling_mode="double",
        time_precision_mode="nanoseconds",
        binary_handling_mode="base64",
    ),
}
TABLE = TableName(name="t")


def through(name, text, options, *, marked, catalog_knows=True):
    """(value that came back, kinds of doubt) of one value in the column `v`."""
    type_oid, modifier, _ = VALUES[name]
    columns = {"id": (23, -1), "v": (type_oid, modifier)}
    catalog = TypeCatalog(types=TYPES, tables={TABLE: TableShape(primary_key=("id",), columns=columns)})
    relation = Relation(
        oid=0,
        schema="public",
        name="t",
        columns=(
            Column(name="id", type_oid=23, in_key=True),
            Column(name="v", type_oid=type_oid, type_modifier=modifier),
        ),
    )
    change = RowChange(relation=relation, op="c", new=("1", text))
    (record,) = DebeziumEncoder(options, catalog).records(transaction(change))
    decoder = DebeziumDecoder(
        DecoderOptions(written=options, losses_marked=marked), catalog if catalog_knows else TypeCatalog()
    )
    headers = record.headers if marked else {}
    decoded = decoder.inspect(record.topic, record.key_json, record.value_json, headers)
    if catalog_knows:
        assert decoded.change.relation == relation
    return decoded.change.new[1], {doubt.loss for doubt in decoded.doubts if doubt.column == "v"}


def transaction(*changes):
    return Transaction(xid=9, commit_lsn=500, end_lsn=508, commit_time_us=1_700_000_000_123_456, changes=changes)


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "judged"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", VALUES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_value_comes_back_or_is_in_doubt(name, mode, marked, data):
    text = data.draw(st.none() | VALUES[name][2])
    with_schema = data.draw(st.booleans())
    found, doubts = through(name, text, replace(MODES[mode], schemas_enable=with_schema), marked=marked)
    if text == SHIFTED and not marked:
        return  # Debezium itself writes these without their bounds, and nothing in the record tells
    assert found == text or doubts, (text, found)


@pytest.mark.parametrize("name", sorted(VALUES.keys() - {"timetz", "interval", "varbit"}))
def test_what_the_form_can_carry_is_not_in_doubt(name):
    text = {
        "time": "10:00:00.5", "float8": "1.5", "float4": "1.5", "text": "a", "numeric": "1.50", "bytea": "\\x00",
        "date": "2024-02-29", "timestamp": "2024-02-29 10:00:00.5", "timestamptz": "2024-02-29 10:00:00.5+00",
        "int8": "1", "bool": "t", "numeric(10,2)": "1.50", "uuid": "6f1b0b7e-0000-4000-8000-000000000000",
        "money": "-$1,234.50", "text[]": '{a,"b c",NULL}', "int4[]": "{1,NULL}", "numeric[]": "{1.50}",
        "bytea[]": '{"\\\\x00"}',
        "date[]": "{2024-02-29}", "hstore": '"a"=>NULL', "citext": "A", "bit(12)": "000000000101", "bit(1)": "1",
        "time(3)": "10:00:00.12", "timestamp(3)": "2024-02-29 10:00:00.12", "composite": '(1,"x y")', "domain": "5",
        "enum": "ok", "inet": "10.0.0.1/8", "json": "{}", "int4range": "[1,5)", "line": "{1,2,3}", "point": "(1,2)",
    }[name]  # fmt: skip
    for with_schema in (True, False):
        options = replace(MODES["defaults"], schemas_enable=with_schema)
        assert through(name, text, options, marked=False) == (text, set())


@pytest.mark.parametrize("name", ["timetz", "interval", "varbit", "numeric", "timestamp", "text", "text[]"])
def test_our_own_marks_leave_the_rest_without_doubt(name):
    text = {
        "timetz": "10:00:00+00", "interval": "04:05:06", "varbit": "101", "numeric": None, "timestamp": None,
        "text": "a", "text[]": "{NULL,NULL}",
    }[name]  # fmt: skip
    assert through(name, text, MODES["defaults"], marked=True) == (text, set())


@pytest.mark.parametrize(
    ("name", "text", "mode", "loss"),
    [
        ("date", "infinity", "defaults", Loss.INFINITE),
        ("timestamp", "-infinity", "nanos", Loss.INFINITE),
        ("interval", "1 mon", "defaults", Loss.INTERVAL),
        ("numeric", "NaN", "defaults", Loss.NULL_DECIMAL),
        ("numeric", "1.5", "nanos", Loss.DOUBLE),
        ("text", PLACEHOLDER, "defaults", Loss.UNCHANGED),
        ("text[]", "{{a,b},{c,d}}", "defaults", Loss.NESTED_ARRAY),
        ("timetz", "10:00:00+02", "defaults", Loss.ZONE),
        ("time", "24:00:00", "iso", Loss.END_OF_DAY),
        ("timestamp", "2024-01-01 00:00:00.000001", "strings", Loss.MILLISECONDS),
        ("varbit", "001", "defaults", Loss.BITS),
    ],
)
def test_what_is_lost_is_called_by_its_name(name, text, mode, loss):
    assert through(name, text, MODES[mode], marked=False)[1] == {loss}


def test_a_schema_alone_is_enough():
    options = replace(MODES["defaults"], schemas_enable=True)
    for name, text in (("timestamptz", "2024-01-01 10:00:00.5+00"), ("numeric", "12.30"), ("int4[]", "{1,NULL}")):
        assert through(name, text, options, marked=False, catalog_knows=False) == (text, set())


PRODUCT = Relation(
    oid=0,
    schema="public",
    name="t",
    columns=(Column(name="id", type_oid=23, in_key=True), Column(name="v", type_oid=25)),
)
CATALOG = TypeCatalog(tables={TABLE: TableShape(primary_key=("id",), columns={"id": (23, -1), "v": (25, -1)})})


def decoder(**options):
    return DebeziumDecoder(DecoderOptions(written=MODES["defaults"], **options), CATALOG)


def records_of(*changes, **options):
    written = replace(MODES["defaults"], provide_transaction_metadata=True, **options)
    return list(DebeziumEncoder(written, CATALOG).records(transaction(*changes)))


@pytest.mark.parametrize("with_schema", [True, False])
def test_all_operations_come_back(with_schema):
    changes = (
        RowChange(relation=PRODUCT, op="c", new=("1", "a")),
        RowChange(relation=PRODUCT, op="u", new=("1", None)),
        RowChange(relation=PRODUCT, op="d", new=None, old=("1", None), old_is_key=True),
        Truncate(relations=(PRODUCT,)),
        Message(prefix="p", content=b"\x00\xff", transactional=True, lsn=500),
    )
    reader = decoder()
    found = [
        reader.decode(record.topic, record.key_json, record.value_json)
        for record in records_of(*changes, schemas_enable=with_schema)
    ]
    assert [record.change for record in found if record.change] == [
        replace(change, relation=PRODUCT) if isinstance(change, RowChange) else change for change in changes
    ] or with_schema
    assert [type(record.change) for record in found if record.change] == [type(change) for change in changes]
    assert [record.mark.status for record in found if record.mark] == ["BEGIN", "END"]
    assert {record.transaction_id for record in found} == {"9:500", None}
    assert [record.total_order for record in found if record.change] == [1, 2, 3, 4, 5]
    assert (found[1].lsn, found[1].xid, found[1].source_time_us) == (500, 9, 1_700_000_000_123_456)


def test_D01_a_change_of_key_comes_back_as_delete_and_create():
    change = RowChange(relation=PRODUCT, op="u", new=("2", "a"), old=("1", None), old_is_key=True)
    reader = decoder()
    found = [reader.decode(record.topic, record.key_json, record.value_json).change for record in records_of(change)]
    assert [(each.op, each.old, each.new) for each in found if each] == [
        ("d", ("1", None), None),
        ("c", None, ("2", "a")),
    ]


def test_D06_an_unchanged_value_is_refused_until_it_is_accepted():
    change = RowChange(relation=PRODUCT, op="u", new=("1", UNCHANGED))
    (record,) = [record for record in records_of(change) if record.topic == "store.public.t"]
    given_record = (record.topic, record.key_json, record.value_json)
    with pytest.raises(UntrustedValues, match=r"v \(unchanged\)"):
        decoder().decode(*given_record)
    for options in (
        {"accept_columns": frozenset(["v"])},
        {"accept_columns": frozenset(["t.v"])},
        {"accept_columns": frozenset(["public.t.v"])},
        {"accept_losses": frozenset([Loss.UNCHANGED])},
        {"losses_marked": True},
    ):
        assert decoder(**options).decode(*given_record).change.new == ("1", UNCHANGED)
    with pytest.raises(UntrustedValues):
        decoder(accept_columns=frozenset(["id", "u.v"])).decode(*given_record)


def test_heartbeats_and_tombstones_are_nothing():
    heartbeat = DebeziumEncoder(MODES["defaults"]).heartbeat(5)
    for key, value in ((heartbeat.key_json, heartbeat.value_json), ('{"id":1}', None), (b'{"id":1}', "null")):
        found = decoder().decode("t", key, value)
        assert (found.change, found.mark, found.doubts) == (None, None, ())


@pytest.mark.parametrize(
    "value",
    ["[]", "{}", "nonsense", '{"op":"c"}', '{"op":"x","source":{"schema":"public","table":"t"}}', b"\xff\xfe"],
)
def test_what_is_no_record(value):
    with pytest.raises(DecodeError):
        decoder().decode("t", None, value)


def test_a_table_that_nobody_knows():
    (record,) = [
        each for each in records_of(RowChange(relation=PRODUCT, op="c", new=("1", "a"))) if "public" in each.topic
    ]
    with pytest.raises(DecodeError, match="does not know the table"):
        DebeziumDecoder(DecoderOptions(written=MODES["defaults"])).decode(record.topic, None, record.value_json)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["op", "source", "schema", "payload", "table", "after", "before", "status", "ts_ms"]),
                inner,
            )
        ),
        max_leaves=8,
    )
)
def test_any_other_json_is_refused_and_nothing_else(value):
    with contextlib.suppress(DecodeError):
        decoder().inspect("t", None, json.dumps(value))


def test_the_lossless_lines_come_back_exactly():
    changes = (
        RowChange(relation=PRODUCT, op="c", new=("1", "a")),
        RowChange(relation=PRODUCT, op="u", new=("1", UNCHANGED), old=("0", None), old_is_key=True),
        Truncate(relations=(PRODUCT,), cascade=True),
        Message(prefix="p", content=b"\x00\xff", transactional=False, lsn=7),
    )
    writer, reader = LosslessWriter(), LosslessReader()
    for _ in range(2):
        found = [each for line in writer.lines(transaction(*changes)) if (each := reader.feed(line))]
        assert found == [transaction(*changes)]
    for line in ("{}", "nonsense", '{"kind":"row"}', '{"kind":"commit"}'):
        with pytest.raises(DecodeError):
            LosslessReader().feed(line)


@given(st.dates(), st.datetimes())
def test_text_forms_of_dates_are_postgresqls(date, moment):
    epoch = datetime.datetime(1970, 1, 1)  # noqa: DTZ001
    assert date_text((date - epoch.date()).days) == date.isoformat()
    micros_since = (moment - epoch) // datetime.timedelta(microseconds=1)
    shown = moment.isoformat(sep=" ")
    assert timestamp_text(micros_since) == (shown.rstrip("0") if "." in shown else shown)


def test_the_example_of_the_document():
    text = (Path(__file__).parents[2] / "docs" / "debezium-compatibility.md").read_text()
    exec(text.partition("```python\n")[2].partition("```")[0], {})
