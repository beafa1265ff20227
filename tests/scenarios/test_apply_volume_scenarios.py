"""Scenarios of apply that are about size, order between tables, constraints, and a target that is not well."""

import tracemalloc
import uuid
from collections.abc import Collection
from dataclasses import replace

import pytest
from psycopg.conninfo import make_conninfo

from cdc.applier import Applier
from cdc.errors import DatabaseUnreachable, TargetUnfit
from cdc.events import Column, Relation, RowChange, Transaction
from cdc.lsn import Lsn
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

DDL = """
CREATE TABLE t01 (id int PRIMARY KEY, v text, raw bytea);
CREATE TABLE t02 (id int PRIMARY KEY, v int);
CREATE TABLE place (id int PRIMARY KEY, pos int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE seat (id int PRIMARY KEY, pos int UNIQUE DEFERRABLE, v text);
CREATE TABLE stay (id int PRIMARY KEY, room int, during int4range,
    EXCLUDE USING gist (int4range(room, room, '[]') WITH =, during WITH &&) WHERE (room % 2 = 0) DEFERRABLE);
CREATE TABLE slot (pos int UNIQUE DEFERRABLE INITIALLY DEFERRED, v json);
ALTER TABLE slot REPLICA IDENTITY FULL;
CREATE TABLE parent (id int PRIMARY KEY, boss int REFERENCES parent DEFERRABLE);
CREATE TABLE child (id int PRIMARY KEY, parent int NOT NULL REFERENCES parent);
"""
TABLES = identical(
    ("t01", "id v raw"), ("t02", "id v"), ("place", "id pos"), ("seat", "id pos v"), ("parent", "id boss"),
    ("child", "id parent"), ("stay", "id room during"), ("slot", "pos v"),
)  # fmt: skip


class Lazily(Collection):
    """Changes that are made while they are iterated, as those of a transaction on disk are."""

    def __init__(self, count, make):
        self.count, self.make, self.rounds = count, make, 0

    def __len__(self):
        return self.count

    def __contains__(self, change):
        return change in list(self)

    def __iter__(self):
        self.rounds += 1
        return map(self.make, range(self.count))


def relation(name, *columns):
    described = tuple(Column(name=name, type_oid=oid, in_key=name == "id") for name, oid in columns)
    return Relation(oid=1, schema="public", name=name, columns=described)


def transaction(pair, changes):
    lsn = Lsn(pair.applier.position + 100)
    return Transaction(xid=9, commit_lsn=lsn, end_lsn=lsn + 1, commit_time_us=1, changes=changes)


T01 = relation("t01", ("id", 23), ("v", 25), ("raw", 17))


@pytest.fixture
def pair(databases):
    databases.applier.close()
    databases.target.execute("TRUNCATE t01; DELETE FROM strangler.parked_row")
    databases.applier = Applier(databases.link, clock=SystemClock())
    return databases


@pytest.fixture(scope="module")
def databases(postgres_url, tmp_path_factory):
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path_factory.mktemp("log"), f"v{uuid.uuid4().hex[:6]}", TABLES, DDL, DDL, follows_copy=False,
    )  # fmt: skip
    made.provision()
    made.open()
    yield made
    made.close()


def same(pair, table):
    query = f"SELECT t::text FROM {table} t ORDER BY 1"
    assert pair.rows(query, "target") == pair.rows(query, "source")


def peak_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def inserted(number, size=2000):
    return RowChange(relation=T01, op="c", new=(str(number), f"{number} " + "x" * size, None))


def test_T01_a_huge_transaction_is_applied_whole_in_bounded_memory(pair):
    huge = transaction(pair, Lazily(30_000, inserted))
    seen = []
    pair.applier._progress = lambda done, total: seen.append((done, total))
    assert peak_bytes(lambda: pair.applier.apply([huge])) < 60 << 20, "one statement's worth of 60 MB of rows"
    assert pair.rows("SELECT count(*), min(length(v)), max(id) FROM t01") == [(30_000, 2002, 29_999)]
    assert seen == sorted(seen)
    assert len(seen) > 10
    assert seen[-1] == (30_000, 30_000)


@pytest.mark.parametrize("bad", [0, 7_777, 9_999])
def test_T01_T19_one_refused_row_of_a_huge_transaction_parks_alone(pair, bad):
    pair.target.execute(f"ALTER TABLE t01 ADD CHECK (v NOT LIKE '{bad} %')")
    huge = Lazily(10_000, lambda number: inserted(number, 10))
    try:
        pair.applier.apply([transaction(pair, huge)])
    finally:
        pair.target.execute("ALTER TABLE t01 DROP CONSTRAINT t01_v_check")
    assert pair.rows(f"SELECT count(*), count(*) FILTER (WHERE id = {bad}) FROM t01") == [(9_999, 0)]
    assert pair.rows("SELECT key, event_index FROM strangler.parked_row") == [({"id": str(bad)}, bad)]
    assert huge.rounds == 2, "once in the fast way, once carefully"


