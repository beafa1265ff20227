"""S1–S11, D22, H12: schema changes while the stream runs, on real servers."""

import psycopg
import pytest

from cdc.schema_changes.store import load_met
from tests.evolving_pair import EvolvingPair


@pytest.fixture
def pair(new_database, tmp_path):
    made = EvolvingPair(new_database, tmp_path)
    made.open()
    yield made
    made.close()


def parked(pair):
    return pair.rows("SELECT source_table, reason, mend FROM strangler.parked_row ORDER BY id")


def test_S1_a_nullable_column_follows_in_log_order(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x jsonb")
    pair.source.execute("INSERT INTO t VALUES (2, 'new', 0, '{\"k\": 1}')")
    pair.sync()
    assert pair.both("SELECT id, a, x FROM t ORDER BY id") == [(1, "old", None), (2, "new", {"k": 1})]


def test_S1_rows_that_were_there_get_the_constant_that_the_source_gives_them(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.sync()
    pair.source.execute("ALTER TABLE t ADD COLUMN x varchar(20) NOT NULL DEFAULT 'it''s \\ 5'")
    pair.source.execute("ALTER TABLE t ALTER x SET DEFAULT 'later'")
    pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.sync()
    assert pair.both("SELECT id, x FROM t ORDER BY id") == [(1, "it's \\ 5"), (2, "later")]


def test_S1_a_default_that_was_dropped_again_still_fills_the_old_rows(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t VALUES (2, 'same transaction', 0)")
        pair.source.execute("ALTER TABLE t ADD COLUMN x int[] NOT NULL DEFAULT '{1,2}'")
        pair.source.execute("ALTER TABLE t ALTER x DROP DEFAULT")
        pair.source.execute("INSERT INTO t VALUES (3, 'new', 0, '{3}')")
    pair.sync()
    assert pair.both("SELECT id, x FROM t ORDER BY id") == [(1, [1, 2]), (2, [1, 2]), (3, [3])]


def test_S1_a_volatile_default_stops_the_table_with_what_to_do(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()")
    pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.sync()
    [(table, reason, mend)] = parked(pair)
    assert table == "t"
    assert "x: – → x uuid (the table was rewritten meanwhile)" in reason
    assert "op.add_column('t', sa.Column('x', sa.Uuid()))" in mend
    assert pair.rows("SELECT id FROM t") == [(1,)]


def test_S4_a_wider_type_follows(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 7)")
    pair.source.execute("ALTER TABLE t ALTER n TYPE bigint")
    pair.source.execute("INSERT INTO t VALUES (2, 'new', 5000000000)")
    pair.sync()
    assert pair.both("SELECT id, n FROM t ORDER BY id") == [(1, 7), (2, 5000000000)]
