"""Data scenarios of apply: key changes, unique constraints, TOAST, idempotency, ownership. One stream, a table each."""

import uuid

import pytest

from cdc.applier import Applier
from cdc.errors import ConflictingWrite
from cdc.events import UNCHANGED, RowChange
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

DDL = """
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TABLE d01 (id int PRIMARY KEY, v text);
CREATE TABLE d02 (id int PRIMARY KEY, v text UNIQUE);
CREATE TABLE d03 (id int PRIMARY KEY, email text UNIQUE);
CREATE TABLE d04 (id int PRIMARY KEY, slot_id int UNIQUE);
CREATE TABLE d05 (id citext PRIMARY KEY, v text);
CREATE TABLE toast (id int PRIMARY KEY, n int, big text, arr text[], js jsonb, raw bytea);
CREATE TABLE d10 (id int PRIMARY KEY, v text);
CREATE TABLE d28 (id int PRIMARY KEY, v text, only_key int);
CREATE TABLE keyonly (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE t05 (id int PRIMARY KEY, v int);
"""
TABLES = identical(
    ("d01", "id v"), ("d02", "id v"), ("d03", "id email"), ("d04", "id slot_id"), ("d05", "id v"),
    ("toast", "id n big arr js raw"), ("d10", "id v"), ("d28", "id v only_key"), ("keyonly", "a b"), ("t05", "id v"),
)  # fmt: skip
BIG = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 300) g)"


@pytest.fixture(scope="module")
def pair(postgres_url, tmp_path_factory):
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path_factory.mktemp("log"), f"s{uuid.uuid4().hex[:6]}", TABLES, DDL, DDL, follows_copy=False,
    )  # fmt: skip
    made.provision()
    made.open()
    yield made
    made.close()


def same(pair, table):
    query = f"SELECT t::text FROM {table} t ORDER BY 1"
    assert pair.rows(query, "target") == pair.rows(query, "source")


def test_D01_update_of_a_key_value(pair):
    pair.source.execute("INSERT INTO d01 VALUES (1, 'a'), (2, 'b')")
    pair.source.execute("UPDATE d01 SET id = 10 WHERE id = 1")
    pair.sync()
    assert pair.rows("SELECT * FROM d01 ORDER BY id") == [(2, "b"), (10, "a")]


def test_D02_two_keys_swapped_in_one_transaction(pair):
    pair.source.execute("INSERT INTO d02 VALUES (1, 'a'), (2, 'b')")
    with pair.source.transaction():
        for old, new in ((1, -1), (2, 1), (-1, 2)):
            pair.source.execute("UPDATE d02 SET id = %s WHERE id = %s", (new, old))
    pair.sync()
    assert pair.rows("SELECT * FROM d02 ORDER BY id") == [(1, "b"), (2, "a")]


def test_D03_a_unique_value_moves_to_another_row_in_the_same_batch(pair):
    pair.source.execute("INSERT INTO d03 VALUES (1, 'a'), (3, 'c'), (4, 'd')")
    pair.sync()
    pair.source.execute("DELETE FROM d03 WHERE id = 1")
    pair.source.execute("INSERT INTO d03 VALUES (2, 'a')")
    pair.source.execute("UPDATE d03 SET email = NULL WHERE id = 4")
    pair.source.execute("UPDATE d03 SET email = 'd' WHERE id = 3")
    pair.source.execute("UPDATE d03 SET email = 'c' WHERE id = 4")
    pair.sync()
    assert pair.rows("SELECT * FROM d03 ORDER BY id") == [(2, "a"), (3, "d"), (4, "c")]


def test_D04_a_slot_is_freed_and_taken_in_one_transaction(pair):
    pair.source.execute("INSERT INTO d04 VALUES (1, 7), (2, NULL)")
    pair.sync()
    with pair.source.transaction():
        pair.source.execute("UPDATE d04 SET slot_id = NULL WHERE id = 1")
        pair.source.execute("UPDATE d04 SET slot_id = 7 WHERE id = 2")
    pair.sync()
    assert pair.rows("SELECT * FROM d04 ORDER BY id") == [(1, None), (2, 7)]


