"""Values of every type from a real MariaDB: exact, or refused by name. PostgreSQL itself says what its forms are."""

import itertools
import json
from decimal import Decimal

import psycopg
import pytest

from cdc.errors import SourceUnfit, ValueRefused
from cdc.mysql.charsets import SUPPORTED, text_decoder
from cdc.mysql.provision import provision_mysql_source
from cdc.mysql.source import BinlogSource
from cdc.mysql.statements import read_statement
from sandbox.mariadb import create_mysql_database, mariadb_server
from tests.mariadb_pair import Mysql, need_mariadb

pytestmark = pytest.mark.integration
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server():
    need_mariadb()
    with mariadb_server({"sql-mode": "ALLOW_INVALID_DATES"}) as url:
        yield url


@pytest.fixture(scope="module")
def database(server):
    made = Mysql(create_mysql_database(server, "types"))
    yield made
    made.close()


def captured(database, column, values, *, options="", table_options=""):
    """What arrives for each of `values` (SQL texts) in a column, with the column."""
    name = f"v{next(NUMBERS)}"
    database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v {column}) {table_options}")
    stream = f"values_{name}"
    table = database.table(name)
    position = provision_mysql_source(database.dsn, stream, [table])
    for number, value in enumerate(values):
        database.execute(f"INSERT INTO {name} VALUES ({number}, {value})")
    source = BinlogSource(database.dsn + options, stream=stream, tables=[table], position=position)
    source.open()
    try:
        found = []
        while len(found) < len(values):
            found += [change for transaction in source.poll(2) for change in transaction.changes]
        assert [change.new[0] for change in found] == [str(number) for number in range(len(values))]
        return [change.new[1] for change in found], found[0].relation.columns[1]
    finally:
        source.close()


@pytest.mark.parametrize(
    ("column", "oid", "values"),
    [
        ("tinyint", 21, ["-128", "127", "0"]),
        ("tinyint unsigned", 21, ["255", "0"]),
        ("smallint", 21, ["-32768", "32767"]),
        ("smallint unsigned", 23, ["65535"]),
        ("mediumint", 23, ["-8388608", "8388607"]),
        ("mediumint unsigned", 23, ["16777215"]),
        ("int", 23, ["-2147483648", "2147483647"]),
        ("int unsigned", 20, ["4294967295"]),
        ("bigint", 20, ["-9223372036854775808", "9223372036854775807"]),
        ("bigint unsigned", 1700, ["18446744073709551615", "9223372036854775808", "0"]),
        ("year", 21, ["1901", "2155", "0"]),
        ("bit(1)", 1560, ["1", "0"]),
        ("decimal(5,0)", 1700, ["99999", "-99999", "0"]),
        ("decimal(65,30)", 1700, ["-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1"]),
        ("decimal(9,9)", 1700, ["0.123456789", "-0.000000001"]),
    ],
)
def test_D19_numbers(database, column, oid, values):
    found, described = captured(database, column, values)
    assert described.type_oid == oid
    assert [Decimal(value) for value in found] == [Decimal(value) for value in values]
    if "decimal" not in column:
        assert found == values


def test_D13_floats_come_back_bit_for_bit_as_postgresql_writes_them(database, postgres_url):
    doubles = [
        "0.1",
        "1e22",
        "1e15",
        "123456789012345680",
        "-0e0",
        "5e-324",
        "1.7976931348623157e308",
        "1e-5",
        "0.0001",
    ]
    floats = ["0.1", "1e6", "999999", "16777217", "3.4028235e38", "1e-45", "-1.5", "1e-5"]
    for column, kind, texts in (("double", "float8", doubles), ("float", "float4", floats)):
        found, described = captured(database, column, texts)
        assert described.type_oid == {"float8": 701, "float4": 700}[kind]
        with psycopg.connect(postgres_url) as postgres:
            asked = [postgres.execute(f"SELECT '{text}'::{kind}::text").fetchone()[0] for text in found]
        assert found == asked
        assert [float(text) for text in found[:2]] == [float(text) for text in texts[:2]]


def test_D14_dates_and_times(database, postgres_url):
    dates, _ = captured(database, "date", ["'2024-02-29'", "'1000-01-01'", "'9999-12-31'", "'0001-01-01'"])
    assert dates == ["2024-02-29", "1000-01-01", "9999-12-31", "0001-01-01"]
    moments, column = captured(
        database, "datetime(6)", ["'2024-02-29 23:59:59.999999'", "'1000-01-01 00:00:00.1'", "'2024-01-01'", "NULL"]
    )
    assert moments == ["2024-02-29 23:59:59.999999", "1000-01-01 00:00:00.1", "2024-01-01 00:00:00", None]
    assert column.type_oid == 1114
    times, column = captured(
        database,
        "time(6)",
        ["'-838:59:59.999999'", "'838:59:59'", "'-00:00:00.000001'", "'00:00:00'", "'12:30:00.5'", "'-1:00:00.25'"],
    )
    assert times == ["-838:59:59.999999", "838:59:59", "-00:00:00.000001", "00:00:00", "12:30:00.5", "-01:00:00.25"]
    assert column.type_oid == 1186
    with psycopg.connect(postgres_url) as postgres:
        assert [postgres.execute(f"SELECT '{text}'::interval::text").fetchone()[0] for text in times] == times


