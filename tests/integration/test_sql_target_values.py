# ruff: noqa: E501 - a table of cases reads better in lines
"""D11 to D25: each value arrives exactly in MariaDB and SQLite, by insert and as a key to look for, or is refused."""

import pytest

from cdc.apply_batch import RowGroup
from cdc.errors import TargetUnfit
from cdc.events import TableName
from cdc.sql_target.reading import normal
from cdc.target_port import RowRefused
from tests.contract.apply_targets import make_target

pytestmark = pytest.mark.integration
T = TableName(name="t")

# source type, column type on MySQL and on SQLite, exact values, refused values (a pair: refused on that dialect only)
CASES = {
    "i2": ("smallint", "smallint", "SMALLINT", ["-32768", "0", "32767"], []),
    "i8": ("bigint", "bigint", "BIGINT", ["-9223372036854775808", "9007199254740993", "0"], []),
    "u8": (None, "bigint unsigned", "TEXT", ["18446744073709551615", "0"], [("mysql", "18446744073709551616"), ("mysql", "-1")]),
    "n": ("numeric(30,10)", "decimal(30,10)", "TEXT", ["12345678901234567890.0123456789", "-0.5000000000", "0.0000000000"],
          [("mysql", "NaN"), ("mysql", "Infinity")]),
    "nd": ("numeric(15,2)", "decimal(15,2)", "DECIMAL(15,2)", ["1234567890123.45", "1.50", "-99999999.99"], ["NaN"]),
    "nw": (None, "decimal(5,2)", "NUMERIC", ["999.99", "1.00"], [("mysql", "1000.00"), ("mysql", "0.001"), ("sqlite", "12345678901234567.89")]),
    "f8": ("double precision", "double", "DOUBLE", ["0.1", "4.9406564584124654e-324", "1.7976931348623157e+308", "-2.5", "100000"],
           ["NaN", ("mysql", "Infinity"), ("sqlite", "-0")]),
    "f4": ("real", "float", "FLOAT", ["0.1", "3.4028235e+38", "16777216", "1.1754944e-38"], ["NaN"]),
    "b": ("boolean", "tinyint(1)", "BOOLEAN", ["t", "f"], []),
    "c": ("text", "longtext", "TEXT", ["", "null", "NULL", "a\"b\\c'd\n\t%s %(x)s", "😀\U0010ffff", "__debezium_unavailable_value", " x ", "\x01\x1a"], []),
    "v": ("character varying(5)", "varchar(5)", "VARCHAR(5)", ["12345", " x ", "😀😀😀😀😀"], [("mysql", "123456"), ("mysql", "12345 ")]),
    "ch": ("character(3)", "char(3)", "CHAR(3)", ["a  ", "abc", "   "], []),
    "fx": ("text", "char(3)", "CHAR(3)", ["abc"], [("mysql", "ab ")]),
    "bb": ("bytea", "longblob", "BLOB", ["\\x", "\\x00ff5c27", "\\x" + bytes(range(256)).hex()], []),
    "bf": ("bytea", "binary(2)", "BLOB", ["\\x00ff"], [("mysql", "\\x00"), ("mysql", "\\x000000")]),
    "d": ("date", "date", "DATE", ["2026-02-28", "0001-01-01", "9999-12-31"], ["infinity", "0044-03-15 BC", "10000-01-01"]),
    "ts": ("timestamp without time zone", "datetime(6)", "DATETIME", ["2026-03-29 02:30:00.123456", "0001-01-01 00:00:00"],
           ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "294276-12-31 23:59:59"]),
    "tz": ("timestamp with time zone", "timestamp(6)", "TIMESTAMP", ["2026-03-29 00:30:00.5+00", "1999-12-31 23:59:59.999999+00"],
           ["infinity", ("mysql", "1969-12-31 23:59:59+00"), ("mysql", "2300-01-01 00:00:00+00")]),
    "t0": ("timestamp(0) without time zone", "datetime", "DATETIME", ["2026-03-29 02:30:00"], [("mysql", "2026-03-29 02:30:00.5")]),
    "tm": ("time without time zone", "time(6)", "TIME", ["00:00:00.000001", "23:59:59.999999", "12:00:00"], [("sqlite", "24:00:00"), "12:00:00+02"]),
    "tt": ("time with time zone", "varchar(30)", "TEXT", ["12:00:00.5+02", "24:00:00-08"], []),
    "iv": ("interval", "varchar(80)", "TEXT", ["1 mon -1 days +00:00:01", "-3 days"], []),
    "j": ("jsonb", "json", "JSON", ['{"a": 123456789012345678901234567890.10}', '"x\\"y"', "[]", "null", "5", "{}"], [("sqlite", "1.50")]),
    "js": ("json", "longtext", "TEXT", ['{"a":1,  "a":2}', "null"], []),
    "a": ("text[]", "json", "JSON", ["{}", '{"a,b","c\\"d",NULL,"NULL",""}', "{{a,b},{c,d}}"], ["[2:3]={x,y}"]),
    "ia": ("integer[]", "json", "JSON", ["{1,NULL,3}", "{{1,2},{3,4}}"], []),
    "na": ("numeric[]", "json", "TEXT", ["{1.10,12345678901234567890.5}"], [("mysql", "{NaN}")]),
    "at": ("text[]", "longtext", "TEXT", ['{"a,b",NULL}', "[2:3]={x,y}"], []),
    "e": ("character varying(8)", "enum('sad','so happy','1')", "VARCHAR(8)", ["sad", "so happy", "1"],
          [("mysql", "SAD"), ("mysql", ""), ("mysql", "2"), ("mysql", "sad ")]),
    "uu": ("uuid", "uuid", "UUID", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000012"], []),
    "ub": ("uuid", "binary(16)", "BLOB", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], []),
    "uc": ("uuid", "char(32)", "CHAR(32)", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "12345678-9012-3456-7890-123456789012"], []),
    "bt": ("bit(3)", "bit(3)", "TEXT", ["101", "000"], [("mysql", "10")]),
    "r": ("int4range", "varchar(40)", "TEXT", ["[1,5)", "empty"], []),
    "ip": ("inet", "varchar(50)", "TEXT", ["10.0.0.1/8"], []),
}  # fmt: skip


