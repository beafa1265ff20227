"""Scenarios of tables without a primary key: rows are told apart as a whole only, and some are alike."""

import random
import re
import sqlite3
import uuid
from collections import Counter
from dataclasses import replace

import pytest

from cdc.applier import Applier
from cdc.errors import ApplyFailed, MappingInvalid, SchemaChanged, SourceUnfit, TargetUnfit
from cdc.events import TableName
from cdc.lsn import Lsn
from cdc.mapping.compiled import compile_mapping
from cdc.positions import start_ledger
from cdc.provision import provision_source, provision_target
from cdc.schema import reflect
from cdc.sql_target.schema import reflect_target
from cdc.target_port import RaceLost
from cdc.verify import changed_keys, verify_all, verify_keys
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.evolving_pair import EvolvingPair
from tests.scenarios.test_keyless_copy_scenarios import undoing
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

DDL = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE money_of AS (amount numeric, currency text);
CREATE DOMAIN short AS varchar(5);
CREATE TABLE plain (a int, b text);
CREATE TABLE odd (j json, p point, n numeric, m numeric(8,2), f float8, c char(4), v varchar(5), s short,
    arr numeric(6,1)[], iv interval, jb jsonb, e mood, bits bit(4), co money_of, big text, u uuid, raw bytea,
    ts timestamptz(3), ci text COLLATE "C", "q%uo""te" text);
