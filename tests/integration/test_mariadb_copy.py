"""Chunks read out of MariaDB: the same values as by its binlog, every kind of key, every row once."""

import itertools
import json

import pytest

from cdc.chunk_handover import CopyInterrupted
from cdc.copy_tracker import CopyCursor, Watermark
from cdc.errors import CopyRefused, ValueRefused
from cdc.mysql.copy_reader import open_mysql_copy
from cdc.mysql.provision import provision_mysql_source
from cdc.mysql.source import BinlogSource
from sandbox.mariadb import create_mysql_database, mariadb_server
from tests.mariadb_pair import Mysql, need_mariadb

pytestmark = pytest.mark.integration
NUMBERS = itertools.count()
BOUNDS = {"most_bytes": 1 << 20, "most_together": 100}

# Each column with the values of its rows (SQL); a list that ends early is filled with its last value.
TYPES = {
    "tinyint": ["-128", "127", "0"],
    "tinyint unsigned": ["255", "0"],
    "tinyint(3) zerofill": ["7", "0"],
    "smallint": ["-32768", "32767"],
    "smallint unsigned": ["65535"],
    "mediumint": ["-8388608", "8388607"],
    "mediumint unsigned": ["16777215"],
    "int": ["-2147483648", "2147483647", "NULL"],
    "int(8) unsigned zerofill": ["42", "4294967295"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "bigint unsigned": ["18446744073709551615", "0"],
    "boolean": ["true", "false"],
    "decimal(5,0)": ["-99999", "0", "10"],
    "decimal(65,30)": ["-" + "9" * 35 + "." + "9" * 30, "0." + "0" * 29 + "1", "0"],
    "decimal(9,9)": ["0.123456789", "-0.000000001", "0"],
    "decimal(10,3) zerofill": ["1.5", "0", "1234567.125"],
    "float": ["0.1", "3.4028235e38", "16777217", "1e-45", "-1.5"],
    "float(7,2)": ["1.005", "12345.67", "-0.01"],
    "double": ["0.1", "5e-324", "1.7976931348623157e308", "123456789012345680", "1e22", "-1e-5"],
    "double(20,4)": ["1.00005", "123456789012345.6789"],
    "bit(1)": ["1", "0"],
    "bit(10)": ["b'1000000001'", "0"],
    "bit(64)": ["18446744073709551615", "1"],
    "year": ["1901", "2155", "0"],
    "date": ["'2024-02-29'", "'0001-01-01'", "'9999-12-31'", "'0000-00-00'", "'2023-02-31'"],
    "datetime": ["'2024-02-29 23:59:59'", "'1000-01-01'", "'0000-00-00'"],
    "datetime(3)": ["'2024-02-29 23:59:59.120'", "'2024-01-01'"],
    "datetime(6)": ["'2024-02-29 23:59:59.999999'", "'2024-01-01 10:00:00.1'"],
    "timestamp NULL": ["'2024-03-31 02:30:00'", "'1970-01-01 00:00:01'", "'0000-00-00'"],
    "timestamp(6) NULL": ["'2038-01-19 03:14:07.999999'", "NULL"],
    "time": ["'-838:59:59'", "'838:59:59'", "'00:00:00'"],
    "time(2)": ["'-00:00:00.01'", "'25:00:00.50'"],
    "time(6)": ["'-838:59:59.999999'", "'-1:00:00.25'", "'12:30:00'"],
    "char(0)": ["''", "NULL"],
    "char(10)": ["'ab '", "''", "'né😀'"],
    "char(200) CHARSET latin1": ["'é€'", "x'81'"],
    "varchar(20)": ["'a  '", "''", "'null'", "'\\\\N'", "'a\\tb\\nc\\\\d\\re'"],
    "varchar(300) CHARSET latin1": ["'é€'", "x'81'"],
    "varchar(20) CHARSET utf8mb3": ["'né'"],
    "varchar(20) CHARSET ucs2": ["'né'"],
    "varchar(20) CHARSET utf16": ["'né😀'"],
    "varchar(20) CHARSET utf32": ["'né😀'"],
    "varchar(20) CHARSET cp1251": ["'Привет'"],
    "varchar(20) CHARSET gbk": ["'中文'"],
    "varchar(20) CHARSET cp932": ["'日本'"],
    "varchar(20) CHARSET ascii": ["'plain'"],
    "tinytext": ["'né'", "NULL", "''"],
    "text CHARSET koi8r": ["'Привет'"],
    "mediumtext CHARSET latin2": ["'ł'"],
    "longtext": ["REPEAT('é😀', 5000)", "''"],
    "binary(8)": ["x'0102'", "x'0100000000000000'", "''"],
    "binary(16)": ["x'00112233445566778899aabbccddeeff'"],
    "varbinary(300)": [f"x'{bytes(range(256)).hex()}'", "''", "NULL"],
    "char(4) CHARSET binary": ["x'ff'"],
    "tinyblob": ["x'00'", "''"],
    "blob": ["x'5c4e'", "x'0a0d09'"],
    "mediumblob": ["REPEAT(x'ff', 5000)"],
    "longblob": ["NULL", "x'00ff'"],
    "enum('a','bé','c,d''e')": ["'bé'", "'c,d''e'", "NULL"],
    "enum('ж','я') CHARSET cp1251": ["'я'"],
    "set('x','y','z')": ["'z,x'", "''", "NULL"],
    "json": ["'{\"a\": [1.10, 1e20, \"é\\\\n\"], \"b\": null}'", "'\"text\"'", "NULL"],
    "int AS (id + 1) VIRTUAL": None,
    "varchar(20) AS (concat('v', id)) STORED": None,
    "int INVISIBLE DEFAULT 7": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    need_mariadb()
    with mariadb_server(
        {"sql-mode": "ALLOW_INVALID_DATES", "sync-binlog": "0", "innodb-flush-log-at-trx-commit": "0"}
    ) as url:
        yield url


@pytest.fixture(scope="module")
def database(server):
    made = Mysql(create_mysql_database(server, "copies"))
    yield made
    made.close()


@pytest.fixture
def table(database):
    return database.table(f"t{next(NUMBERS)}")


def everything(dsn, table, *, limit=7, bounds=()):
    """All chunks, as the copier reads them, in order."""
    chunks = []
    with open_mysql_copy(dsn, "copies") as source:
        source.tables([table])
        cursor = CopyCursor()
        while not cursor.range_done:
            chunk = source.read_range(table, cursor, limit, **{**BOUNDS, **dict(bounds)})
            cursor = CopyCursor(after=chunk.after, until=chunk.until, range_done=chunk.last)
            cursor = CopyCursor(**json.loads(json.dumps(cursor.as_json())))
            chunks.append(chunk)
    return chunks


def rows_of(chunks):
    return [row for chunk in chunks for row in chunk.rows]


def test_D10_a_row_has_the_same_text_forms_by_copy_and_by_binlog(database, table):
    """Every built-in type, with the bounds of each; zero dates by the policy that makes them NULL."""
    count = max(len(values) for values in TYPES.values() if values)
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(TYPES))
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, {columns}) CHARSET utf8mb4 ROW_FORMAT = DYNAMIC")
    position = provision_mysql_source(database.dsn, "types", [table])
    written = {f"c{number}": values for number, values in enumerate(TYPES.values()) if values}
    for row in range(count):
        values = ", ".join(values[min(row, len(values) - 1)] for values in written.values())
        database.execute(f"INSERT INTO {table.name} (id, {', '.join(written)}) VALUES ({row}, {values})")
    dsn = database.dsn + "?zero_dates=null"
    streamed = []
    source = BinlogSource(dsn, stream="types", tables=[table], position=position)
    source.open()
    while len(streamed) < count:
        streamed += [change for transaction in source.poll(2) for change in transaction.changes]
    source.close()

    chunks = everything(dsn, table)

    assert chunks[0].relation == streamed[0].relation
    for change, row in zip(streamed, rows_of(chunks), strict=True):
        for column, by_log, by_copy in zip(change.relation.columns, change.new, row, strict=True):
            assert by_copy == by_log, (column.name, list(TYPES)[int(column.name[1:])])


