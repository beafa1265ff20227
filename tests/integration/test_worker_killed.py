"""T5, T6, T8, H4: kill -9 at any point, at named points, during the copy; in the end both sides are equal."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cdc.copy_requests import copy_progress, request_copy
from strangler import failpoints
from tests.catalog_mapping import CATALOG, LEGACY_DDL, SERVICE_DDL
from tests.integration.test_worker_copy import assert_same, copied, seed, settle, until
from tests.seeded_writers import SeededWriters
from tests.stream_pair import StreamPair

ROOT = Path(__file__).parents[2]
POINTS = ["cdc.copy.chunk_read", "cdc.apply.before_commit", "cdc.apply.after_commit", "cdc.capture.after_append"]


class Writers(SeededWriters):
    """Writes of every kind."""

    def __init__(self, dsn, seed):
        super().__init__(dsn, seed, most=5, pause_s=0.001)

    def write(self, connection):
        self.count += 1
        any_id, number = self.chance.randint(1, 3000), self.count
        statement, parameters = self.chance.choice(
            [
                ("UPDATE product SET name = %s, version = version + 1 WHERE id = %s", (f"n{number}", any_id)),
                ("UPDATE product SET descr = repeat(%s, 2000) WHERE id = %s", (f"d{number}", any_id)),
                ("INSERT INTO category (name, slug) VALUES (%s, %s)", (f"n{number}", f"n{number}")),
                ("DELETE FROM price WHERE id = %s", (any_id,)),
                (
                    "INSERT INTO price (id, product_id, currency, amount, valid_from) VALUES (%s, 1, 'EUR', 5, now())"
                    " ON CONFLICT (id) DO UPDATE SET amount = price.amount + 1",
                    (any_id,),
                ),
                ("UPDATE price SET id = %s WHERE id = %s", (200_000 + number, any_id)),
                ("DELETE FROM product_category WHERE product_id = %s", (any_id,)),
                (
                    "INSERT INTO product_category SELECT id, 2, %s FROM product WHERE id = %s ON CONFLICT DO NOTHING",
                    (number, any_id),
                ),
            ]
        )
        connection.execute(statement, parameters)


def copied_so_far(pair):
    return {copy.table: copy.rows for copy in copy_progress(pair.target_dsn, pair.link.stream)}


class Worker:
    def __init__(self, pair, folder, point=None, chunk_rows=200):
        environment = {**os.environ, failpoints.VARIABLE: point or ""}
        self.log = (Path(folder) / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stream_process", folder, pair.move, pair.source_dsn, pair.target_dsn,
             str(chunk_rows)],
            cwd=ROOT, env=environment, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def died_by_itself(self, seconds=30):
        try:
            assert self.process.wait(seconds) == -signal.SIGKILL
        finally:
            self.log.close()

    def terminate(self):
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.log.close()


@pytest.fixture
def catalog(new_database, tmp_path):
    move = f"k{tmp_path.name[-6:]}".replace("-", "_")
    pair = StreamPair(new_database, tmp_path, move, CATALOG, LEGACY_DDL, SERVICE_DDL)
    pair.provision()
    pair.provision(pair.make_link("reverse"))
    yield pair
    pair.close()


def test_killed_at_random_moments_under_load_it_converges(catalog, tmp_path):
    pair, chance = catalog, random.Random(20260729)
    pair.source.execute(seed(3000))
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    seen_rows = []
    worker = None
    try:
        with Writers(pair.source_dsn, 7) as writers:
            for copied_rows in (1, 1500, 4000, 7000, None, None):
                worker = Worker(pair, str(tmp_path), chunk_rows=25)
                if copied_rows is None:
                    time.sleep(1 + chance.random())
                else:
                    until(lambda rows=copied_rows: sum(copied_so_far(pair).values()) >= rows)
                    time.sleep(chance.random() / 20)
                worker.kill()
                seen_rows.append(copied_so_far(pair))
            worker = Worker(pair, str(tmp_path))
            until(lambda: copied(pair.link) == ["done"] * 4)
            time.sleep(0.3)
        settle(pair.link)
        assert writers.count > 500
        assert sum(sum(rows.values()) < 8000 for rows in seen_rows) >= 3, "the copy was not killed half-way"
        assert_same(pair)
        # H4, H5: a resumed copy never begins again.
        for before, after in itertools.pairwise(seen_rows):
            assert all(after[table] >= rows for table, rows in before.items())
        worker.terminate()
    finally:
        if worker is not None and worker.process.poll() is None:
            worker.kill()


def test_killed_at_each_named_point_it_converges(catalog, tmp_path):
    pair = catalog
    pair.source.execute(seed(800))
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    worker = None
    try:
        with Writers(pair.source_dsn, 11):
            for point in POINTS:
                worker = Worker(pair, str(tmp_path), point)
                worker.died_by_itself()
            worker = Worker(pair, str(tmp_path))
            until(lambda: copied(pair.link) == ["done"] * 4)
        settle(pair.link)
        assert_same(pair)
        worker.terminate()
    finally:
        if worker is not None and worker.process.poll() is None:
            worker.kill()
