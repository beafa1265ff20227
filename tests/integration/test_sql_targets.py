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

from cdc.copy_requests import copy_progress, request_copy
from cdc.positions import emit_barrier, wait_applied
from cdc.sql_target.compare import compare_rows
from cdc.worker import StreamWorker
from strangler import failpoints
from tests.catalog_mapping import CATALOG, LEGACY_DDL
from tests.contract.apply_targets import make_target
from tests.integration.test_worker_copy import seed
from tests.integration.test_worker_killed import Writers
from tests.sql_catalog import CATALOG_DDL
from tests.sql_pair import SqlPair, until

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
