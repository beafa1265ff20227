"""Text forms → bound values → text forms, without a database: exact, or a ValueError."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.sql_target.column_kinds import mysql_column, sqlite_column
from cdc.sql_target.columns import SqlColumn
from cdc.sql_target.fitness import misfit
from cdc.sql_target.json_text import array_to_json, parse_array
from cdc.sql_target.reading import normal, text_of
from cdc.sql_target.values import converter


def column(kind, **more):
    return SqlColumn(name="c", kind=kind, declared=f"{kind} column", **more)


def there_and_back(text, column, source_type, dialect):
    """The text after a round trip through the driver's value; None where it was refused."""
    try:
        value = converter(column, source_type, dialect)(text)
    except ValueError:
        return None
    back = text_of(value, column, source_type)
    assert normal(back, source_type, column) == normal(text, source_type, column)
    return back


@given(st.integers(-(2**70), 2**70), st.sampled_from([(0, 255), (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)]))
def test_d19_integers_in_range_are_exact_and_the_others_refused(number, bounds):
    low, high = bounds
    back = there_and_back(str(number), column("integer", low=low, high=high), "bigint", "mysql")
    assert back == (str(number) if low <= number <= high else None)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**20), max_value=10**20))
def test_decimals_are_never_rounded(number):
    text = f"{number:f}"
    for places in (2, 4):
        fits = abs(number) < 10**12 and number == round(number, places)
        back = there_and_back(text, column("numeric", precision=12 + places, scale=places), None, "mysql")
        assert (back is not None) == fits
        assert back is None or Decimal(back) == number


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_d12_numbers_that_sqlite_would_round_are_refused(number):
    back = there_and_back(f"{number:f}", column("numeric", numeric_affinity=True), "numeric", "sqlite")
    assert back is None or Decimal(back) == number
    if len(number.normalize().as_tuple().digits) <= 15 and Decimal("1e-300") < abs(number) < Decimal("1e300"):
        assert back is not None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_d13_doubles_are_bit_exact(number):
    back = there_and_back(repr(number), column("float", length=53), "double precision", "mysql")
    assert back is not None
    assert (float(back), back.startswith("-")) == (number, repr(number).startswith("-"))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_singles_keep_their_shortest_text(number):
    shortest = next(f"{number:.{digits}g}" for digits in range(1, 10) if _single(f"{number:.{digits}g}") == number)
    assert there_and_back(shortest, column("float", length=24), "real", "mysql") is not None
    finer = repr(0.1 + abs(number) % 1)
    if len(finer) > 12:
        assert there_and_back(finer, column("float", length=24), "double precision", "mysql") is None


def _single(text):
    import struct

    try:
        return struct.unpack("f", struct.pack("f", float(text)))[0]
    except OverflowError:
        return None


@given(st.datetimes(), st.sampled_from(["mysql", "sqlite", "generic"]))
def test_d15_moments_with_a_zone_are_the_same_instant(moment, dialect):
    text = moment.isoformat(" ") + "+00"
    back = there_and_back(text, column("datetime"), "timestamp with time zone", dialect)
    assert back is not None


def test_d15_another_offset_is_the_same_instant():
    convert = converter(column("datetime"), "timestamp with time zone", "sqlite")
    assert convert("2026-03-29 02:30:00.5+05:30") == convert("2026-03-28 21:00:00.5+00") == "2026-03-28 21:00:00.500000"


@given(st.times(), st.integers(0, 6))
def test_digits_of_a_second_that_the_column_drops_are_refused(moment, kept):
    text = moment.isoformat()
    back = there_and_back(text, column("time", fraction=kept), "time without time zone", "mysql")
    assert (back is None) == bool(moment.microsecond % 10 ** (6 - kept))


@given(st.binary(max_size=40))
def test_d20_bytes(data):
    text = f"\\x{data.hex()}"
    assert there_and_back(text, column("bytes"), "bytea", "mysql") == text
    assert (there_and_back(text, column("bytes", length=8, fixed=True), "bytea", "mysql") is None) == (len(data) != 8)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(1, 8))
def test_d24_texts_are_whole_or_refused(text, length):
    assert there_and_back(text, column("text", length=length), "text", "mysql") == (
        text if len(text) <= length else None
    )
    assert there_and_back(text, column("text", octets=12), "text", "mysql") == (
        text if len(text.encode()) <= 12 else None
    )
    assert there_and_back(text, column("text", length=length), "text", "sqlite") == text


