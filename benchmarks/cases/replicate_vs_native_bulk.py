"""A backlog of bulk transactions drained into the target, by our worker and by PostgreSQL's own logical replication.

Both begin with the transactions committed and nothing sent; the clock runs from telling them to start until the last
row is visible, so each pays for its own start. Each has its own slot on the source and its own database on the target.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks.harness import Case
from benchmarks.item_stream import StreamPair, open_stream_pair
from benchmarks.item_table import insert_items

ROWS = 1_000_000
ROWS_PER_TRANSACTION = 50_000


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    rows = max(1, round(ROWS * scale))
    with open_stream_pair(native=True) as pair:
        yield Case(
            ours=lambda: _ours(pair, rows),
            reference=lambda: _native(pair, rows),
            unit=f"rows/s, {rows:,} rows × 6 columns in transactions of {ROWS_PER_TRANSACTION:,}",
        )


def _ours(pair: StreamPair, rows: int) -> float:
    _refill(pair, rows)
    began = time.monotonic()
    pair.start_worker()
    pair.wait_for_rows(pair.ours_dsn, rows)
    seconds = time.monotonic() - began
    pair.stop_worker()
    return rows / seconds


def _native(pair: StreamPair, rows: int) -> float:
    """Drains what `_ours` filled in."""
    with psycopg.connect(pair.native_dsn, autocommit=True) as target:
        began = time.monotonic()
        target.execute("ALTER SUBSCRIPTION native ENABLE")
        pair.wait_for_rows(pair.native_dsn, rows)
        seconds = time.monotonic() - began
        target.execute("ALTER SUBSCRIPTION native DISABLE")
    return rows / seconds


def _refill(pair: StreamPair, rows: int) -> None:
    pair.empty()
    insert_items(pair.source_dsn, rows, rows_per_transaction=ROWS_PER_TRANSACTION)
