"""Scenarios of copying a table without a primary key. Every row counts: none is lost, none is there once too often."""

import threading
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest

from cdc.applier import Applier
from cdc.chunk_handover import ChunkHandover
from cdc.copy_reader import copy_table, read_whole, write_mark
from cdc.copy_requests import copy_progress, request_copy
from cdc.copy_tracker import Watermark
from cdc.errors import CopyRefused, DatabaseUnreachable
from cdc.events import TableName
from cdc.held_rows import RowsOnDisk
from cdc.schema import reflect
from cdc.sessions import connect
from cdc.target_port import RaceLost
from strangler.clock import SystemClock
from tests.integration.test_worker_copy import until
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

L = TableName(name="l")
DDL = """
CREATE TABLE l (a int, b text);
CREATE TABLE t (id int PRIMARY KEY, v text);
ALTER TABLE l REPLICA IDENTITY FULL;
"""


class HandCopy:
    """A copier whose steps the test takes."""

    def __init__(self, pair, run="run-1"):
        self.pair, self.run, self.number = pair, run, 0
        self.session = connect(pair.source_dsn, "hand copy")
        pair.closing.append(self.session)
        self.handover = ChunkHandover(in_flight=10)
        self.reopen()
        self.handover.start(run)
        self.table = copy_table(reflect(pair.source_dsn, [L]).tables[L], ())
        self.handover.announce(self.table.relation)

    def reopen(self):
        self.pair.applier.close()
        self.pair.applier = Applier(self.pair.link, clock=SystemClock(), handover=self.handover)

    def low(self):
        self.number += 1
        self.mark("low")

    def mark(self, kind):
        write_mark(self.session, Watermark(run=self.run, number=self.number, mark=kind, table=L))

    def read(self):
        rows = RowsOnDisk(None, wanted=partial(self.handover.demand, self.run))
        self.handover.put(self.run, self.number, read_whole(self.session, self.table, rows))


@pytest.fixture
def make_pair(new_database, tmp_path):
    made = []

    def make(mapping=None, **options):
        mapping = mapping or identical(("l", "a b"), ("t", "id v"))
        move = f"w{tmp_path.name[-8:]}".replace("-", "_").lower()
        pair = StreamPair(new_database, tmp_path, move, mapping, DDL, DDL, **options)
        made.append(pair)
        pair.provision()
        request_copy(pair.target_dsn, pair.link.stream, [L])
        return pair

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def pair(make_pair):
    made = make_pair()
    made.source.execute("INSERT INTO l SELECT g % 10, 'v' || g % 3 FROM generate_series(1, 300) g")
    made.open()
    return made


def bag(pair, side):
    return Counter(row for (row,) in pair.rows("SELECT t::text FROM l t", side))


def same(pair):
    assert bag(pair, "target") == bag(pair, "source")
    assert pair.rows("SELECT * FROM strangler.parked_row") == []


@contextmanager
def undoing(pair, errors):
    """The applier's next transactions end with these errors at their end."""
    session, transaction = pair.applier.session, pair.applier.session.transaction

    @contextmanager
    def fails(**options):
        with transaction(**options):
            yield
            if errors:
                raise errors.pop()

    session.transaction = fails
    try:
        yield
    finally:
        del session.transaction
    assert not errors


def states(pair):
    return [(copy.state, copy.rows) for copy in copy_progress(pair.target_dsn, pair.link.stream)]


CHANGES = [
    "DELETE FROM l WHERE ctid IN (SELECT ctid FROM l WHERE a = 1 LIMIT 3)",
    "INSERT INTO l SELECT 1, 'v1' FROM generate_series(1, 4)",
    "UPDATE l SET b = 'changed' WHERE ctid IN (SELECT ctid FROM l WHERE a = 2 LIMIT 5)",
    "UPDATE l SET a = 3 WHERE b = 'changed' AND a = 2",
    "INSERT INTO l VALUES (NULL, NULL), (NULL, '')",
]