@pytest.mark.parametrize("digits", range(7))
def test_D14_every_number_of_fraction_digits(database, digits):
    fraction = "123456"[:digits]
    shown = f".{fraction}" if digits else ""
    for kind, suffix in (("datetime", ""), ("time", ""), ("timestamp", "+00")):
        day = "" if kind == "time" else "2024-03-04 "
        negative = ["'-01:02:03.123456'"] if kind == "time" else []
        found, _ = captured(database, f"{kind}({digits}) NULL", [f"'{day}01:02:03.123456'", *negative])
        assert found[0] == f"{day}01:02:03{shown}{suffix}"
        assert found[1:] == [f"-01:02:03{shown}"] * len(negative)


def test_D15_timestamps_are_instants_whatever_the_sessions_time_zone(database):
    name = f"v{next(NUMBERS)}"
    database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v timestamp NULL)")
    table = database.table(name)
    position = provision_mysql_source(database.dsn, name, [table])
    other = database.other()
    other.cursor().execute("SET time_zone = '+05:30'")
    other.cursor().execute(f"INSERT INTO {name} VALUES (1, '2024-01-01 00:00:00')")
    source = BinlogSource(database.dsn, stream=name, tables=[table], position=position)
    source.open()
    (transaction,) = source.poll(5)
    source.close()
    assert next(iter(transaction.changes)).new[1] == "2023-12-31 18:30:00+00"


@pytest.mark.parametrize("column", ["date", "datetime", "timestamp NULL"])
def test_D14_dates_that_no_calendar_has_are_refused_or_null_by_policy(database, column):
    with pytest.raises(ValueRefused) as refused:
        captured(database, column, ["'0000-00-00'"])
    assert "column v of" in refused.value.thing
    assert captured(database, column, ["'0000-00-00'"], options="?zero_dates=null")[0] == [None]


def test_D14_a_day_that_its_month_does_not_have(database):
    with pytest.raises(ValueRefused, match="2023-02-31"):
        captured(database, "date", ["'2023-02-31'"])


def test_D20_binary_of_every_kind_with_its_padding(database):
    every = bytes(range(256)).hex()
    for column in ("blob", "varbinary(300)", "longblob"):
        assert captured(database, column, [f"x'{every}'", "''", "NULL"])[0] == ["\\x" + every, "\\x", None]
    found, described = captured(database, "binary(8)", ["x'0102'", "x'0100000000000000'", "''"])
    assert found == ["\\x0102000000000000", "\\x0100000000000000", "\\x0000000000000000"]
    assert described.type_oid == 17
    assert captured(database, "binary(255)", ["x'00'"])[0] == ["\\x" + "00" * 255]


def test_D25_text_in_its_own_character_set(database):
    assert captured(database, "varchar(20) CHARSET utf8mb4", ["'né😀'", "''", "'null'", "NULL", "'a  '"])[0] == [
        "né😀", "", "null", None, "a  "
    ]  # fmt: skip
    assert captured(database, "varchar(300) CHARSET latin1", ["'é€'", "x'81'"])[0] == ["é€", "\x81"]
    assert captured(database, "char(255) CHARSET utf8mb4", ["'ab '", "'é'"])[0] == ["ab", "é"]
    assert captured(database, "text CHARSET ucs2", ["'né'"])[0] == ["né"]
    assert captured(database, "mediumtext CHARSET gbk", ["'中文'"])[0] == ["中文"]


def test_D25_each_supported_character_set_converts_as_the_server_does(database):
    single = [name for name in sorted(SUPPORTED) if not name.startswith(("utf", "ucs")) and name not in _MULTIBYTE]
    known = {row["CHARACTER_SET_NAME"] for row in database.execute("SELECT * FROM information_schema.CHARACTER_SETS")}
    for name in [one for one in single if one in known]:
        decode = text_decoder(name)
        for byte in range(256):
            (row,) = database.execute(f"SELECT CONVERT(_{name} x'{byte:02x}' USING utf8mb4) AS it")
            try:
                assert decode(bytes([byte])) == row["it"], (name, byte)
            except UnicodeDecodeError:
                assert row["it"] in ("?", "\ufffd"), (name, byte)


_MULTIBYTE = ("cp932", "gb2312", "gbk", "euckr")