_elements = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8))


def _literal(items):
    def quote(item):
        return "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(_literal(item) if isinstance(item, list) else quote(item) for item in items) + "}"


@given(st.one_of(st.lists(_elements), st.lists(st.lists(_elements, min_size=1), min_size=1)))
def test_d21_arrays_of_texts_are_json_arrays(items):
    text = _literal(items)
    assert parse_array(text) == items
    assert json.loads(array_to_json(text, "text")) == items
    assert there_and_back(text, column("json"), "text[]", "sqlite") is not None


@given(st.text(max_size=30))
def test_what_is_no_array_is_refused_by_name_only(text):
    try:
        json.loads(array_to_json(text, "text"))
    except ValueError as error:
        assert "array" in str(error)


@pytest.mark.parametrize(
    ("text", "element", "expected"),
    [
        ("{1,NULL,3}", "integer", "[1,null,3]"),
        ("{12345678901234567890.10}", "numeric(30,2)", "[12345678901234567890.10]"),
        ("{t,f}", "boolean", "[true,false]"),
        ('{"{\\"a\\": 1}"}', "jsonb", '[{"a": 1}]'),
        ("{{1,2},{3,4}}", "bigint", "[[1,2],[3,4]]"),
        ("{}", "text", "[]"),
        ("{NaN}", "numeric", None),
        ("[0:1]={1,2}", "integer", None),
        ("{1,2", "integer", None),
        ("{1,2}x", "integer", None),
    ],
)
def test_arrays_by_element(text, element, expected):
    if expected is None:
        with pytest.raises(ValueError, match=r"array|JSON"):
            array_to_json(text, element)
    else:
        assert array_to_json(text, element) == expected


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a": 12345678901234567890.5}', False),
        ('{"a": 36893488147419103232}', False),
        ('{"a": 1.5, "b": 18446744073709551615}', True),
        ('{"a": 1, "a": 2}', False),
        ("[NaN]", False),
    ],
)
def test_d18_a_native_json_type_gets_only_what_it_keeps(text, kept):
    assert (there_and_back(text, column("json", stored_as_text=False), "json", "mysql") is not None) == kept


def test_a_document_from_nobody_knows_where_is_checked():
    assert there_and_back("{1,2}", column("json"), None, "mysql") is None
    assert there_and_back('{"a":1}', column("json"), None, "mysql") == '{"a":1}'


@given(st.text(max_size=20), st.sampled_from(sorted({"integer", "numeric", "float", "boolean", "bytes", "date", "time",
                                                      "datetime", "json", "enum", "bit", "unknown"})))  # fmt: skip
def test_no_text_ends_in_anything_but_a_value_or_a_refusal(text, kind):
    made = column(kind, length=3 if kind in ("bit", "bytes") else None, labels=("a",))
    for dialect in ("mysql", "sqlite", "generic"):
        try:
            converter(made, None, dialect)(text)
        except (ValueError, ArithmeticError) as error:
            assert str(error)


@pytest.mark.parametrize(
    ("source", "declared", "expected"),
    [
        ("bigint", "bigint", None),
        ("bigint", "bigint unsigned", "narrower"),
        ("integer", "mediumint", "narrower"),
        ("boolean", "tinyint(1)", None),
        ("smallint", "decimal", None),
        ("point", "int", None),
        ("uuid", "int", "different kinds"),
    ],
)
def test_fitness_on_mysql(source, declared, expected):
    base = declared.partition("(")[0].partition(" ")[0]
    row = {
        "name": "c", "data_type": base, "column_type": declared, "nullable": 1, "extra": "", "expression": None,
        "length": None, "octets": None, "precision": 10, "scale": 0, "fraction": None, "collation": None,
    }  # fmt: skip
    reason = misfit(source, mysql_column(row), "mysql")
    assert reason is None if expected is None else expected in reason


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("INTEGER", "integer"), ("VARCHAR(5)", "text"), ("", "text"), ("DOUBLE PRECISION", "float"), ("BLOB", "bytes"),
     ("DECIMAL(10,2)", "numeric"), ("BOOLEAN", "boolean"), ("TIMESTAMP", "datetime"), ("MONEY", "unknown")],
)  # fmt: skip
def test_kinds_of_sqlite_follow_its_affinities(declared, kind):
    row = {"name": "c", "type": declared, "notnull": 0, "hidden": 0, "pk": 0}
    assert sqlite_column(row, (), ()).kind == kind