def test_T08_a_huge_transaction_that_breaks_off_leaves_nothing(pair):

    class Broken(Exception):
        pass

    def make(number):
        if number == 9_000:
            raise Broken
        return inserted(number, 10)

    position = pair.applier.position
    with pytest.raises(Broken):
        pair.applier.apply([transaction(pair, Lazily(10_000, make))])
    assert pair.rows("SELECT count(*) FROM t01") == [(0,)]
    assert pair.applier.session.load_position() == position


def test_D20_a_large_value_is_copied_bit_by_bit(pair):
    size, text = 12 << 20, "a\\b\tc\nd\re\x01'\"{},é\U0010ffff"

    def make(number):
        if number == 2:
            return RowChange(relation=T01, op="u", new=("0", None, "\\x" + "00ff" * (size // 4)))
        return RowChange(relation=T01, op="c", new=(str(number), text + "y" * size, None))

    peak = peak_bytes(lambda: pair.applier.apply([transaction(pair, Lazily(3, make))]))
    # A character outside Latin makes the whole text four bytes a character.
    assert peak < 3 * 4 * size
    assert pair.rows("SELECT id, left(v, 17), length(v), length(raw) FROM t01 ORDER BY id") == [
        (0, None, None, size // 2), (1, text, len(text) + size, None),
    ]  # fmt: skip


def test_T02_a_bulk_delete_is_few_statements(pair):
    pair.source.execute("INSERT INTO t02 SELECT g, g FROM generate_series(1, 20000) g")
    pair.sync()
    written = []
    session, write = pair.applier.session, pair.applier.session.write
    session.write = lambda groups: write([written.append(group) or group for group in groups])
    pair.source.execute("DELETE FROM t02 WHERE id > 10")
    pair.sync()
    same(pair, "t02")
    assert sum(len(group.rows) for group in written if group.kind == "delete") == 19_990
    assert len(written) <= 15


def test_a_unique_value_that_is_swapped_under_a_deferred_constraint(pair):
    pair.source.execute("INSERT INTO place VALUES (1, 1), (2, 2), (3, 3)")
    pair.source.execute("INSERT INTO seat VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')")
    pair.sync()
    with pair.source.transaction():
        pair.source.execute("UPDATE place SET pos = 2 WHERE id = 1")
        pair.source.execute("DELETE FROM place WHERE id = 3")
        pair.source.execute("UPDATE place SET pos = 1 WHERE id = 2")
    pair.source.execute("UPDATE seat SET pos = 4 - pos, v = v || v")
    with pair.source.transaction():
        pair.source.execute("SET CONSTRAINTS ALL DEFERRED")
        for id, pos in ((1, 1), (2, 3), (3, 2)):
            pair.source.execute("UPDATE seat SET pos = %s WHERE id = %s", (pos, id))
    pair.sync()
    same(pair, "place")
    same(pair, "seat")
    assert not pair.applier.parked


def test_a_deferred_constraint_that_does_not_hold_at_the_end_parks_the_row(pair):
    pair.source.execute("TRUNCATE seat")
    pair.sync()
    pair.target.execute("INSERT INTO seat VALUES (9, 9, 'of the target alone')")
    pair.source.execute("INSERT INTO seat VALUES (1, 1, 'a'), (2, 9, 'b'), (3, 3, 'c')")
    pair.sync()
    assert pair.rows("SELECT id FROM seat ORDER BY id") == [(1,), (3,), (9,)]
    assert pair.rows("SELECT key, code FROM strangler.parked_row") == [({"id": "2"}, "23505")]
    pair.target.execute("DELETE FROM seat WHERE id = 9; UPDATE strangler.parked_row SET request = 'retry'")
    assert pair.applier.serve_requests()
    same(pair, "seat")


def test_a_deferrable_exclusion_is_looked_at_where_its_rows_are_written(pair):
    pair.target.execute("INSERT INTO stay VALUES (9, 2, '[1,5)')")
    pair.source.execute("INSERT INTO stay VALUES (1, 1, '[1,5)'), (2, 2, '[4,8)'), (3, 3, '[1,9)'), (4, 4, '[1,9)')")
    pair.sync()
    with pair.source.transaction():
        pair.source.execute("SET CONSTRAINTS ALL DEFERRED")
        pair.source.execute("UPDATE stay SET room = 8 WHERE id = 3; UPDATE stay SET room = 8, during = '[9,9]'")
        pair.source.execute("UPDATE stay SET room = 4 WHERE id = 3; UPDATE stay SET during = '[1,2)' WHERE id = 3")
        pair.source.execute("UPDATE stay SET room = id * 2 + 20, during = '[1,9)'")
    pair.sync()
    assert pair.rows("SELECT key, code FROM strangler.parked_row WHERE state = 'refused'") == [({"id": "2"}, "23P01")]
    assert pair.rows("SELECT id, room FROM stay ORDER BY id") == [(1, 1), (9, 2)], "which rows it is about nobody knows"
    pair.target.execute("DELETE FROM stay WHERE id = 9; UPDATE strangler.parked_row SET request = 'retry'")
    assert pair.applier.serve_requests()
    same(pair, "stay")
    pair.source.execute("TRUNCATE stay")
    pair.sync()


def test_a_deferrable_constraint_of_a_table_without_a_key(pair):
    pair.source.execute("""INSERT INTO slot VALUES (1, '{}'), (2, '{}'), (NULL, '[]'), (NULL, '[]')""")
    with pair.source.transaction():
        pair.source.execute("UPDATE slot SET pos = 3 - pos")
    pair.sync()
    pair.target.execute("INSERT INTO slot VALUES (3, '{}')")
    pair.source.execute("UPDATE slot SET pos = 3 WHERE pos = 1")
    pair.sync()
    assert pair.rows("SELECT code FROM strangler.parked_row") == [("23505",)]
    pair.target.execute("DELETE FROM slot WHERE pos = 3; UPDATE strangler.parked_row SET request = 'retry'")
    assert pair.applier.serve_requests()
    same(pair, "slot")


def test_rows_that_swapped_a_unique_value_come_back_together(pair):
    pair.source.execute("TRUNCATE place; INSERT INTO place VALUES (1, 1), (2, 2)")
    pair.sync()
    pair.target.execute("ALTER TABLE place ADD CHECK (id <> 1) NOT VALID")
    with pair.source.transaction():
        pair.source.execute("UPDATE place SET pos = 2 WHERE id = 1")
        pair.source.execute("UPDATE place SET pos = 1 WHERE id = 2")
    pair.sync()
    assert [key for (key,) in pair.rows("SELECT key ->> 'id' FROM strangler.parked_row ORDER BY id")] == ["1", "2"]
    pair.target.execute("ALTER TABLE place DROP CONSTRAINT place_id_check")
    pair.target.execute("UPDATE strangler.parked_row SET request = 'retry' WHERE state = 'refused'")
    assert pair.applier.serve_requests()
    same(pair, "place")
    assert not pair.applier.parked


def test_foreign_keys_do_not_ask_for_an_order_between_tables(pair):
    """Rows of one batch are grouped by table; a parent may come after its child, and a boss after the other."""
    with pair.source.transaction():
        pair.source.execute("SET CONSTRAINTS ALL DEFERRED")
        pair.source.execute("INSERT INTO parent VALUES (1, 2), (2, 1)")
        pair.source.execute("INSERT INTO child VALUES (1, 1), (2, 2)")
    pair.source.execute("DELETE FROM child WHERE id = 2")
    with pair.source.transaction():
        pair.source.execute("SET CONSTRAINTS ALL DEFERRED")
        pair.source.execute("DELETE FROM parent WHERE id = 2")
        pair.source.execute("UPDATE parent SET boss = NULL")
    pair.source.execute("INSERT INTO parent VALUES (3, 1)")
    pair.source.execute("UPDATE child SET parent = 3")
    pair.sync()
    same(pair, "parent")
    same(pair, "child")


def test_a_role_that_may_not_switch_foreign_keys_off_is_refused_with_what_it_lacks(pair):
    role = f"weak_{uuid.uuid4().hex[:8]}"
    pair.target.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA strangler, public TO {role}")
    pair.target.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA strangler, public TO {role}")
    try:
        weak = replace(pair.link, target_dsn=make_conninfo(pair.target_dsn, user=role))
        with pytest.raises(TargetUnfit, match="session_replication_role"):
            Applier(weak, clock=SystemClock())
    finally:
        pair.target.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_T17_a_target_that_is_read_only_for_a_while_is_waited_for(pair):
    pair.applier.close()
    ended = (
        f"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '{pair.link.stream}%'"""
    )
    database = pair.target.info.dbname
    pair.source.execute("INSERT INTO t02 VALUES (50001, 0)")
    pair.target.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    applier = Applier(pair.link, clock=SystemClock())
    batch = pair.capture()
    try:
        with pytest.raises(DatabaseUnreachable):
            applier.apply(batch)
        assert pair.rows("SELECT 1 FROM t02 WHERE id = 50001") == []
    finally:
        applier.close()
        pair.target.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    pair.target.execute(ended)
    pair.applier = Applier(pair.link, clock=SystemClock())
    pair.applier.apply(batch)
    same(pair, "t02")
    assert not pair.applier.parked, "nothing was wrong with the row"