def test_D22_enum_and_set_by_label(database):
    labels = "('a','bé','c,d''e')"
    assert captured(database, f"enum{labels} CHARSET utf8mb4", ["'bé'", "'c,d''e'", "NULL", "1"])[0] == [
        "bé", "c,d'e", None, "a"
    ]  # fmt: skip
    assert captured(database, "set('x','y','z')", ["'x,z'", "''", "NULL", "'z,y,x'"])[0] == ["x,z", "", None, "x,y,z"]
    many = ",".join(f"'l{number}'" for number in range(300))
    assert captured(database, f"enum({many})", ["'l299'", "'l0'"])[0] == ["l299", "l0"]


def test_bits_and_json(database):
    assert captured(database, "bit(10)", ["b'1000000001'", "b'1'"])[0] == ["1000000001", "0000000001"]
    text = '{"a": 12345678901234567890.123456789012345678901, "a": [null, "é"]}'
    (found,), column = captured(database, "json", [f"'{text}'"])
    assert found == text
    assert column.type_oid == 25
    assert json.loads(found)


def test_D23_what_cannot_be_exact_is_refused_by_name(database):
    for column in ("geometry", "point", "inet6", "uuid", "varchar(10) CHARSET greek"):
        with pytest.raises(SourceUnfit) as refused:
            captured(database, column, ["NULL"])
        assert "column v" in refused.value.reason


def test_tables_that_cannot_be_captured_are_refused_by_name(database):
    database.execute("CREATE TABLE plain (id int PRIMARY KEY) ENGINE = MyISAM")
    database.execute("CREATE TABLE keyless (id int)")
    database.execute("CREATE VIEW seen AS SELECT * FROM keyless")
    database.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    database.execute(
        "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)"
    )
    reasons = {"plain": "no transactions", "keyless": "primary key", "seen": "view", "child": "foreign key"}
    for name, reason in {**reasons, "missing": "does not exist"}.items():
        with pytest.raises(SourceUnfit) as refused:
            provision_mysql_source(database.dsn, "unfit", [database.table(name)])
        assert reason in refused.value.reason
        assert name in refused.value.thing
        assert refused.value.mend


def test_a_cascade_makes_no_events_which_is_why_it_is_refused(database):
    """The fact behind the refusal: the server deletes the child row and logs only the parent's."""
    database.execute("CREATE TABLE up (id int PRIMARY KEY)")
    database.execute("CREATE TABLE down (id int PRIMARY KEY, p int, CONSTRAINT f FOREIGN KEY (p) REFERENCES up (id))")
    tables = [database.table("up"), database.table("down")]
    position = provision_mysql_source(database.dsn, "cascade", tables)
    database.execute("ALTER TABLE down DROP FOREIGN KEY f")
    database.execute("ALTER TABLE down ADD FOREIGN KEY (p) REFERENCES up (id) ON DELETE CASCADE")
    for statement in ("INSERT INTO up VALUES (1)", "INSERT INTO down VALUES (1, 1)", "DELETE FROM up"):
        database.execute(statement)
    source = BinlogSource(database.dsn, stream="cascade", tables=tables, position=position)
    source.open()
    found = []
    while len(found) < 3:
        found += [change for transaction in source.poll(2) for change in transaction.changes]
    found += [change for transaction in source.poll(0.5) for change in transaction.changes]
    source.close()
    assert [(change.op, change.relation.name) for change in found] == [("c", "up"), ("c", "down"), ("d", "up")]
    assert database.execute("SELECT * FROM down") == ()


def test_compressed_binlog_events(server):
    with mariadb_server({"log-bin-compress": "1", "log-bin-compress-min-len": "10"}) as url:
        database = Mysql(create_mysql_database(url, "packed"))
        database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)")
        table = database.table("t")
        position = provision_mysql_source(database.dsn, "packed", [table])
        database.execute("INSERT INTO t VALUES (1, REPEAT('x', 5000))")
        database.execute("UPDATE t SET a = REPEAT('y', 5000)")
        database.execute("DELETE FROM t")
        source = BinlogSource(database.dsn, stream="packed", tables=[table], position=position)
        source.open()
        found = []
        while len(found) < 3:
            found += [change for transaction in source.poll(2) for change in transaction.changes]
        source.close()
        assert [(change.op, change.new and change.new[1], change.old and change.old[1]) for change in found] == [
            ("c", "x" * 5000, None), ("u", "y" * 5000, "x" * 5000), ("d", None, "y" * 5000)
        ]  # fmt: skip


def test_the_statements_that_matter_are_told_apart():
    assert read_statement("/* app */ TRUNCATE TABLE `a``b`", "db").names == (("db", "a`b"),)
    assert read_statement("DROP TABLE IF EXISTS x, `y`.`z` /* generated */", "db").names == (("db", "x"), ("y", "z"))