def test_D05_a_key_that_changes_only_its_case(pair):
    pair.source.execute("INSERT INTO d05 VALUES ('A', '1')")
    pair.source.execute("UPDATE d05 SET id = 'a', v = '2'")
    pair.source.execute("DELETE FROM d05")
    pair.source.execute("INSERT INTO d05 VALUES ('a', '3')")
    pair.source.execute("UPDATE d05 SET id = 'A'")
    pair.sync()
    assert pair.rows("SELECT id::text, v FROM d05") == [("A", "3")]


HOSTILE = {
    "array_nulls": "off",
    "xmloption": "document",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "datestyle": "SQL, DMY",
    "default_transaction_isolation": "serializable",
}
"""Defaults that a database may have."""


def test_D24_what_a_database_has_for_defaults_changes_no_value(postgres_url, tmp_path):
    settings = "; ".join(
        f"EXECUTE format($$ALTER DATABASE %I SET {name} = '{value}'$$, current_database())"
        for name, value in HOSTILE.items()
    )
    ddl = f"DO $do$ BEGIN {settings}; END $do$; CREATE TABLE d24 (id int PRIMARY KEY, v text, n numeric[], d date)"
    made = StreamPair(
        lambda label: create_database(postgres_url, f"{label}_{uuid.uuid4().hex[:8]}"),
        tmp_path, f"s{uuid.uuid4().hex[:6]}", identical(("d24", "id v n d")), ddl, ddl, follows_copy=False,
    )  # fmt: skip
    try:
        made.provision()
        made.open()
        for first in (1, 3):
            made.source.execute(
                "INSERT INTO d24 VALUES (%s, NULL, '{NULL,1}', '2024-02-03'), (%s, 'null', NULL, NULL)",
                (first, first + 1),
            )
            made.source.execute("UPDATE d24 SET id = id + 10, v = E'\\\\n' WHERE v IS NOT NULL")
            made.sync()
        same(made, "d24")
        assert made.rows("SELECT count(*), count(v), count(n), max(v) FROM d24") == [(4, 2, 2, "\\n")]
    finally:
        made.close()


def toasted(pair, key):
    columns = "b, ARRAY[b, 'x'], jsonb_build_object('b', b), b::bytea"
    pair.source.execute(f"INSERT INTO toast SELECT %s, 0, {columns} FROM (SELECT {BIG} b) x", (key,))


def test_D06_an_update_that_leaves_a_large_value_alone(pair):
    toasted(pair, 6)
    pair.sync()
    pair.source.execute("UPDATE toast SET n = 1 WHERE id = 6")
    pair.sync()
    same(pair, "toast")


def test_D07_two_updates_in_one_batch_and_only_one_touches_the_large_value(pair):
    for key in (7, 70):
        toasted(pair, key)
    pair.sync()
    pair.source.execute(f"UPDATE toast SET big = {BIG} || 'new' WHERE id = 7")
    pair.source.execute("UPDATE toast SET n = 2 WHERE id = 7")
    pair.source.execute("UPDATE toast SET n = 2 WHERE id = 70")
    pair.source.execute(f"UPDATE toast SET big = {BIG} || 'new' WHERE id = 70")
    pair.sync()
    same(pair, "toast")


def test_D08_large_arrays_documents_and_bytes_left_alone(pair):
    toasted(pair, 8)
    pair.source.execute("UPDATE toast SET n = 1, big = 'small' WHERE id = 8")
    transactions = pair.capture()
    sent = [change.new for each in transactions for change in each.changes if isinstance(change, RowChange)][-1]
    assert sum(value is UNCHANGED for value in sent) == 3
    pair.applier.apply(transactions)
    same(pair, "toast")


