"""S1, S4, S6, S8, H11 with a real worker: during a copy, under load, killed between the target's DDL and the rows."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strangler import failpoints
from tests.evolving_pair import EvolvingPair
from tests.integration.test_worker_copy import copied, settle, until

ROOT = Path(__file__).parents[2]


class Process:
    def __init__(self, pair, folder, point=""):
        self.log = (folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.evolving_process", str(folder), pair.source_dsn, pair.target_dsn],
            cwd=ROOT,
            env={**os.environ, failpoints.VARIABLE: point},
            stdout=self.log,
            stderr=self.log,
        )

    def died(self):
        try:
            assert self.process.wait(60) == -signal.SIGKILL
        finally:
            self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.log.close()


@pytest.fixture
def pair(new_database, tmp_path):
    made = EvolvingPair(new_database, tmp_path, copied=False)
    yield made
    made.close()


def columns(pair):
    return {
        name for (name,) in pair.rows("SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0")
    }


def test_S6_killed_between_the_target_s_ddl_and_the_rows_it_goes_on_without_rewinding(pair, tmp_path):
    pair.source.execute("INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 500) g")
    pair.request_copy()
    with Process(pair, tmp_path):
        until(lambda: copied(pair.link) == ["done"])
    killed = Process(pair, tmp_path, "cdc.schema.followed")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t VALUES (501, 'old form', 1)")
        pair.source.execute("ALTER TABLE t ADD COLUMN x int NOT NULL DEFAULT 7")
        pair.source.execute("INSERT INTO t VALUES (502, 'one more column', 2, 8)")
        pair.source.execute("ALTER TABLE t ADD COLUMN y text")
        pair.source.execute("UPDATE t SET y = 'y', n = 3 WHERE id = 501")
    killed.died()
    assert "x" in columns(pair)
    assert pair.rows("SELECT count(*) FROM t WHERE id > 500") == [(0,)]
    again = Process(pair, tmp_path, "cdc.schema.followed")
    again.died()
    assert "y" in columns(pair)
    with Process(pair, tmp_path):
        pair.source.execute("UPDATE t SET x = 9 WHERE id = 1")
        settle(pair.link)
        assert len(pair.both("SELECT * FROM t ORDER BY id")) == 502
        assert pair.rows("SELECT id, x, y FROM t WHERE id IN (1, 501, 502) ORDER BY id") == [
            (1, 9, None),
            (501, 7, "y"),
            (502, 8, None),
        ]
    assert pair.rows("SELECT version, state FROM strangler.source_schema ORDER BY 1") == [
        (1, "met"),
        (2, "met"),
        (3, "met"),
    ]


def test_H11_S1_S8_columns_that_come_during_the_copy_reach_every_row(pair, tmp_path):
    pair.source.execute("INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 3000) g")
    pair.request_copy()
    with Process(pair, tmp_path):
        for number in range(4):
            pair.source.execute(f"ALTER TABLE t ADD COLUMN x{number} int DEFAULT {number}")
            pair.source.execute(f"UPDATE t SET x{number} = -id WHERE id % 7 = {number}")
            pair.source.execute(f"CREATE TABLE unrelated{number} (id int); ALTER TABLE unrelated{number} ADD x int")
            pair.source.execute(f"INSERT INTO t (id, x{number}) VALUES ({4000 + number}, 99)")
        until(lambda: copied(pair.link) == ["done"])
        settle(pair.link)
        assert len(pair.both("SELECT * FROM t ORDER BY id")) == 3004
        assert pair.rows("SELECT count(*) FROM strangler.parked_row") == [(0,)]


def test_S1_a_column_that_no_row_shows_comes_by_itself_and_S7_a_drop_is_said(pair, tmp_path):
    pair.source.execute("INSERT INTO t VALUES (1, 'row', 0)")
    pair.request_copy()
    with Process(pair, tmp_path):
        until(lambda: copied(pair.link) == ["done"])
        pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 5")
        until(lambda: "x" in columns(pair))
        assert pair.both("SELECT id, x FROM t") == [(1, 5)]
        pair.source.execute("DROP TABLE t")
        status = "SELECT state, error->>'reason' FROM strangler.stream_status WHERE stream = 'strangler_m_forward'"
        until(lambda: pair.rows(status)[0][0] == "stopped")
        assert "was dropped" in pair.rows(status)[0][1]
