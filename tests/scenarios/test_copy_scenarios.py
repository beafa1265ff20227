"""Scenarios of copy meeting stream. The copier's steps are taken by hand, so that every interleaving is exact."""

import psycopg
import pytest

from cdc.applier import Applier
from cdc.chunk_handover import ChunkHandover
from cdc.copy_reader import copy_table, read_again, read_range, write_mark
from cdc.copy_requests import copy_progress, request_copy
from cdc.copy_tracker import CopyCursor, Watermark, cursor_from_json
from cdc.errors import CopyRefused
from cdc.events import TableName
from cdc.schema import reflect
from cdc.sessions import connect
from strangler.clock import SystemClock
from tests.integration.test_worker_copy import copied, running, settle, until
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

T = TableName(name="t")
DDL = "CREATE TABLE t (id int PRIMARY KEY, v text, big text)"
BIG = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 300) g)"


class HandCopy:
    """A copier whose steps the test takes."""

    def __init__(self, pair, run="run-1", limit=3):
        self.pair, self.run, self.limit, self.number = pair, run, limit, 0
        self.session = connect(pair.source_dsn, "hand copy")
        pair.closing.append(self.session)
        self.handover = ChunkHandover(in_flight=10)
        if pair.applier:
            pair.applier.close()
        pair.applier = Applier(pair.link, clock=SystemClock(), handover=self.handover)
        self.handover.start(run)
        self.table = copy_table(reflect(pair.source_dsn, [T]).tables[T], ("id",))
        self.handover.announce(self.table.relation)

    @property
    def cursor(self):
        ((raw,),) = self.pair.rows("SELECT last_key FROM strangler.copy_progress")
        return cursor_from_json(raw)

    def low(self):
        self.number += 1
        self.mark("low")

    def mark(self, kind):
        write_mark(self.session, Watermark(run=self.run, number=self.number, mark=kind, table=T))

    def read(self, cursor=None):
        read = read_range(self.session, self.table, cursor or CopyCursor(), self.limit)
        self.handover.put(self.run, self.number, read)
        return read

    def chunk(self, cursor=None, before=(), after=()):
        """`before` and `after`: what happens in the source on either side of the SELECT, inside the window."""
        self.low()
        for statement in before:
            self.pair.source.execute(statement)
        read = self.read(cursor)
        for statement in after:
            self.pair.source.execute(statement)
        self.mark("high")
        self.pair.sync()
        return read

    def rest(self):
        while not self.cursor.range_done:
            self.chunk(self.cursor)
        while self.cursor.again:
            self.low()
            self.handover.put(self.run, self.number, read_again(self.session, self.table, self.cursor.again))
            self.mark("high")
            self.pair.sync()


@pytest.fixture
def make_pair(new_database, tmp_path):
    made = []

    def make(mapping=None, ddl=DDL, **options):
        mapping = mapping or identical(("t", "id v big"))
        move = f"h{tmp_path.name[-8:]}".replace("-", "_").lower()
        pair = StreamPair(new_database, tmp_path, move, mapping, ddl, ddl, **options)
        made.append(pair)
        pair.provision()
        request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
        return pair

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def pair(make_pair):
    made = make_pair()
    made.source.execute(f"INSERT INTO t SELECT g * 10, 'v' || g, {BIG} FROM generate_series(1, 9) g")
    made.open()
    return made


def same(pair, table="t"):
    query = f"SELECT t::text FROM {table} t ORDER BY 1"
    assert pair.rows(query, "target") == pair.rows(query, "source")


def states(pair):
    return [(copy.state, copy.rows) for copy in copy_progress(pair.target_dsn, pair.link.stream)]


@pytest.mark.parametrize("side", ["before", "after"])
def test_H01_rows_that_change_around_the_select_have_the_streams_values(pair, side):
    copy = HandCopy(pair)
    changes = [
        "INSERT INTO t VALUES (15, 'new')",
        "UPDATE t SET v = 'changed' WHERE id = 10",
        "DELETE FROM t WHERE id = 20",
    ]
    copy.chunk(**{side: changes})
    assert pair.rows("SELECT id, v FROM t WHERE id < 30 ORDER BY id") == [(10, "changed"), (15, "new")]
    copy.rest()
    same(pair)
    assert states(pair)[0][0] == "done"