def test_D09_a_large_value_follows_its_row_to_another_key(pair):
    toasted(pair, 9)
    pair.sync()
    pair.source.execute("UPDATE toast SET id = 99 WHERE id = 9")
    pair.sync()
    same(pair, "toast")


def test_D10_texts_that_other_systems_use_as_markers_are_texts(pair):
    for number, text in enumerate(["__debezium_unavailable_value", "unchanged_toast", "UNCHANGED", "\\N", "null"]):
        pair.source.execute("INSERT INTO d10 VALUES (%s, 'x')", (number,))
        pair.source.execute("UPDATE d10 SET v = %s WHERE id = %s", (text, number))
    pair.sync()
    same(pair, "d10")


def test_D28_an_update_that_changes_nothing(pair):
    pair.source.execute("INSERT INTO d28 VALUES (1, 'a', 1)")
    pair.source.execute("INSERT INTO keyonly VALUES (1, 1), (2, 2)")
    pair.source.execute("UPDATE d28 SET v = v")
    pair.source.execute("UPDATE keyonly SET a = a")
    pair.source.execute("UPDATE keyonly SET b = 3 WHERE a = 2")
    pair.source.execute("INSERT INTO keyonly VALUES (1, 1) ON CONFLICT DO NOTHING")
    pair.sync()
    same(pair, "d28")
    same(pair, "keyonly")


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_T05_T06_T08_a_restart_anywhere_applies_every_event_once(pair, cut):
    """Many events in one transaction share a position; the ledger decides, whatever is delivered again."""
    pair.source.execute("TRUNCATE t05")
    pair.source.execute("INSERT INTO t05 SELECT g, 0 FROM generate_series(1, 200) g")
    pair.source.execute("UPDATE t05 SET v = v + 1")
    pair.source.execute("UPDATE t05 SET v = v + 1 WHERE id % 2 = 0")
    transactions = pair.capture()
    pair.applier.apply(transactions[:cut])
    pair.applier.close()
    pair.applier = Applier(pair.link, clock=SystemClock())
    assert pair.applier.position == transactions[cut - 1].commit_lsn
    pair.applier.apply(transactions)
    same(pair, "t05")


def test_T08_a_transaction_that_breaks_off_leaves_nothing(pair, monkeypatch):
    pair.source.execute("INSERT INTO d01 SELECT g, 'x' FROM generate_series(1000, 1100) g")
    transactions = pair.capture()
    position = pair.applier.position

    class Crash(BaseException):
        pass

    def crash(name):
        if name == "cdc.apply.before_commit":
            raise Crash

    monkeypatch.setattr("strangler.failpoints.reach", crash)
    with pytest.raises(Crash):
        pair.applier.apply(transactions)
    monkeypatch.undo()
    assert pair.rows("SELECT count(*) FROM d01 WHERE id >= 1000") == [(0,)]
    assert pair.applier.position == position
    pair.applier.apply(transactions)
    assert pair.rows("SELECT count(*) FROM d01 WHERE id >= 1000") == [(101,)]


def test_R03_a_stray_event_after_the_switch_is_not_applied_over_newer_rows(pair):
    pair.source.execute("INSERT INTO d10 VALUES (500, 'legacy')")
    pair.sync()
    pair.source.execute("UPDATE d10 SET v = 'stray' WHERE id = 500")
    stray = pair.capture()
    pair.target.execute("CREATE TABLE strangler.ownership (move text PRIMARY KEY, owner text);")
    pair.target.execute("INSERT INTO strangler.ownership VALUES (%s, 'service')", (pair.move,))
    pair.target.execute("UPDATE d10 SET v = 'newer' WHERE id = 500")
    try:
        with pytest.raises(ConflictingWrite):
            pair.applier.apply(stray)
        assert pair.rows("SELECT v FROM d10 WHERE id = 500") == [("newer",)]
    finally:
        pair.target.execute("DROP TABLE strangler.ownership")
        pair.applier.close()
        pair.applier = Applier(pair.link, clock=SystemClock())
        pair.applier.apply(stray)