def test_H01_D29_changes_around_the_snapshot_count_once(pair):
    copy = HandCopy(pair)
    for statement in CHANGES:
        pair.source.execute(statement)
    copy.low()
    for statement in CHANGES:
        pair.source.execute(statement)
    copy.read()
    for statement in CHANGES:
        pair.source.execute(statement)
    copy.mark("high")
    for statement in CHANGES:
        pair.source.execute(statement)
    pair.sync()
    same(pair)
    assert states(pair)[0][0] == "done"
    pair.source.execute("TRUNCATE l; INSERT INTO l VALUES (7, 'x'), (7, 'x')")
    pair.sync()
    same(pair)


def finished(copy):
    copy.low()
    copy.read()
    copy.mark("high")
    copy.pair.sync()
    same(copy.pair)
    assert states(copy.pair)[0][0] == "done"


def test_H04_an_applier_that_died_between_the_marks_has_written_nothing(pair):
    copy = HandCopy(pair)
    copy.low()
    copy.read()
    pair.source.execute(CHANGES[0])
    pair.sync()
    copy.reopen()
    copy.mark("high")
    pair.source.execute(CHANGES[1])
    pair.sync()
    assert states(pair) == [("requested", 0)]
    assert pair.rows("SELECT count(*) FROM l") == [(0,)]
    copy.handover.start(copy.run)
    finished(copy)


def test_H04_an_applier_that_dies_while_it_writes_the_rows_begins_anew(pair):
    copy = HandCopy(pair)
    copy.low()
    copy.read()
    pair.source.execute(CHANGES[2])
    copy.mark("high")
    batch = pair.capture()
    gone = DatabaseUnreachable(thing="target", reason="is gone", mend="start it")
    with undoing(pair, [gone]), pytest.raises(DatabaseUnreachable):
        pair.applier.apply(batch)
    assert pair.rows("SELECT count(*) FROM l") == [(0,)]
    copy.reopen()
    pair.applier.apply(batch)
    same(pair)
    assert states(pair) == [("done", 300)], "the log still had both marks, and the handover the rows"


def test_T06_a_batch_between_the_marks_that_is_undone_is_held_back_once(pair):
    copy = HandCopy(pair)
    copy.low()
    copy.read()
    for statement in CHANGES:
        pair.source.execute(statement)
    batch = pair.capture()
    with undoing(pair, [RaceLost("40P01")] * 3):
        pair.applier.apply(batch)
    pair.source.execute(CHANGES[1])
    copy.mark("high")
    with undoing(pair, [RaceLost("40P01")]):
        pair.sync()
    same(pair)
    assert states(pair) == [("done", 300)]


def test_a_target_that_is_not_empty_is_refused_before_and_after_the_read(pair):
    copy = HandCopy(pair)
    pair.target.execute("INSERT INTO l VALUES (1, 'of the target')")
    copy.low()
    with pytest.raises(CopyRefused, match="not empty"):
        pair.sync()
    pair.target.execute("DELETE FROM l")
    copy.reopen()
    pair.applier.apply(pair.capture())
    copy.low()
    copy.read()
    pair.sync()
    pair.target.execute("INSERT INTO l VALUES (1, 'of the target')")
    copy.mark("high")
    batch = pair.capture()
    with pytest.raises(CopyRefused, match="not empty"):
        pair.applier.apply(batch)
    assert pair.rows("SELECT count(*) FROM l") == [(1,)]
    pair.target.execute("DELETE FROM l")
    pair.applier.apply(batch)
    same(pair)
    assert states(pair)[0][0] == "done"


@pytest.mark.parametrize("side", ["before", "after"])
def test_H07_a_table_that_is_emptied_around_the_snapshot(pair, side):
    copy = HandCopy(pair)
    copy.low()
    if side == "before":
        pair.source.execute("INSERT INTO t VALUES (1, 'x'); TRUNCATE l, t; INSERT INTO l VALUES (1, 'new')")
    copy.read()
    if side == "after":
        pair.source.execute("INSERT INTO l VALUES (1, 'gone'); TRUNCATE l, t; INSERT INTO l VALUES (1, 'new')")
    copy.mark("high")
    pair.sync()
    same(pair)
    assert bag(pair, "target") == Counter({"(1,new)": 1})


