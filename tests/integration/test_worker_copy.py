"""The worker on the catalog: copy while writing, follow, both directions, canary, barriers."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdc.canary import exercise
from cdc.copy_requests import copy_progress, request_copy
from cdc.errors import PositionNotReached
from cdc.positions import emit_barrier, wait_applied
from cdc.worker import StreamWorker
from tests.catalog_mapping import CATALOG, LEGACY_DDL, SERVICE_DDL
from tests.stream_pair import StreamPair

SEED = """
INSERT INTO category (name, slug, position) SELECT 'c' || g, 'c' || g, g FROM generate_series(1, 20) g;
INSERT INTO product (sku, name, descr, category_id, status, tags, attrs)
  SELECT 'sku' || g, 'p' || g, CASE WHEN g % 3 > 0 THEN 'd' || g END, g % 20 + 1,
         (ARRAY['draft','active','retired'])[g % 3 + 1]::product_status, ARRAY['a', 'b' || g], '{"k": 1.50}'
    FROM generate_series(1, %(rows)s) g;
INSERT INTO price (product_id, currency, amount, reference, valid_from)
  SELECT g %% %(rows)s + 1, 'EUR', g / 100.0, 'r' || g, now() FROM generate_series(1, %(rows)s) g;
INSERT INTO product_category SELECT g, g %% 20 + 1, g FROM generate_series(1, %(rows)s) g;
"""

SAME = [
    ("SELECT id, parent_id, name, slug, position FROM category", "SELECT * FROM categories"),
    (
        "SELECT id, sku, name, category_id, CASE status WHEN 'active' THEN 'live' ELSE status::text END, tags, attrs,"
        " weight_grams, version, created_at, updated_at FROM product",
        "SELECT * FROM products",
    ),
    ("SELECT id, descr FROM product", "SELECT * FROM product_descriptions"),
    (
        "SELECT id, product_id, currency, (amount * 100)::bigint, reference, valid_from, valid_to FROM price",
        "SELECT * FROM prices",
    ),
    ("SELECT * FROM product_category", "SELECT * FROM product_categories"),
]


def seed(rows):
    return SEED.replace("%(rows)s", str(rows)).replace("%%", "%")


def assert_same(pair):
    for source_query, target_query in SAME:
        assert sorted(map(str, pair.rows(source_query, "source"))) == sorted(map(str, pair.rows(target_query)))


@contextlib.contextmanager
def running(links, **options):
    stop = threading.Event()
    worker = StreamWorker(links, **options)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, stop)
        try:
            yield worker
        finally:
            stop.set()
            running.result(timeout=30)


def copied(link):
    return [copy.state for copy in copy_progress(link.target_dsn, link.stream)]


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def settle(link):
    wait_applied(link.target_dsn, link.stream, emit_barrier(link.source_dsn, link.stream, "t"), 60)


@pytest.fixture
def catalog(new_database, tmp_path):
    pair = StreamPair(
        new_database, tmp_path, f"w{tmp_path.name[-6:]}".replace("-", "_"), CATALOG, LEGACY_DDL, SERVICE_DDL,
        limits={"copy_chunk_rows": 300, "status_s": 0.1},
    )  # fmt: skip
    yield pair
    pair.close()


def test_copy_under_writes_then_follow_then_canary_and_back(catalog):
    pair = catalog
    pair.source.execute(seed(2000))
    pair.provision()
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running([pair.link]) as worker:
        number = 0
        while copied(pair.link) != ["done"] * 4:
            number += 1
            pair.source.execute(
                "UPDATE product SET name = name || '!', version = version + 1 WHERE id %% 97 = %s", (number % 97,)
            )
            pair.source.execute("DELETE FROM price WHERE id = %s", (number * 7,))
            pair.source.execute("INSERT INTO category (name, slug) VALUES (%s, %s)", (f"n{number}", f"n{number}"))
            assert number < 5000
        settle(pair.link)
        assert_same(pair)
        progress = {copy.table: copy for copy in copy_progress(pair.target_dsn, pair.link.stream)}
        assert progress["product"].rows == 2000
        assert progress["product"].finished_at >= progress["product"].started_at
        assert exercise(pair.source_dsn, pair.target_dsn, pair.link.stream, 10) < 10
        state = "SELECT state, error, lag_bytes FROM strangler.stream_status WHERE worker_pid IS NOT NULL"
        until(lambda: pair.rows(state) == [("streaming", None, 0)])
        assert worker.views()[pair.link.stream].state == "streaming"
    assert pair.rows("SELECT state, worker_pid FROM strangler.stream_status") == [("idle", None)]


def test_waiting_names_the_lag(catalog):
    pair = catalog
    pair.provision()
    with pytest.raises(PositionNotReached) as caught:
        wait_applied(pair.target, pair.link.stream, emit_barrier(pair.source_dsn, pair.link.stream, "t"), 0.05)
    assert "bytes of log short" in caught.value.reason