def test_D14_a_date_that_no_calendar_has_is_refused_by_name(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, d date)")
    database.execute(f"INSERT INTO {table.name} VALUES (1, '0000-00-00')")
    with pytest.raises(ValueRefused) as refused:
        everything(database.dsn, table)
    assert refused.value.thing == f"column d of {table.schema}.{table.name}"


KEYS = {
    "bigint unsigned": ["18446744073709551615", "0", "9223372036854775808", "1"],
    "int(6) zerofill": ["1", "10", "2", "999999"],
    "decimal(30,10)": ["-1.5", "0", "12345678901234567890.0000000001", "12345678901234567890"],
    "double": ["0.1", "0.30000000000000004", "0.3", "-1e300", "1e-300"],
    "float": ["0.1", "0.2", "16777216", "-3.5"],
    "bit(5)": ["0", "31", "7"],
    "year": ["1999", "2024", "0"],
    "date": ["'2024-01-01'", "'1000-01-01'", "'9999-12-31'"],
    "datetime(6)": ["'2024-01-01 00:00:00.000001'", "'2024-01-01'", "'2024-01-01 00:00:00.1'"],
    "timestamp(3)": ["'2024-01-01 00:00:00.001'", "'2024-01-01'"],
    "time(6)": ["'-838:59:59'", "'00:00:00'", "'838:59:59'", "'-00:00:00.000001'"],
    "enum('z','a','m')": ["'m'", "'z'", "'a'"],
    "set('z','a','m')": ["'m,z'", "'z'", "'a'", "''"],
    "varchar(20) COLLATE utf8mb4_general_ci": ["'B'", "'a'", "'é'", "'Z'", "'z1'", "''", "'a b'", "'_'", "'''\\\\'"],
    "varchar(20) COLLATE utf8mb4_unicode_ci": ["'ß'", "'sa'", "'SZ'", "'œ'", "'of'", "'😀'", "'é'", "'f'"],
    "varchar(20) COLLATE utf8mb4_bin": ["'B'", "'a'", "'A'", "'é'", "'E'"],
    "varchar(20) COLLATE utf8mb4_nopad_bin": ["'a'", "'a '", "'a  '", "'a\\t'"],
    "char(20) CHARSET latin1 COLLATE latin1_german2_ci": ["'ä'", "'af'", "'ad'", "'Ö'", "'z'", "'a\\t'", "'a'"],
    "varchar(20) CHARSET ucs2": ["'né'", "'a'", "'Z'"],
    "varchar(20) CHARSET gbk": ["'中'", "'文'", "'a'", "'Z'"],
    "binary(16)": ["x'ff'", "x'00'", "x'00112233445566778899aabbccddeeff'", "UNHEX(REPLACE(UUID(), '-', ''))"],
    "varbinary(20)": ["x''", "x'00'", "x'0000'", "x'ff'", "x'5c27'"],
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_H2_every_row_once_in_any_kind_of_key(database, table, kind):
    """The key alone, and as either part of a composite one."""
    for name, key in ((f"{table.name}a", "k"), (f"{table.name}b", "k, n"), (f"{table.name}c", "n, k")):
        database.execute(f"CREATE TABLE {name} (n int, k {kind}, PRIMARY KEY ({key})) CHARSET utf8mb4")
        numbers = (1,) if key == "k" else (1, 2)
        values = [f"({number}, {value})" for number in numbers for value in KEYS[kind]]
        database.execute(f"INSERT INTO {name} VALUES {', '.join(values)}")
        for limit in (1, 2, 100):
            chunks = everything(database.dsn + "?zero_dates=null", database.table(name), limit=limit)
            rows = rows_of(chunks)
            assert len(set(rows)) == len(rows) == len(values)
            assert all(len(chunk.rows) <= limit for chunk in chunks)


def test_H2_a_chunk_is_found_by_the_index_and_not_by_reading_all_before_it(database, table):
    database.execute(f"CREATE TABLE {table.name} (a int, s varchar(20), n int, PRIMARY KEY (a, s, n))")
    database.execute(f"INSERT INTO {table.name} SELECT seq DIV 100, concat('k', seq MOD 10), seq FROM seq_1_to_20000")
    with open_mysql_copy(database.dsn, "copies") as source:
        source.tables([table])
        plan = source._plans[table]
        statement = plan.chunk(("150", b"k5".hex(), "15005"), ("200", b"k0".hex(), "20000"), 50)
    before = handler_reads(database)
    assert len(database.execute(statement)) == 50
    assert handler_reads(database) - before < 500


def handler_reads(database):
    rows = database.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(row["Value"]) for row in rows)


