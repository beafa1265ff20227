"""Tables without a primary key: the worker killed at any point, both directions, a mapping that changes them."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from cdc.copy_requests import request_copy
from cdc.mapping.check import check_mapping
from cdc.schema import reflect
from cdc.verify import verify_all
from strangler import failpoints
from strangler.clock import SystemClock
from tests.integration.test_worker_copy import copied, running, settle, until
from tests.keyless_process import LEGACY_DDL, MAPPING, SERVICE_DDL
from tests.seeded_writers import SeededWriters
from tests.stream_pair import StreamPair

ROOT = Path(__file__).parents[2]


class Writers(SeededWriters):
    """Changes of rows, of which many are alike."""

    def __init__(self, dsn, seed):
        super().__init__(dsn, seed, most=4, pause_s=0.002)

    def write(self, connection):
        connection.execute(self._statement())
        self.count += 1

    def _statement(self):
        at, chance = self.chance.randint(0, 9), self.chance.random()
        one = f"ctid IN (SELECT ctid FROM log WHERE at = {at} LIMIT {self.chance.randint(1, 2)}) AND at = {at}"
        if chance < 0.4:
            return f"INSERT INTO log SELECT {at}, 'i', 'b', 's' || g FROM generate_series(1, 2) g"
        if chance < 0.6:
            return f"UPDATE log SET level = 'w', body = NULL WHERE {one}"
        if chance < 0.7:
            return f"UPDATE log SET secret = 'other' WHERE {one}"
        if chance < 0.9:
            return f"DELETE FROM log WHERE {one}"
        return f"INSERT INTO item VALUES ({at}, 'x') ON CONFLICT (id) DO UPDATE SET v = item.v || 'x'"


class Worker:
    def __init__(self, pair, point=""):
        self.log = (pair.folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.keyless_process", str(pair.folder), pair.move, pair.source_dsn,
             pair.target_dsn],
            cwd=ROOT, env={**os.environ, failpoints.VARIABLE: point}, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def end(self, with_signal=signal.SIGKILL):
        self.process.send_signal(with_signal)
        self.process.wait(30)
        self.log.close()


@pytest.fixture
def pair(new_database, tmp_path):
    made = StreamPair(
        new_database, tmp_path, f"n{tmp_path.name[-6:]}".replace("-", "_"), MAPPING, LEGACY_DDL, SERVICE_DDL
    )
    made.provision()
    made.provision(made.make_link("reverse"))
    yield made
    made.close()


def assert_same(pair):
    legacy = "SELECT at, CASE level WHEN 'i' THEN 'info' WHEN 'w' THEN 'warning' END, body FROM log"
    assert Counter(pair.rows("SELECT moment, severity, content FROM entries")) == Counter(pair.rows(legacy, "source"))
    assert sorted(pair.rows("SELECT * FROM item")) == sorted(pair.rows("SELECT * FROM item", "source"))
    assert pair.rows("SELECT * FROM strangler.parked_row") == []


def test_killed_at_every_point_no_row_is_there_once_too_often(pair):
    pair.source.execute("INSERT INTO log SELECT g % 10, 'i', 'b', 's' FROM generate_series(1, 3000) g")
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    worker = None
    points = ["cdc.copy.chunk_read", "cdc.apply.before_commit", "cdc.apply.after_commit", "", ""]
    try:
        with Writers(pair.source_dsn, 29) as writers:
            for point in points:
                worker = Worker(pair, point)
                if point:
                    worker.process.wait(60)
                else:
                    until(lambda: pair.rows("SELECT count(*) > 0 FROM entries")[0][0])
                    time.sleep(random.Random(writers.count).random())
                worker.end()
            worker = Worker(pair)
            until(lambda: copied(pair.link) == ["done"] * 2)
        settle(pair.link)
        assert writers.count > 100
        assert_same(pair)
        worker.end(signal.SIGTERM)
    finally:
        if worker is not None and worker.process.poll() is None:
            worker.end()


def test_there_and_back_with_a_mapping_that_changes_rows(pair):
    """Columns are renamed, cast, looked up, made constant, left out and added: the numbers of equal rows agree."""
    schemas = reflect(pair.source_dsn, MAPPING.source_tables), reflect(pair.target_dsn, MAPPING.target_tables)
    assert check_mapping(MAPPING, *schemas) == []
    links = [pair.link, pair.make_link("reverse")]
    pair.source.execute("INSERT INTO log SELECT g % 3, 'w', 'b', 's' || g % 2 FROM generate_series(1, 30) g")
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running(links):
        until(lambda: copied(pair.link) == ["done"] * 2)
        pair.source.execute("UPDATE log SET secret = 'none' WHERE at = 1")
        pair.source.execute("DELETE FROM log WHERE ctid = (SELECT ctid FROM log WHERE at = 2 LIMIT 1)")
        settle(pair.link)
        assert_same(pair)
        pair.target.execute("UPDATE entries SET seen = true WHERE ctid = (SELECT ctid FROM entries LIMIT 1)")
        pair.target.execute("INSERT INTO entries SELECT 7, 'info', 'legacy', NULL FROM generate_series(1, 3)")
        pair.target.execute("DELETE FROM entries WHERE ctid = (SELECT ctid FROM entries WHERE moment = 1 LIMIT 1)")
        pair.target.execute("UPDATE entries SET content = 'of the service' WHERE moment = 0 AND seen")
        settle(links[1])
        assert_same(pair)
        for link, mapping in ((links[0], MAPPING), (links[1], MAPPING.inverse())):
            verdict = verify_all(
                link.source_dsn, link.target_dsn, mapping, move=pair.move, direction=link.direction,
                wait_caught_up=lambda link=link: settle(link), clock=SystemClock(), position=lambda: 0,
            )  # fmt: skip
            assert verdict.equal
            assert verdict.rows == 31


def test_the_services_table_has_to_log_whole_rows_too(pair):
    pair.target.execute("ALTER TABLE entries REPLICA IDENTITY DEFAULT")
    schemas = reflect(pair.source_dsn, MAPPING.source_tables), reflect(pair.target_dsn, MAPPING.target_tables)
    (problem,) = check_mapping(MAPPING, *schemas)
    assert (problem.thing, problem.reason[:16]) == ("source table entries", "on the way back:")
    assert "REPLICA IDENTITY FULL" in problem.mend