CREATE TABLE uniq (a int UNIQUE, b text);
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, v text);
CREATE TABLE parted (a int, b text) PARTITION BY LIST (a);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
CREATE TABLE keyed (id int PRIMARY KEY, v text);
"""
KEYLESS = ("plain", "odd", "uniq", "numbered", "parted", "parted_1", "parted_2")
ODD = 'j p n m f c v s arr iv jb e bits co big u raw ts ci q%uo"te'
TABLES = identical(
    ("plain", "a b"), ("odd", ODD), ("uniq", "a b"), ("numbered", "id v"), ("parted", "a b"),
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
    pair.source.execute("TRUNCATE plain, odd, uniq, numbered, parted, keyed")
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
    if pair.source.info.server_version >= 180_000:
        pair.source.execute("CREATE TABLE d30_made (a int, b int GENERATED ALWAYS AS (a * 2) STORED)")
        pair.source.execute("ALTER TABLE d30_made REPLICA IDENTITY FULL")
        with pytest.raises(SourceUnfit, match="generated column in its replica identity"):
            provision_source(pair.source_dsn, "strangler_d30_forward", [TableName(name="d30_made")])
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


def test_V09_equal_rows_that_come_while_it_looks_make_good_for_none_that_is_missing(pair):
    pair.source.execute("INSERT INTO plain SELECT 1, 'x' FROM generate_series(1, 5)")
    pair.sync()
    pair.target.execute("DELETE FROM plain WHERE " + one("b = 'x'"))
    writing = [True, False, False, True]

    def one_more():
        if writing and writing.pop(0):
            pair.source.execute("INSERT INTO plain VALUES (1, 'x')")
        pair.sync()

    verdict = verify(pair, wait_caught_up=one_more)
    assert differing(verdict) == {"plain": Counter({"different": 1})}
    writing = [True] * 10
    (table,) = [table for table in verify(pair, wait_caught_up=one_more).tables if table.table == "plain"]
    assert table.difference_count + table.unsettled == 1


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


ODD_ROWS = {
    "j": ['{"a":  1}', '{"a": 1}', None, "null", '"é\\\\n"'],
    "p": ["(1,2)", "(1,2.5)", None],
    "n": ["1.0", "1.00", "NaN", "Infinity", None],
    "m": ["5", "5.25", "NaN", None],
    "f": ["0", "-0", "NaN", "0.1", "1e-300", None],
    "c": ["ab", "abcd", "", None],
    "v": ["", "ab ", "ab", None],
    "s": ["short", "", None],
    "arr": ["{1,2.5,NULL}", "{}", "{{1,2},{3,4}}", None],
    "iv": ["1 mon", "30 days", "-1 day 00:00:01", None],
    "jb": ['{"a": 1.0}', '{"a": 1.00}', "[]", None],
    "e": ["sad", "happy", None],
    "bits": ["1010", "0000", None],
    "co": ['(1.0,"a,b")', '(1.00,"a,b")', "(,)", None],
    "big": ["x" * 20_000, "y" * 20_000, "%s {}\\\\N\t\n", None],
    "u": ["00000000-0000-0000-0000-000000000001", None],
    "raw": ["\\x00ff", "\\x", None],
    "ts": ["infinity", "2020-01-01 00:00:00.123+00", "0001-01-01 00:00:00+00 BC", None],
    "ci": ["a", "A", None],
    'q%uo"te': ["%", "", None],
}


def odd_value(chance, name):
    return chance.choice(ODD_ROWS[name])


def insert_odd(pair, rows):
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in ODD_ROWS).replace("%", "%%")
    with pair.source.cursor() as cursor:
        cursor.executemany(f"INSERT INTO odd ({names}) VALUES ({', '.join(['%s'] * len(ODD_ROWS))})", rows)


def test_D29_types_without_equality_and_types_whose_equality_is_not_identity(pair):
    """json and point know no `=`; numeric, float, interval, jsonb and composites call different texts equal."""
    chance = random.Random(29)
    base = {name: values[0] for name, values in ODD_ROWS.items()}
    rows = [[{**base, name: value}[each] for each in ODD_ROWS] for name in ODD_ROWS for value in ODD_ROWS[name]]
    insert_odd(pair, rows + rows)
    pair.sync()
    same(pair, "odd")
    for _ in range(6):
        some = f"ctid IN (SELECT ctid FROM odd ORDER BY md5(ctid::text || '{chance.random()}') LIMIT 12)"
        name = chance.choice(list(ODD_ROWS))
        quoted = '"' + name.replace('"', '""').replace("%", "%%") + '"'
        pair.source.execute(f"UPDATE odd SET {quoted} = %s WHERE {some}", (odd_value(chance, name),))
        pair.source.execute(f"DELETE FROM odd WHERE {some.replace('LIMIT 12', 'LIMIT 5')}")
        pair.sync()
        same(pair, "odd")
    assert verify(pair).equal


def test_D06_an_unchanged_toast_value_is_known_from_the_old_row(pair):
    big = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 400) g)"
    pair.source.execute(f"INSERT INTO plain SELECT g % 2, {big} FROM generate_series(1, 4) g")
    pair.source.execute("UPDATE plain SET a = 5 WHERE " + one("a = 1"))
    pair.sync()
    pair.source.execute("UPDATE plain SET a = 6 WHERE " + one("a = 0"))
    pair.source.execute("UPDATE plain SET a = a + 10")
    pair.sync()
    same(pair, "plain")


def test_an_identity_that_is_always_generated_and_partitions(pair):
    pair.source.execute("INSERT INTO numbered (v) SELECT 'x' FROM generate_series(1, 5)")
    pair.source.execute("INSERT INTO parted SELECT g % 3, 'x' FROM generate_series(1, 12) g")
    pair.source.execute("UPDATE numbered SET v = 'y' WHERE id = 2; UPDATE numbered SET id = DEFAULT WHERE id = 3")
    pair.sync()
    pair.source.execute("UPDATE numbered SET id = DEFAULT, v = 'z' WHERE id = 4; DELETE FROM numbered WHERE id = 1")
    pair.source.execute("DELETE FROM parted WHERE a = 2 AND " + one("a = 2", "parted"))
    pair.source.execute("UPDATE parted SET a = 1 WHERE tableoid = 'parted_2'::regclass AND " + one("a = 0", "parted"))
    pair.source.execute("UPDATE parted SET b = 'y' WHERE a = 1")
    pair.sync()
    same(pair, "numbered", "parted")


def test_a_swap_of_unique_values_goes_in_order(pair):
    pair.source.execute("INSERT INTO uniq VALUES (1, 'a'), (2, 'b'), (NULL, 'c'), (NULL, 'c')")
    pair.sync()
    with pair.source.transaction():
        pair.source.execute("UPDATE uniq SET a = 3 WHERE a = 1; UPDATE uniq SET a = 1 WHERE a = 2")
        pair.source.execute("UPDATE uniq SET a = 2 WHERE a = 3; DELETE FROM uniq WHERE a = 1")
        pair.source.execute("INSERT INTO uniq VALUES (1, 'again')")
        pair.source.execute("UPDATE uniq SET b = 'd' WHERE " + one("a IS NULL", "uniq"))
    pair.sync()
    same(pair, "uniq")


@pytest.mark.parametrize("seed", range(8))
def test_D29_random_changes_of_few_different_rows(pair, seed):
    """Every interleaving of equal rows that come, change and go, in one transaction and over several."""
    chance = random.Random(seed)
    for _ in range(4):
        with pair.source.transaction():
            for _ in range(chance.randint(1, 25)):
                kind, table = chance.random(), chance.choice(["plain", "parted"])
                where = one(f"a = {chance.randint(0, 2)}", table) + f" AND a = {chance.randint(0, 2)}"
                value = f"a = {chance.randint(0, 2)}, b = {chance.choice(['NULL', repr('x'), repr('')])}"
                if kind < 0.4:
                    values = ("NULL", "0", "1", "2")
                    count = chance.randint(1, 3)
                    pair.source.execute(
                        f"INSERT INTO {table} SELECT {chance.choice(values)}, 'x' FROM generate_series(1, {count})"
                    )
                elif kind < 0.75:
                    pair.source.execute(f"UPDATE {table} SET {value} WHERE {where}")
                elif kind < 0.98:
                    pair.source.execute(f"DELETE FROM {table} WHERE {where}")
                else:
                    pair.source.execute(f"TRUNCATE {table}")
        if chance.random() < 0.7:
            pair.sync()
    pair.sync()
    same(pair, "plain", "parted")


def test_T02_a_bulk_delete_is_few_passes_over_the_table(pair):
    pair.source.execute("INSERT INTO plain SELECT g % 7000, 'x' FROM generate_series(1, 14000) g")
    pair.sync()
    written = []
    session, write = pair.applier.session, pair.applier.session.write
    session.write = lambda groups: write([written.append(group) or group for group in groups])
    try:
        pair.source.execute("DELETE FROM plain WHERE a < 6000")
        pair.source.execute("UPDATE plain SET b = 'y' WHERE a >= 6000")
        pair.sync()
    finally:
        del session.write
    same(pair, "plain")
    assert len(written) < 12


def parked(pair):
    return pair.rows("SELECT key, operation, state FROM strangler.parked_row ORDER BY id")


def retry(pair):
    pair.target.execute("UPDATE strangler.parked_row SET request = 'retry' WHERE state = 'refused'")
    assert pair.applier.serve_requests()


@pytest.fixture
def choosy(pair):
    """The target refuses rows that say so."""
    pair.target.execute("ALTER TABLE plain ADD CONSTRAINT choosy CHECK (b <> 'bad') NOT VALID")
    yield pair
    pair.target.execute("ALTER TABLE plain DROP CONSTRAINT IF EXISTS choosy; DELETE FROM strangler.parked_row")
    pair.target.execute("TRUNCATE plain")
    pair.source.execute("TRUNCATE plain")
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.sync()


@pytest.mark.parametrize("together", [True, False])
def test_T19_a_refused_row_waits_with_all_that_is_about_a_row_like_it(choosy, together):
    pair = choosy
    bad = {"a": "1", "b": "bad"}
    pair.source.execute("INSERT INTO plain VALUES (1, 'good'), (1, 'bad'), (2, 'good'), (NULL, NULL)")
    if not together:
        pair.sync()
        assert parked(pair) == [(bad, "c", "refused")]
    pair.source.execute("UPDATE plain SET a = 5 WHERE b = 'bad'")
    pair.source.execute("UPDATE plain SET b = 'fine' WHERE b = 'bad'")
    pair.source.execute("DELETE FROM plain WHERE b = 'fine'; DELETE FROM plain WHERE a IS NULL")
    pair.source.execute("INSERT INTO plain VALUES (1, 'bad'), (3, 'good'), (3, 'bad')")
    pair.sync()
    assert [state for _, _, state in parked(pair)] == ["refused", *["waiting"] * 4, "refused"]
    assert bag(pair, "plain", "target") == Counter({"(1,good)": 1, "(2,good)": 1, "(3,good)": 1})
    pair.target.execute("ALTER TABLE plain DROP CONSTRAINT choosy")
    retry(pair)
    same(pair, "plain")


@pytest.mark.parametrize("rows", [1, 300])
def test_T19_of_many_inserted_rows_the_refused_one_parks_and_none_is_there_twice(choosy, rows):
    pair = choosy
    pair.source.execute(f"INSERT INTO plain SELECT g % 3, 'x' FROM generate_series(1, {rows}) g")
    pair.source.execute(
        f"INSERT INTO plain SELECT g % 3, CASE g WHEN 1 THEN 'bad' ELSE 'x' END FROM generate_series(1, {rows}) g"
    )
    pair.sync()
    assert [key["b"] for key, _, _ in parked(pair)] == ["bad"]
    assert sum(bag(pair, "plain", "target").values()) == 2 * rows - 1
    pair.target.execute("ALTER TABLE plain DROP CONSTRAINT choosy")
    retry(pair)
    same(pair, "plain")


def test_D29_a_row_that_the_target_has_not_is_said_as_strictly_as_one_with_a_key(choosy):
    pair = choosy
    pair.source.execute("INSERT INTO plain VALUES (1, 'x'), (1, 'x'), (2, 'y'), (3, 'z')")
    pair.sync()
    pair.target.execute("DELETE FROM plain WHERE " + one("a = 1"))
    pair.target.execute("DELETE FROM plain WHERE a = 2")
    pair.source.execute("DELETE FROM plain WHERE a = 1; DELETE FROM plain WHERE a = 3; UPDATE plain SET a = 4")
    pair.sync()
    assert parked(pair) == [({"a": "1", "b": "x"}, "d", "refused"), ({"a": "4", "b": "y"}, "u", "refused")]
    assert "diverged" in pair.rows("SELECT reason FROM strangler.parked_row")[0][0]
    assert bag(pair, "plain", "target") == Counter()
    pair.applier.close()
    pair.applier = Applier(replace(pair.link, on_bad_row="stop"), clock=SystemClock())
    pair.target.execute("DELETE FROM strangler.parked_row; INSERT INTO plain VALUES (4, 'y')")
    pair.source.execute("INSERT INTO plain VALUES (5, 'x')")
    pair.sync()
    pair.target.execute("DELETE FROM plain WHERE a = 5")
    pair.source.execute("DELETE FROM plain WHERE a = 5")
    batch = pair.capture()
    with pytest.raises(ApplyFailed, match="diverged"):
        pair.applier.apply(batch)
    pair.target.execute("INSERT INTO plain VALUES (5, 'x')")
    pair.applier.apply(batch)
    same(pair, "plain")


@pytest.mark.parametrize("times", [1, 3])
def test_T06_a_batch_that_loses_races_or_is_delivered_again_counts_once(pair, times):
    pair.source.execute("INSERT INTO plain SELECT 1, 'x' FROM generate_series(1, 100)")
    pair.source.execute("UPDATE plain SET b = 'y' WHERE " + one("a = 1"))
    pair.source.execute("DELETE FROM plain WHERE " + one("b = 'x'"))
    batch = pair.capture()
    with undoing(pair, [RaceLost("40P01")] * times):
        pair.applier.apply(batch)
    pair.applier.apply(batch)
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.applier.apply(batch)
    same(pair, "plain")
    assert bag(pair, "plain", "target") == Counter({"(1,x)": 98, "(1,y)": 1})


def test_D20_large_values_of_rows_without_a_key_are_copied_bit_by_bit(pair):
    big = "(SELECT string_agg(md5((g * {})::text), E'\\\\\\t%\\n') FROM generate_series(1, 160000) g)"
    pair.source.execute(f"INSERT INTO plain VALUES (1, {big.format(1)}), (1, {big.format(1)}), (2, {big.format(2)})")
    pair.sync()
    pair.source.execute("UPDATE plain SET b = b || 'z' WHERE " + one("a = 1"))
    pair.source.execute("UPDATE plain SET a = 3 WHERE a = 2")
    pair.sync()
    pair.source.execute("DELETE FROM plain WHERE a = 3")
    pair.sync()
    same(pair, "plain")


def test_a_table_that_loses_its_key_or_gets_one_stops_rather_than_guess(pair):
    pair.source.execute("INSERT INTO keyed VALUES (1, 'v'); INSERT INTO plain VALUES (1, 'x')")
    pair.sync()
    for alter, back, statement in (
        ("keyed DROP CONSTRAINT keyed_pkey", "keyed ADD PRIMARY KEY (id)", "UPDATE keyed SET v = 'w'"),
        ("plain ADD PRIMARY KEY (a)", "plain DROP CONSTRAINT plain_pkey, ALTER a DROP NOT NULL",
         "INSERT INTO plain VALUES (2, 'y')"),
    ):  # fmt: skip
        pair.target.execute(f"ALTER TABLE {alter}")
        pair.source.execute(statement)
        batch = pair.capture()
        pair.applier.session.forget_tables()
        with pytest.raises(SchemaChanged, match="primary key"):
            pair.applier.apply(batch)
        pair.target.execute(f"ALTER TABLE {back}")
        pair.applier.session.forget_tables()
        pair.applier.apply(batch)
    same(pair, "plain", "keyed")


def test_S01_a_column_that_comes_is_part_of_what_a_row_is(new_database, tmp_path):
    ddl = "CREATE TABLE t (id bigint, a text, n int NOT NULL DEFAULT 0); ALTER TABLE t REPLICA IDENTITY FULL"
    pair = EvolvingPair(new_database, tmp_path, ddl=ddl)
    try:
        pair.reopen()
        pair.source.execute("INSERT INTO t SELECT 1, 'x' FROM generate_series(1, 6)")
        pair.sync()
        pair.source.execute("ALTER TABLE t ADD extra int DEFAULT 7; ALTER TABLE t ALTER extra DROP DEFAULT")
        pair.source.execute("DELETE FROM t WHERE " + one("id = 1", "t"))
        pair.source.execute("INSERT INTO t VALUES (1, 'x', 0, NULL), (1, 'x', 0, 7)")
        pair.source.execute("UPDATE t SET extra = NULL WHERE " + one("extra = 7", "t"))
        pair.source.execute("DELETE FROM t WHERE " + one("extra IS NULL", "t"))
        pair.sync()
        assert pair.rows("SELECT thing, reason FROM strangler.parked_row WHERE state = 'refused'") == []
        counted = "SELECT id, a, extra, count(*) FROM t GROUP BY 1, 2, 3 ORDER BY 3"
        found = pair.rows(counted, "source")
        assert found == [(1, "x", 7, 5), (1, "x", None, 1)]
        assert pair.rows(counted) == found
    finally:
        pair.close()


def test_a_target_that_is_not_postgresql_refuses_the_table_by_name(tmp_path, pair):
    target = f"sqlite:///{tmp_path / 'service.db'}"
    with sqlite3.connect(tmp_path / "service.db") as session:
        session.execute("CREATE TABLE plain (a int, b text)")
    session.close()
    mapping = identical(("plain", "a b"))
    source = reflect(pair.source_dsn, mapping.source_tables)
    provision_target(target, "strangler_lite_forward")
    start_ledger(target, "strangler_lite_forward", Lsn(1))
    link = replace(
        pair.link, move="lite", target_dsn=target, source_keys={TableName(name="plain"): ()},
        mapper=compile_mapping(mapping, source, reflect_target(target, mapping, source)),
    )  # fmt: skip
    with pytest.raises(TargetUnfit, match="target table plain: has no primary key"):
        Applier(link, clock=SystemClock())