def test_H02_a_row_deleted_before_its_chunk_is_written_stays_away(pair):
    copy = HandCopy(pair)
    copy.chunk(
        after=["DELETE FROM t WHERE id = 10", "UPDATE t SET v = 'x' WHERE id = 20", "DELETE FROM t WHERE id = 20"]
    )
    assert pair.rows("SELECT id FROM t ORDER BY id") == [(30,)]
    copy.rest()
    same(pair)


@pytest.mark.parametrize("values", ["", ", v = 'w', big = 'small'"])
def test_H03_a_row_that_moves_between_the_copied_and_the_uncopied_range_is_there_once(pair, values):
    copy = HandCopy(pair)
    copy.chunk()
    pair.source.execute(f"UPDATE t SET id = 5{values} WHERE id = 90")
    pair.source.execute(f"UPDATE t SET id = 95{values} WHERE id = 10")
    pair.source.execute(f"UPDATE t SET id = 6{values} WHERE id = 80")
    pair.source.execute(f"UPDATE t SET id = 81{values} WHERE id = 6")
    copy.chunk(
        copy.cursor,
        before=[f"UPDATE t SET id = 7{values} WHERE id = 50"],
        after=[f"UPDATE t SET id = 8{values} WHERE id = 40"],
    )
    copy.rest()
    same(pair)
    assert states(pair)[0][0] == "done"


def test_H04_H05_a_killed_copy_goes_on_behind_its_last_chunk_and_keeps_what_is_there(pair):
    copy = HandCopy(pair)
    copy.chunk()
    copy.low()
    copy.read(copy.cursor)
    pair.sync()
    # The worker dies between the marks: its chunk and its memory are gone, its high mark still comes.
    resumed = HandCopy(pair, run="run-2")
    copy.mark("high")
    pair.sync()
    assert states(pair) == [("copying", 3)]
    assert resumed.cursor.after == ("30",)
    pair.target.execute("UPDATE t SET v = 'kept as it is' WHERE id = 10")
    resumed.rest()
    assert states(pair) == [("done", 9)]
    assert pair.rows("SELECT v FROM t WHERE id = 10") == [("kept as it is",)]


def test_H07_killed_before_the_first_chunk_is_written_the_copy_goes_on(pair):
    copy = HandCopy(pair)
    copy.low()
    pair.source.execute("INSERT INTO t VALUES (11, 'came by the stream')")
    pair.sync()
    assert pair.rows("SELECT id FROM t") == [(11,)]
    resumed = HandCopy(pair, run="run-2")
    resumed.rest()
    assert states(pair) == [("done", 10)]
    same(pair)


def test_H08_a_filled_target_is_refused_and_the_stream_is_told(pair):
    pair.target.execute("INSERT INTO t VALUES (10, 'somebody else''s')")
    copy = HandCopy(pair)
    with pytest.raises(CopyRefused) as caught:
        copy.chunk()
    assert caught.value.thing == "target table t"
    assert pair.rows("SELECT id, v FROM t") == [(10, "somebody else's")]
    assert states(pair) == [("requested", 0)]


def test_a_transaction_that_is_logged_before_the_low_mark_but_not_visible_voids_the_chunk(pair):
    copy = HandCopy(pair)
    pair.source.execute("UPDATE t SET v = 'seen'")
    pair.sync()
    copy.low()
    pair.sync()
    # As if that transaction had not yet been visible when the chunk's snapshot was taken.
    with_hole = read_range(copy.session, copy.table, CopyCursor(), 3)
    unseen = pair.applier._tracker.recent.all()[0]
    hidden = with_hole.snapshot.__class__(xmin=unseen, xmax=with_hole.snapshot.xmax, in_progress=frozenset({unseen}))
    object.__setattr__(with_hole, "snapshot", hidden)
    copy.handover.put(copy.run, copy.number, with_hole)
    copy.mark("high")
    pair.sync()
    assert states(pair) == [("copying", 0)]
    assert copy.handover.take(copy.run, copy.number) is None