@pytest.fixture(params=["sqlite", "mysql"], scope="module")
def opened(request, tmp_path_factory):
    target = make_target(request.param, request, tmp_path_factory.mktemp("values"))
    place = 1 if target.dialect == "mysql" else 2
    columns = ", ".join(f"{name} {case[place]} NULL" for name, case in CASES.items())
    charset = " CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci" if target.dialect == "mysql" else ""
    target.execute(f"CREATE TABLE t (id int PRIMARY KEY, {columns}){charset}")
    types = {name: case[0] for name, case in CASES.items() if case[0]}
    for name in ("fx", "e"):
        types.pop(name)
    link = target.link("t", types={"t": types})
    target.provision(link)
    session = target.open(link)
    assert session.load_position() == 100
    yield target, session
    target.close()


def upsert(name, number, value):
    return RowGroup(kind="upsert", table=T, key=("id",), columns=("id", name), rows=((str(number), value),))


@pytest.mark.parametrize("name", CASES)
def test_values_arrive_exactly_or_are_refused(opened, name):
    target, session = opened
    source_type, _, _, exact, refused = CASES[name]
    column = session._statements(T).table.column(name)
    for number, value in enumerate([*exact, None]):
        with session.transaction(pipelined=True):
            session.write([upsert(name, number, value)])
        back = session.read_row(T, {"id": str(number)}, (name,))[name]
        assert normal(back, source_type, column) == normal(value, source_type, column)
        if source_type is None or not source_type.endswith("[]"):
            assert back is None if value is None else same(back, value, column.kind, source_type)
    for value in refused:
        dialect, value = value if isinstance(value, tuple) else (target.dialect, value)
        if dialect == target.dialect:
            with pytest.raises(RowRefused), session.transaction(pipelined=True):
                session.write([upsert(name, 999, value)])


def same(back, value, kind, source_type):
    """Character for character, but for what the type itself does not tell apart."""
    if source_type == "character(3)":
        return back.rstrip() == value.rstrip()
    if kind in ("numeric", "float"):
        return float(back) == float(value)
    return back == value


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("f4", "f8", "a", "j", "ia", "na")])
def test_a_row_is_found_by_a_key_of_any_type(opened, name):
    _, session = opened
    group = RowGroup(
        kind="update", table=T, key=(name,), columns=("id",), rows=((CASES[name][3][0], "777"),), must_match=True
    )
    with session.transaction(pipelined=True):
        session.write(
            [RowGroup(kind="truncate", table=T, key=(), columns=(), rows=()), upsert(name, 1, CASES[name][3][0])]
        )
    with session.transaction(pipelined=True):
        session.write([group])
    assert session.read_row(T, {"id": "777"}, ("id",)) == {"id": "777"}