def test_H3_rows_that_come_behind_the_greatest_key_are_left_to_the_stream(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY)")
    database.execute(f"INSERT INTO {table.name} VALUES (1), (2), (3)")
    with open_mysql_copy(database.dsn, "copies") as source:
        source.tables([table])
        first = source.read_range(table, CopyCursor(), 2, **BOUNDS)
        database.execute(f"INSERT INTO {table.name} VALUES (4), (5)")
        second = source.read_range(table, CopyCursor(after=first.after, until=first.until), 10, **BOUNDS)
    assert [list(chunk.rows) for chunk in (first, second)] == [[("1",), ("2",)], [("3",)]]
    assert (first.last, second.last) == (False, True)


def test_H1_an_empty_table_is_done_with_its_first_chunk(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY)")
    (chunk,) = everything(database.dsn, table)
    assert (list(chunk.rows), chunk.last) == ([], True)


def test_T11_chunks_end_where_they_reach_their_bytes_and_wide_rows_are_asked_for_few_at_a_time(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, v longtext)")
    database.execute(f"INSERT INTO {table.name} SELECT seq, REPEAT('x', 100000) FROM seq_1_to_60")
    database.execute(f"ANALYZE TABLE {table.name}")
    chunks = everything(database.dsn, table, limit=1000, bounds={"most_bytes": 300_000})
    assert len(rows_of(chunks)) == 60
    assert max(chunk.rows.size for chunk in chunks) < 600_000


