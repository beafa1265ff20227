"""PostgreSQL → worker → SQLite and MariaDB: copy, stream, kills, exact values, refusals."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cdc.canary import exercise
from cdc.copy_requests import copy_progress, request_copy
from cdc.lag import read_lag
from cdc.parking.requests import ask, parked_reason, parked_rows
from cdc.positions import emit_barrier, wait_applied
from cdc.sql_target.compare import compare_rows
from cdc.worker import StreamWorker
from sandbox.mariadb import create_mysql_database, mariadb_program
from sandbox.supervision import Stack
from strangler import failpoints
from tests.catalog_mapping import CATALOG, LEGACY_DDL
from tests.contract.apply_targets import TargetDatabase, has_mariadb, make_target
from tests.integration.test_worker_copy import seed
from tests.integration.test_worker_killed import Writers
from tests.sql_catalog import CATALOG_DDL
from tests.sql_pair import SqlPair, until
from tests.stream_pair import identical

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


@pytest.fixture(params=["sqlite", "mysql"])
def target(request, tmp_path):
    made = make_target(request.param, request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def catalog(new_database, target, tmp_path):
    move = f"s{tmp_path.name[-6:]}".replace("-", "_")
    pair = SqlPair(new_database, target, move, CATALOG, LEGACY_DDL, CATALOG_DDL[target.dialect])
    yield pair
    pair.close()


@contextlib.contextmanager
def running(pair):
    stop = threading.Event()
    worker = StreamWorker([pair.link])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, stop)
        try:
            yield worker
        finally:
            stop.set()
            running.result(timeout=60)


def settle(pair):
    wait_applied(pair.link.target_dsn, pair.link.stream, emit_barrier(pair.source_dsn, pair.link.stream, "t"), 60)


def copied(pair):
    return [copy.state for copy in copy_progress(pair.link.target_dsn, pair.link.stream)]


def assert_equal(pair, rows=None):
    comparisons = compare_rows(pair.link)
    assert [c for c in comparisons if not c.equal] == []
    assert len(comparisons) == len(pair.link.mapper.target_tables)
    if rows:
        assert sum(comparison.rows for comparison in comparisons) >= rows


class Worker:
    def __init__(self, pair, point=None, chunk_rows=25):
        self.log = (Path(pair.target.folder) / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sql_process", str(pair.target.folder), pair.move, pair.source_dsn,
             pair.link.target_dsn, str(chunk_rows)],
            cwd=ROOT, env={**os.environ, failpoints.VARIABLE: point or ""}, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def died_by_itself(self):
        with self.log:
            assert self.process.wait(60) == -signal.SIGKILL

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


def test_copy_under_writes_then_follow(catalog):
    pair = catalog
    pair.source.execute(seed(1000))
    request_copy(pair.link.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running(pair) as worker:
        number = 0
        while copied(pair) != ["done"] * 4:
            number += 1
            pair.source.execute(
                "UPDATE product SET name = name || '!', version = version + 1 WHERE id %% 97 = %s", (number % 97,)
            )
            pair.source.execute("DELETE FROM price WHERE id = %s", (number * 7,))
            pair.source.execute("INSERT INTO category (name, slug) VALUES (%s, %s)", (f"n{number}", f"n{number}"))
            assert number < 5000
        settle(pair)
        assert_equal(pair, rows=4000)
        progress = {copy.table: copy for copy in copy_progress(pair.link.target_dsn, pair.link.stream)}
        assert progress["product"].rows == 1000
        assert progress["product"].finished_at >= progress["product"].started_at
        assert exercise(pair.source_dsn, pair.link.target_dsn, pair.link.stream, 20) < 20
        lag = read_lag(pair.source_dsn, pair.link.target_dsn, pair.link.stream)
        assert (lag.state, lag.error, lag.parked_rows) == ("streaming", None, 0)
        assert ("product", "done") in {(table.table, table.copy_state) for table in lag.tables}
        until(lambda: worker.views()[pair.link.stream].lag_bytes == 0)
        status = "SELECT state, error, lag_bytes FROM strangler_stream_status WHERE worker_pid IS NOT NULL"
        until(lambda: pair.target.rows(status) == [("streaming", None, 0)])
    assert pair.target.rows("SELECT state, worker_pid FROM strangler_stream_status") == [("idle", None)]


def test_killed_at_random_moments_under_load_it_converges(catalog):
    pair, chance = catalog, random.Random(20261122)
    pair.source.execute(seed(1000))
    request_copy(pair.link.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    worker = None
    try:
        with Writers(pair.source_dsn, 11) as writers:
            for point in ("cdc.apply.before_commit", None, "cdc.apply.after_commit", None, None):
                worker = Worker(pair, point)
                if point:
                    worker.died_by_itself()
                    continue
                before = sum(copy.rows for copy in copy_progress(pair.link.target_dsn, pair.link.stream))
                until(
                    lambda before=before: (
                        copied(pair) == ["done"] * 4
                        or sum(c.rows for c in copy_progress(pair.link.target_dsn, pair.link.stream)) > before
                    )
                )
                time.sleep(chance.random())
                worker.kill()
            worker = Worker(pair, chunk_rows=500)
            until(lambda: copied(pair) == ["done"] * 4)
        assert writers.count > 100
        settle(pair)
        assert_equal(pair, rows=3000)
    finally:
        if worker is not None and worker.process.poll() is None:
            worker.kill()


def test_v1_v2_a_comparison_finds_each_kind_of_difference_and_names_the_columns(catalog):
    pair = catalog
    pair.source.execute(seed(50))
    request_copy(pair.link.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running(pair):
        until(lambda: copied(pair) == ["done"] * 4)
        settle(pair)
    assert_equal(pair, rows=200)
    pair.target.execute(
        "UPDATE products SET title = 'p2', revision = 7, updated_at = updated_at WHERE product_id = 1",
        "DELETE FROM product_categories WHERE product_id = 3",
        "INSERT INTO product_categories VALUES (4, 19, 1)",
        "UPDATE prices SET reference = NULL WHERE price_id = 5",
    )
    found = {c.table.name: [(d.key, d.kind, d.columns) for d in c.differences] for c in compare_rows(pair.link)}
    assert found == {
        "categories": [],
        "products": [(("1",), "different", ("title", "revision"))],
        "product_descriptions": [],
        "prices": [(("5",), "different", ("reference",))],
        "product_categories": [(("3", "4"), "missing", ()), (("4", "19"), "extra", ())],
    }


ITEMS = {
    "sqlite": [
        "CREATE TABLE item (id INTEGER PRIMARY KEY, v TEXT, n INTEGER CHECK (n > 0))",
        "CREATE TABLE part (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item, v TEXT)",
    ],
    "mysql": [
        "CREATE TABLE item (id int PRIMARY KEY, v longtext, n int CHECK (n > 0))",
        "CREATE TABLE part (id int PRIMARY KEY, item int, v longtext, FOREIGN KEY (item) REFERENCES item (id))",
    ],
}
ITEM_DDL = """
CREATE TABLE item (id int PRIMARY KEY, v text, n int);
CREATE TABLE part (id int PRIMARY KEY, item int REFERENCES item, v text)
"""


def test_T19_a_row_that_the_target_refuses_parks_with_its_dependants_and_passes_on_retry(
    new_database, target, tmp_path
):
    move = f"p{tmp_path.name[-6:]}".replace("-", "_")
    mapping = identical(("item", "id v n"), ("part", "id item v"))
    pair = SqlPair(new_database, target, move, mapping, ITEM_DDL, ITEMS[target.dialect], follows_copy=False)
    dsn, stream = pair.link.target_dsn, pair.link.stream
    try:
        with running(pair):
            with pair.source.transaction():
                pair.source.execute("INSERT INTO item VALUES (1, 'a', 1), (2, 'b', -5), (3, repeat('x', 200000), 3)")
                pair.source.execute("INSERT INTO part VALUES (10, 1, 'of a'), (20, 2, 'of b')")
            pair.source.execute("UPDATE item SET v = v || '!' WHERE id < 3")
            settle(pair)
            seen = [
                (s.row.parked.table.name, dict(s.row.parked.key), s.row.parked.state) for s in parked_rows(dsn, stream)
            ]
            assert seen == [
                ("item", {"id": "2"}, "refused"), ("part", {"id": "20"}, "waiting"), ("item", {"id": "2"}, "waiting"),
            ]  # fmt: skip
            assert target.rows("SELECT id FROM item ORDER BY id") == [(1,), (3,)]
            assert "3 events are parked" in parked_reason(dsn, stream)
            ids = [each.row.id for each in parked_rows(dsn, stream)]
            pair.source.execute("UPDATE item SET n = 2 WHERE id = 2")
            settle(pair)
            ask(dsn, stream, [ids[0], ids[2]], "skip", by="ann", reason="a negative number")
            until(lambda: not {ids[0], ids[2]} & {each.row.id for each in parked_rows(dsn, stream)})
            assert (
                target.rows("SELECT skipped_by, skip_reason FROM strangler_parked_audit")
                == [("ann", "a negative number")] * 2
            )
            # The row's beginning is gone for good: what waited behind it meets none, until somebody puts it there.
            target.execute("INSERT INTO item VALUES (2, 'b', 1)")
            for _ in range(5):
                left = [each.row.id for each in parked_rows(dsn, stream)]
                ask(dsn, stream, left, "retry", by="ann", reason="")
                until(lambda: all(each.request is None for each in parked_rows(dsn, stream)))
            assert parked_rows(dsn, stream) == []
            assert_equal(pair, rows=5)
    finally:
        pair.close()


def test_T17_a_target_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(new_database, tmp_path):
    if not has_mariadb():
        pytest.skip("no MariaDB server is installed")
    with Stack() as stack:
        (port,) = stack.reserve_ports(1)
        stack.run(mariadb_program(stack.folder, port=port), timeout_s=60)
        dsn = create_mysql_database(f"mysql://root@127.0.0.1:{port}/", "target")
        target = TargetDatabase("mysql", dsn, tmp_path)
        move = f"r{tmp_path.name[-6:]}".replace("-", "_")
        pair = SqlPair(new_database, target, move, CATALOG, LEGACY_DDL, CATALOG_DDL["mysql"])
        try:
            pair.source.execute(seed(300))
            request_copy(dsn, pair.link.stream, pair.link.mapper.source_tables)
            with running(pair) as worker, Writers(pair.source_dsn, 5):
                until(lambda: copied(pair) == ["done"] * 4)
                for _ in range(2):
                    time.sleep(0.5)
                    stack.kill("mariadb")
                    until(lambda: worker.views()[pair.link.stream].state == "retrying")
                    stack.start("mariadb")
                    until(lambda: worker.views()[pair.link.stream].state == "streaming")
            with running(pair):
                settle(pair)
                assert_equal(pair, rows=1000)
        finally:
            pair.close()
