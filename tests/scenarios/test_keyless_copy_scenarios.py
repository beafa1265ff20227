"""Scenarios of copying a table without a primary key. Every row counts: none is lost, none is there once too often."""

from collections import Counter
from functools import partial

import pytest

from cdc.applier import Applier
from cdc.chunk_handover import ChunkHandover
from cdc.copy_reader import copy_table, read_whole, write_mark
from cdc.copy_requests import copy_progress, request_copy
from cdc.copy_tracker import Watermark
from cdc.errors import CopyRefused
from cdc.events import TableName
from cdc.held_rows import RowsOnDisk
from cdc.schema import reflect
from cdc.sessions import connect
from strangler.clock import SystemClock
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