def test_T01_rows_that_are_suddenly_wide_end_their_chunk(pair):
    pair.source.execute("DELETE FROM t")
    pair.source.execute(
        "INSERT INTO t SELECT g, CASE WHEN g > 700 THEN repeat('x', 1000) END FROM generate_series(100, 1000) g"
    )
    everything = pair.rows("SELECT id::text FROM t ORDER BY t.id", "source")
    copy, cursor, read = HandCopy(pair), CopyCursor(), []
    while not cursor.range_done:
        chunk = read_range(copy.session, copy.table, cursor, 10_000, most_bytes=20_000, most_together=20)
        assert chunk.rows.size < 20_000 + 20 * 1100
        read += [(row[0],) for row in chunk.rows]
        cursor = CopyCursor(after=chunk.after, until=chunk.until, range_done=chunk.last)
    assert read == everything


def test_H10_inserts_faster_than_the_copy_do_not_keep_it_from_ending(pair):
    copy = HandCopy(pair)
    for number in range(1, 50):
        if pair.rows("SELECT 1 FROM strangler.copy_progress WHERE state = 'done'"):
            break
        pair.source.execute(
            "INSERT INTO t SELECT g, 'late' FROM generate_series(%s::int, %s) g", (number * 100, number * 100 + 9)
        )
        copy.chunk(copy.cursor if number > 1 else None)
    assert number < 15
    same(pair)


@pytest.fixture
def linguistic(postgres_url):
    """The name of a collation whose order is not that of the bytes, if the server has one."""
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "SELECT collname FROM pg_collation WHERE collprovider IN ('c', 'b') AND collisdeterministic"
            " ORDER BY collname NOT LIKE 'en_US%%utf8', collname <> 'unicode' LIMIT 1",
            (),
        ).fetchone()
    return found[0]


def test_H09_tables_of_every_shape_are_copied_once(make_pair, linguistic):
    values = "ARRAY['a', 'A', 'ä', 'Z', 'z', 'ß', 'ss', '-', '', ' ', 'a b', '''', E'\\\\', '😀', 'Ω']"
    shapes = {
        "empty": ("id int PRIMARY KEY", ""),
        "one": ("id int PRIMARY KEY", "SELECT 1"),
        "gaps": ("id bigint PRIMARY KEY", "SELECT g * 1000000000::bigint FROM generate_series(-5, 5) g"),
        "uuids": ("id uuid PRIMARY KEY", "SELECT md5(g::text)::uuid FROM generate_series(1, 11) g"),
        "words": (f'id text COLLATE "{linguistic}" PRIMARY KEY', f"SELECT unnest({values})"),
        "bytes": ("id bytea PRIMARY KEY", "SELECT decode(to_hex(g), 'hex') FROM generate_series(16, 255, 16) g"),
        "padded": ("id char(4) PRIMARY KEY", "SELECT unnest(ARRAY['a', 'b  ', 'cccc', ''])"),
        "times": ("id timestamptz PRIMARY KEY", "SELECT '2026-01-01'::date + g FROM generate_series(1, 7) g"),
        "numbers": ("id numeric PRIMARY KEY", "SELECT g / 7.0 FROM generate_series(-5, 5) g"),
    }  # fmt: skip
    ddl = "".join(f"CREATE TABLE {name} ({columns});" for name, (columns, _) in shapes.items())
    ddl += "CREATE TABLE composite (b text, a int, v text, PRIMARY KEY (a, b))"
    mapping = identical(*((name, "id") for name in shapes), ("composite", "a b v"))
    pair = make_pair(mapping, ddl, limits={"copy_chunk_rows": 3})
    for name, (_, query) in shapes.items():
        if query:
            pair.source.execute(f"INSERT INTO {name} {query}")
    pair.source.execute(
        "INSERT INTO composite SELECT b, a, a || b FROM generate_series(1, 4) a, unnest('{x,Y,z,É}'::text[]) b"
    )
    with running([pair.link]):
        until(lambda: copied(pair.link) == ["done"] * (len(shapes) + 1))
        settle(pair.link)
    for copy in copy_progress(pair.target_dsn, pair.link.stream):
        assert pair.rows(f"SELECT count(*) FROM {copy.table}") == [(copy.rows,)]
        same(pair, copy.table)
