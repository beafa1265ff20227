"""Scenarios of tables without a primary key: rows are told apart as a whole only, and some are alike."""

import re
import uuid
from collections import Counter

import pytest

from cdc.applier import Applier
from cdc.errors import MappingInvalid, SourceUnfit
from cdc.events import TableName
from cdc.lsn import Lsn
from cdc.mapping.compiled import compile_mapping
from cdc.provision import provision_source
from cdc.schema import reflect
from cdc.verify import changed_keys, verify_all, verify_keys
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

DDL = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE money_of AS (amount numeric, currency text);
CREATE DOMAIN short AS varchar(5);
CREATE TABLE plain (a int, b text);
CREATE TABLE odd (j json, x xml, p point, n numeric, m numeric(8,2), f float8, c char(4), v varchar(5), s short,
    arr numeric(6,1)[], iv interval, jb jsonb, e mood, bits bit(4), co money_of, big text, u uuid, raw bytea,
    ts timestamptz(3), ci text COLLATE "C", "q%uo""te" text);
CREATE TABLE uniq (a int UNIQUE, b text);
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, v text);
CREATE TABLE computed (a int, twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE parted (a int, b text) PARTITION BY LIST (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
CREATE TABLE keyed (id int PRIMARY KEY, v text);
"""
KEYLESS = ("plain", "odd", "uniq", "numbered", "computed", "parted", "parted_1", "parted_2")
ODD = 'j x p n m f c v s arr iv jb e bits co big u raw ts ci q%uo"te'
TABLES = identical(
    ("plain", "a b"), ("odd", ODD), ("uniq", "a b"), ("numbered", "id v"), ("computed", "a"), ("parted", "a b"),
    ("keyed", "id v"),
)  # fmt: skip
FULL = "".join(f"ALTER TABLE {table} REPLICA IDENTITY FULL;" for table in KEYLESS)


@pytest.fixture(scope="module")
def pair(postgres_url, tmp_path_factory):
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path_factory.mktemp("log"), f"k{uuid.uuid4().hex[:6]}", TABLES, DDL + FULL, DDL + FULL, follows_copy=False,
    )  # fmt: skip
    made.provision()
    made.open()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def empty(pair):
    pair.source.execute("TRUNCATE plain, odd, uniq, numbered, computed, parted, keyed")
    pair.sync()
    assert not pair.applier.parked


def bag(pair, table, side):
    return Counter(row for (row,) in pair.rows(f"SELECT t::text FROM {table} t", side))


def same(pair, *tables):
    for table in tables:
        assert bag(pair, table, "target") == bag(pair, table, "source"), table
    assert pair.rows("SELECT * FROM strangler.parked_row") == []


def one(condition, table="plain"):
    return f"ctid = (SELECT ctid FROM {table} WHERE {condition} LIMIT 1)"


def test_D29_of_duplicate_rows_exactly_as_many_are_hit_as_in_the_source(pair):
    pair.source.execute("INSERT INTO plain SELECT 1, 'x' FROM generate_series(1, 5)")
    pair.source.execute("INSERT INTO plain VALUES (1, NULL), (1, NULL), (NULL, NULL), (NULL, NULL), (2, '')")
    pair.sync()
    same(pair, "plain")
    pair.source.execute("DELETE FROM plain WHERE " + one("b = 'x'"))
    pair.sync()
    assert bag(pair, "plain", "target")["(1,x)"] == 4
    pair.source.execute("UPDATE plain SET b = 'y' WHERE " + one("b = 'x'"))
    pair.source.execute("DELETE FROM plain WHERE " + one("a IS NULL"))
    pair.source.execute("UPDATE plain SET b = '' WHERE " + one("a = 1 AND b IS NULL"))
    pair.sync()
    assert bag(pair, "plain", "target") == Counter(
        {"(1,x)": 3, "(1,y)": 1, "(1,)": 1, '(1,"")': 1, "(,)": 1, '(2,"")': 1}
    )
    same(pair, "plain")
    with pair.source.transaction():
        pair.source.execute("UPDATE plain SET b = 'z' WHERE b = 'x'")
        pair.source.execute("UPDATE plain SET b = 'w' WHERE " + one("b = 'z'"))
        pair.source.execute("INSERT INTO plain VALUES (1, 'z'), (9, 'new'), (9, 'new')")
        pair.source.execute("DELETE FROM plain WHERE " + one("b = 'new'"))
    pair.sync()
    same(pair, "plain")


def test_D30_without_a_key_and_without_whole_rows_in_the_log_a_table_is_refused_before_anything_is_touched(pair):
    pair.source.execute("CREATE TABLE d30 (a int); CREATE TABLE d30_n (a int); CREATE TABLE d30_later (a int)")
    pair.source.execute("ALTER TABLE d30_n REPLICA IDENTITY NOTHING")
    pair.source.execute("ALTER TABLE d30_later ADD PRIMARY KEY (a) DEFERRABLE, REPLICA IDENTITY FULL")
    for table, mend in (("d30", "REPLICA IDENTITY FULL"), ("d30_n", "REPLICA IDENTITY FULL"), ("d30_later", "ADD PRI")):
        with pytest.raises(SourceUnfit, match=f"table {table}: ") as refused:
            provision_source(pair.source_dsn, f"strangler_{table}_forward", [TableName(name=table)])
        assert mend in refused.value.mend
    assert pair.rows("SELECT pubname FROM pg_publication WHERE pubname LIKE '%d30%'", "source") == []
    mapping = identical(("d30", "a"))
    pair.target.execute("CREATE TABLE d30 (a int PRIMARY KEY)")
    schemas = reflect(pair.source_dsn, mapping.source_tables), reflect(pair.target_dsn, mapping.target_tables)
    for source, target, reason in ((*schemas, "d30 has one"), (*reversed(schemas), "has no primary key")):
        with pytest.raises(MappingInvalid, match=reason):
            compile_mapping(mapping, source, target)


def verify(pair, **options):
    given = {"direction": "forward", "wait_caught_up": pair.sync, "clock": SystemClock(), "position": lambda: Lsn(0)}
    return verify_all(pair.source_dsn, pair.target_dsn, pair.mapping, move=pair.move, **{**given, **options})


def differing(verdict):
    return {
        table.table: Counter(found.kind for found in table.differences)
        for table in verdict.tables
        if table.difference_count
    }


def test_V09_equal_rows_are_counted(pair):
    pair.source.execute("INSERT INTO plain SELECT g % 100, 'x' FROM generate_series(1, 5000) g")
    pair.source.execute("INSERT INTO plain VALUES (NULL, NULL), (NULL, ''), (1, 'only here'), (1, 'only here')")
    pair.sync()
    verdict = verify(pair)
    assert verdict.equal
    assert [table.rows for table in verdict.tables if table.table == "plain"] == [5004]
    pair.target.execute("DELETE FROM plain WHERE " + one("b = 'only here'"))
    pair.target.execute("UPDATE plain SET b = 'y' WHERE " + one("a = 7"))
    pair.target.execute("INSERT INTO plain VALUES (8, 'x'), (8, 'x')")
    verdict = verify(pair)
    assert not verdict.equal
    assert differing(verdict) == {"plain": Counter({"different": 3, "extra": 1})}
    assert all(re.fullmatch("-?[0-9]+ -?[0-9]+", *found.key) for found in verdict.tables[0].differences)
    pair.target.execute("TRUNCATE plain")
    assert verify(pair).difference_count == 103
    pair.source.execute("TRUNCATE plain")
    pair.sync()
    assert verify(pair).equal


def test_V03_rows_that_are_on_their_way_are_no_difference(pair):
    pair.source.execute("INSERT INTO plain SELECT g % 5, 'x' FROM generate_series(1, 50) g")
    assert verify(pair).equal, "wait_caught_up applies them between the looks"
    same(pair, "plain")


def test_V09_in_the_fence_window_a_keyless_table_that_changed_is_compared_whole(pair):
    pair.source.execute("INSERT INTO plain VALUES (1, 'x'), (1, 'x'); INSERT INTO keyed VALUES (1, 'v')")
    batch = pair.capture()
    pair.applier.apply(batch)
    changed = changed_keys(batch, pair.link.mapper)
    assert changed.truncated == {TableName(name="plain")}

    def equal():
        options = {"move": pair.move, "direction": "forward", "clock": SystemClock(), "position": lambda: Lsn(0)}
        return verify_keys(pair.source_dsn, pair.target_dsn, pair.mapping, changed, **options).equal

    assert equal()
    pair.target.execute("INSERT INTO plain VALUES (1, 'x')")
    assert not equal()
    pair.target.execute("DELETE FROM plain WHERE " + one("b = 'x'"))