@pytest.mark.parametrize(
    "change", ["ADD COLUMN more int", "DROP COLUMN v", "MODIFY v bigint", "CHANGE v w int", "CONVERT TO CHARSET cp1251"]
)
def test_H11_a_table_that_changed_its_columns_ends_the_run(database, table, change):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, v int, s varchar(10)) CHARSET koi8r")
    database.execute(f"INSERT INTO {table.name} VALUES (1, 1, 'я')")
    with open_mysql_copy(database.dsn, "copies") as source:
        source.tables([table])
        database.execute(f"ALTER TABLE {table.name} {change}")
        with pytest.raises(CopyInterrupted):
            source.read_range(table, CopyCursor(), 10, **BOUNDS)
        source.tables([table])
        assert len(source.read_range(table, CopyCursor(), 10, **BOUNDS).rows) == 1


def test_a_table_that_was_changed_between_snapshot_and_read_ends_the_run(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, v int)")
    database.execute(f"INSERT INTO {table.name} VALUES (1, 1)")
    with open_mysql_copy(database.dsn, "copies") as source:
        source.tables([table])
        ask = source._rows

        def ask_late(statement, parameters=None):
            if "LIMIT 0" in statement:
                database.execute(f"ALTER TABLE {table.name} FORCE")
            return ask(statement, parameters)

        source._rows = ask_late
        with pytest.raises(CopyInterrupted):
            source.read_range(table, CopyCursor(), 10, **BOUNDS)


def test_D23_what_a_select_does_not_show_exactly_is_refused_by_name(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY, y year(2))")
    with pytest.raises(CopyRefused) as refused:
        everything(database.dsn, table)
    assert "column y" in refused.value.thing


def test_old_marks_are_forgotten(database, table):
    database.execute(f"CREATE TABLE {table.name} (id int PRIMARY KEY)")
    provision_mysql_source(database.dsn, "marks", [table])
    for run in range(3):
        with open_mysql_copy(database.dsn, "marks") as source:
            for number in range(520):
                source.mark(Watermark(run=str(run), number=number, mark="low", table=table))
    ((found,),) = [row.values() for row in database.execute("SELECT count(*) FROM strangler.message")]
    assert found <= 500
