"""Column defaults in the schemas of records, and nulls that were written as them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
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
from cdc.debezium.catalog import OID_OF
from cdc.debezium.defaults import ANY_VALUE, default_of, null_likeness
from cdc.events import Column, Relation, RowChange, TableName, Transaction

OPTIONS = DebeziumOptions(topic_prefix="store", schemas_enable=True)
MOOD = PgType(oid=20_001, name="mood", kind="enum", labels=("ok", "it's"))
POSINT = PgType(oid=20_002, name="posint", kind="domain", of=23)
CATALOG = TypeCatalog(types={each.oid: each for each in (MOOD, POSINT)})
TEN_TWO = (10 << 16 | 2) + 4
FIVE_MINUS_TWO = (5 << 16 | (-2 & 0x7FF)) + 4


def default(type_name, expression, modifier=-1, **modes):
    oid = {"mood": MOOD.oid, "posint": POSINT.oid}.get(type_name) or OID_OF[type_name]
    return default_of(expression, oid, modifier, CATALOG, replace(OPTIONS, **modes))


@pytest.mark.parametrize(
    ("type_name", "modifier", "expression", "expected"),
    [
        ("int4", -1, "7", 7),
        ("int2", -1, "'-3'::integer", -3),
        ("int2", -1, "40000", None),
        ("int4", -1, "1.6", None),
        ("int4", -1, "(1 + 2)", None),
        ("int8", -1, "'9223372036854775807'::bigint", 9223372036854775807),
        ("int4", -1, "nextval('numbers'::regclass)", 0),
        ("numeric", TEN_TWO, "7", "Arw="),
        ("numeric", TEN_TWO, "1.255", None),
        ("numeric", TEN_TWO, "'NaN'::numeric", None),
        ("numeric", FIVE_MINUS_TWO, "1200", "DA=="),
        ("numeric", FIVE_MINUS_TWO, "1250", None),
        ("numeric", -1, "1.5", None),
        ("float4", -1, "1.123456789", 1.1234568),
        ("float8", -1, "'NaN'::double precision", "NaN"),
        ("bool", -1, "true", True),
        ("bool", -1, "(NOT false)", None),
        ("text", -1, "'it''s'::text", "it's"),
        ("text", -1, "'a\\b\nc'::text", "a\\b\nc"),
        ("text", -1, "'now()'::text", "now()"),
        ("text", -1, "('a'::text || 'b'::text)", None),
        ("text", -1, "CURRENT_USER", ""),
        ("text", -1, "upper('a'::text)", ""),
        ("text", -1, "true", None),
        ("varchar", 14, "NULL::character varying", None),
        ("date", -1, "'2020-02-29'::date", 18321),
        ("date", -1, "CURRENT_DATE", 0),
        ("date", -1, "'infinity'::date", None),
        ("date", -1, "('2020-01-01'::date + 1)", None),
        ("timestamp", -1, "'2020-01-01'::date", 1_577_836_800_000_000),
        ("timestamp", -1, "(now() AT TIME ZONE 'utc'::text)", 0),
        ("timestamptz", -1, "now()", "1970-01-01T00:00:00.000000Z"),
        ("timestamptz", 3, "CURRENT_TIMESTAMP(3)", "1970-01-01T00:00:00.000Z"),
        ("timestamptz", -1, "'2020-01-01 10:00:00'::timestamp without time zone", None),
        ("interval", -1, "'1 day'::interval", 86_400_000_000),
        ("uuid", -1, "gen_random_uuid()", "00000000-0000-0000-0000-000000000000"),
        ("bit", 3, "'101'::\"bit\"", "BQ=="),
        ("jsonb", -1, "'{}'::jsonb", "{}"),
        ("mood", -1, "'it''s'::mood", "it's"),
        ("mood", -1, "'gone'::mood", None),
        ("mood", -1, "enum_first(NULL::mood)", None),
        ("posint", -1, "5", None),
        ("bytea", -1, "'\\x01'::bytea", None),
        ("_int4", -1, "'{1}'::integer[]", None),
    ],
)
def test_defaults(type_name, modifier, expression, expected):
    found = default(type_name, expression, modifier)
    assert (found, type(found)) == (expected, type(expected))


def test_defaults_follow_the_modes():
    assert default("numeric", "7", TEN_TWO, decimal_handling_mode="string") == "7.00"
    assert default("numeric", "7", TEN_TWO, decimal_handling_mode="double") == 7.0
    assert default("date", "'2020-01-01'::date", time_precision_mode="isostring") == "2020-01-01Z"
    assert default("interval", "'1 day'::interval", interval_handling_mode="string") == "P0Y0M1DT0H0M0S"


@given(st.sampled_from(sorted(OID_OF)), st.text(max_size=30), st.sampled_from(["{}", "'{}'::{}", "({})", "{}::text"]))
def test_no_expression_is_more_than_none(type_name, text, form):
    found = default(type_name, form.format(text.replace("'", "''"), type_name))
    json.dumps(found)


def relation(type_oid=23):
    columns = (Column(name="id", type_oid=23, in_key=True), Column(name="n", type_oid=type_oid))
    return Relation(oid=1, schema="public", name="t", columns=columns)


def catalog(expression="7", not_null=()):
    shape = TableShape(
        primary_key=("id",),
        not_null=frozenset({"id", *not_null}),
        columns={"id": (23, -1), "n": (23, -1)},
        defaults={"id": "nextval('ids'::regclass)", "n": expression},
    )
    return TypeCatalog(tables={TableName(name="t"): shape})


def record(value, *, options=OPTIONS, of=None, knows=None):
    change = RowChange(relation=of or relation(), op="c", new=("1", value))
    transaction = Transaction(xid=9, commit_lsn=5, end_lsn=8, commit_time_us=1, changes=(change,))
    (found,) = DebeziumEncoder(options, knows or catalog()).records(transaction)
    return found


def fields(found, part="after"):
    row = next(each for each in found.value["schema"]["fields"] if each["field"] == part)
    return {each["field"]: each for each in row["fields"]}


def test_key_before_and_after_carry_the_default():
    found = record("3")
    assert found.key["schema"]["fields"] == [{"type": "int32", "optional": False, "default": 0, "field": "id"}]
    assert fields(found)["n"] == {"type": "int32", "optional": True, "default": 7, "field": "n"}
    assert fields(found, "before") == fields(found)
    assert record(None).value["payload"]["after"] == {"id": 1, "n": None}


def test_a_column_that_had_another_type_then_has_no_default():
    assert "default" not in fields(record("3", of=relation(type_oid=25)))["n"]


def doubts(found, *, knows=None, schema=True, **options):
    options = DecoderOptions(written=replace(OPTIONS, schemas_enable=schema), **options)
    decoded = DebeziumDecoder(options, knows).inspect(found.topic, found.key_json, found.value_json)
    return {doubt.column: doubt.loss for doubt in decoded.doubts}


def test_a_value_like_the_default_may_be_a_null():
    assert doubts(record("7")) == {"n": Loss.NULL_DEFAULT}
    assert doubts(record("8")) == {}
    assert doubts(record(None)) == {}


def test_a_default_is_believed_where_no_null_can_be_or_is_written_as_one():
    assert doubts(record("7"), nulls_are_kept=True) == {}
    assert doubts(record("7"), losses_marked=True) == {}
    assert doubts(record("7"), knows=catalog(not_null=["n"])) == {}
    assert doubts(record("7"), knows=catalog(not_null=["n"]), types_are_the_sources=False) == {"n": Loss.NULL_DEFAULT}


def test_without_a_schema_the_catalogs_defaults_count():
    bare = replace(OPTIONS, schemas_enable=False)
    seven = record("7", options=bare)
    assert doubts(seven, knows=catalog(), schema=False) == {"n": Loss.NULL_DEFAULT}
    assert doubts(record("8", options=bare), knows=catalog(), schema=False) == {}
    assert doubts(seven, knows=catalog(not_null=["n"]), schema=False) == {}
    assert doubts(record("8", options=bare), knows=catalog("(3 + 4)"), schema=False) == {"n": Loss.NULL_DEFAULT}


def test_what_a_null_may_look_like():
    assert null_likeness("7", 23, -1, CATALOG, OPTIONS) == 7
    assert null_likeness("(3 + 4)", 23, -1, CATALOG, OPTIONS) is ANY_VALUE
    assert null_likeness("NULL::integer", 23, -1, CATALOG, OPTIONS) is None
    assert null_likeness("'{1}'::integer[]", OID_OF["_int4"], -1, CATALOG, OPTIONS) is None