UNFIT = [
    ("sqlite", "id int PRIMARY KEY, a numeric(20,2)", {"a": "numeric(20,2)"}, "15 digits"),
    ("sqlite", "id int PRIMARY KEY, a money", {"a": "money"}, "no known form"),
    ("sqlite", "id int PRIMARY KEY, a int", {"a": "text"}, "different kinds"),
    ("mysql", "id int PRIMARY KEY, a int", {"a": "bigint"}, "narrower"),
    ("mysql", "id int PRIMARY KEY, a int unsigned", {"a": "integer"}, "narrower"),
    ("mysql", "id int PRIMARY KEY, a datetime", {"a": "timestamp with time zone"}, "digits of a second"),
    ("mysql", "id int PRIMARY KEY, a varchar(5)", {"a": "text"}, "shorter"),
    ("mysql", "id int PRIMARY KEY, a text", {"a": "text"}, "shorter"),
    ("mysql", "id int PRIMARY KEY, a decimal(10,2)", {"a": "numeric"}, "narrower"),
    ("mysql", "id int PRIMARY KEY, a float", {"a": "double precision"}, "narrower"),
    ("mysql", "id int PRIMARY KEY, a enum('x')", {"a": "text"}, "labels"),
    ("mysql", "id int PRIMARY KEY, a set('x')", {"a": "text"}, "no known form"),
    ("mysql", "id int PRIMARY KEY, a blob", {"a": "jsonb"}, "different kinds"),
    ("mysql", "id int", {}, "no primary key"),
    ("mysql", "id int PRIMARY KEY, a int AS (id) STORED", {"a": "integer"}, "generated"),
    ("mysql", "id int PRIMARY KEY) ENGINE=MyISAM -- ", {}, "without transactions"),
]


@pytest.mark.parametrize(("dialect", "columns", "types", "reason"), UNFIT)
def test_a_column_that_cannot_hold_its_source_is_named_before_the_first_row(
    request, tmp_path, dialect, columns, types, reason
):
    target = make_target(dialect, request, tmp_path)
    try:
        target.execute(f"CREATE TABLE t ({columns}\n)" if "--" not in columns else f"CREATE TABLE t ({columns}")
        link = target.link("t", types={"t": types})
        target.provision(link)
        with pytest.raises(TargetUnfit) as caught:
            target.open(link).load_position()
        assert reason in caught.value.reason
        assert "t" in caught.value.thing
    finally:
        target.close()


def test_s12_triggers_of_the_target_are_named_unless_they_mind_the_stream(request, tmp_path):
    for dialect in ("sqlite", "mysql"):
        target = make_target(dialect, request, tmp_path / dialect if (tmp_path / dialect).mkdir() is None else "")
        body = "BEGIN INSERT INTO audit VALUES (NEW.id); END"
        mindful = "BEGIN IF @strangler_apply IS NULL THEN INSERT INTO audit VALUES (NEW.id); END IF; END"
        try:
            target.execute("CREATE TABLE audit (id int)", "CREATE TABLE t (id int PRIMARY KEY, a int)")
            link = target.link("t")
            target.provision(link)
            target.execute(f"CREATE TRIGGER spy AFTER INSERT ON t FOR EACH ROW {body}")
            with pytest.raises(TargetUnfit) as caught:
                target.open(link).load_position()
            assert "trigger spy of t" in caught.value.thing
            if dialect == "mysql":
                target.execute("DROP TRIGGER spy", f"CREATE TRIGGER spy AFTER INSERT ON t FOR EACH ROW {mindful}")
                session = target.open(target.link("t", direction="reverse"))
                with session.transaction(pipelined=True):
                    session.write([RowGroup(kind="upsert", table=T, key=("id",), columns=("id",), rows=(("1",),))])
                assert target.rows("SELECT * FROM audit") == []
        finally:
            target.close()