def test_T19_of_a_copied_table_the_refused_rows_park_alone(pair):
    pair.target.execute("ALTER TABLE l ADD CONSTRAINT choosy CHECK (a <> 3 OR b <> 'v0')")
    copy = HandCopy(pair)
    copy.low()
    copy.read()
    pair.source.execute("DELETE FROM l WHERE ctid IN (SELECT ctid FROM l WHERE a = 3 AND b = 'v0' LIMIT 1)")
    copy.mark("high")
    pair.sync()
    bad = bag(pair, "source")["(3,v0)"]
    assert pair.rows("SELECT count(*) FROM strangler.parked_row") == [(bad + 2,)], "as read, and the one that went"
    assert bag(pair, "target") == bag(pair, "source") - Counter({"(3,v0)": bad})
    pair.target.execute("ALTER TABLE l DROP CONSTRAINT choosy")
    pair.target.execute("UPDATE strangler.parked_row SET request = 'retry'")
    assert pair.applier.serve_requests()
    same(pair)


def test_H11_columns_that_change_between_the_marks_void_what_was_read(pair):
    copy = HandCopy(pair)
    copy.low()
    copy.read()
    pair.source.execute("ALTER TABLE l ADD c int; UPDATE l SET b = 'w' WHERE a = 1")
    copy.mark("high")
    pair.sync()
    assert states(pair) == [("requested", 0)]
    assert pair.rows("SELECT count(*) FROM l") == [(0,)]


def test_an_empty_table_is_copied(pair):
    pair.source.execute("DELETE FROM l")
    finished(HandCopy(pair))
    assert states(pair) == [("done", 0)]


def test_the_copy_of_a_large_table_takes_bounded_memory(pair):
    pair.source.execute("INSERT INTO l SELECT g % 7, repeat('v', 20000) FROM generate_series(1, 2000) g")
    copy = HandCopy(pair)
    copy.low()
    tracemalloc.start()
    try:
        copy.read()
        pair.source.execute("UPDATE l SET b = 'new' WHERE ctid IN (SELECT ctid FROM l WHERE a = 1 LIMIT 30)")
        copy.mark("high")
        pair.sync()
        assert tracemalloc.get_traced_memory()[1] < 25 << 20, "of 40 MB"
    finally:
        tracemalloc.stop()
    same(pair)


@contextmanager
def a_commit_that_waits_for_a_standby(pair):
    """Someone's insert that the log has and no snapshot shows, for as long as the block runs."""
    with connect(pair.source_dsn, "slow") as slow:
        pid, waits = slow.info.backend_pid, threading.Event()

        def insert_until_one_waits():
            # The checkpointer tells the others that standbys are waited for: until it has, commits go through.
            while not waits.is_set():
                slow.execute("INSERT INTO l VALUES (1, 'slow')")

        assert pair.rows("SHOW synchronous_standby_names", "source") == [("",)]
        pair.source.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        pair.source.execute("SELECT pg_reload_conf()")
        inserting = threading.Thread(target=insert_until_one_waits)
        inserting.start()
        try:
            waiting = f"SELECT wait_event FROM pg_stat_activity WHERE pid = {pid}"
            until(lambda: pair.rows(waiting, "source") == [("SyncRep",)])
            yield
        finally:
            waits.set()
            pair.source.execute("ALTER SYSTEM RESET synchronous_standby_names")
            pair.source.execute("SELECT pg_reload_conf()")
            inserting.join()


def test_a_transaction_that_the_log_has_and_the_snapshot_not_yet_voids_what_was_read(pair):
    """A commit is in the log before others can see it, for long where a standby is waited for."""
    copy = HandCopy(pair)
    with a_commit_that_waits_for_a_standby(pair):
        for session in (copy.session, pair.source):
            session.execute("SET synchronous_commit = local")
        copy.low()
        copy.read()
    copy.mark("high")
    pair.sync()
    assert states(pair) == [("requested", 0)]
    copy.handover.start(copy.run)
    finished(copy)
