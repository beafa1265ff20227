"""Slot to durable local log, against the same driver receiving the same slot without looking into the messages.

Every run reads a fresh copy of one slot, so that all read the same log.
"""

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_table import SOURCE, SOURCE_DDL, insert_items
from cdc.changelog.local import LocalChangeLog
from cdc.lsn import Lsn
from cdc.postgres_source import PostgresSource
from cdc.provision import provision_source
from cdc.replication_connection import ReplicationConnection, WalData
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack

ROWS = 300_000
ROWS_PER_TRANSACTION = 100
_STREAM = "strangler_bench_forward"
_INSERT = ord("I")
_WAIT_S = 1.0


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    rows = max(1, round(ROWS * scale))
    with Stack() as stack:
        dsn = create_database(start_postgres(stack), "source")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SOURCE_DDL)
        start = provision_source(dsn, _STREAM, [SOURCE])
        insert_items(dsn, rows, rows_per_transaction=ROWS_PER_TRANSACTION)
        folders = (stack.folder / f"log-{number}" for number in itertools.count())
        yield Case(
            ours=lambda: _with_copied_slot(dsn, rows, lambda slot: _captured(dsn, slot, start, next(folders))),
            reference=lambda: _with_copied_slot(dsn, rows, lambda slot: _received(dsn, slot, start, rows)),
            unit=f"rows/s, {rows:,} rows × 6 columns in transactions of {ROWS_PER_TRANSACTION}",
        )


def _with_copied_slot(dsn: str, rows: int, read: Callable[[str], int]) -> float:
    """Rows a second that `read` gets through, from connecting to the last row."""
    slot = "strangler_bench_copy"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (_STREAM, slot))
        began = time.monotonic()
        seen = read(slot)
        seconds = time.monotonic() - began
        while connection.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND active", (slot,)
        ).fetchone():
            time.sleep(0.01)
        connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
    if seen != rows:
        raise WrongResult(thing="capture", reason=f"{seen} of {rows} rows came", mend="mend the reader that was run")
    return rows / seconds


def _captured(dsn: str, slot: str, start: Lsn, folder: Path) -> int:
    """The product's own capture step: poll, append (durable on return), until the newest commit is in the log."""
    seen, end = 0, _newest(dsn)
    log = LocalChangeLog(folder)
    try:
        with PostgresSource(dsn, slot=slot, publication=_STREAM, position=start) as source:
            while source.delivered_through.lsn < end:
                transactions = source.poll(_WAIT_S)
                log.append(transactions)
                seen += sum(len(transaction.changes) for transaction in transactions)
    finally:
        log.close()
        shutil.rmtree(folder)
    return seen


def _received(dsn: str, slot: str, start: Lsn, rows: int) -> int:
    """Every message off the wire, counted by its first byte."""
    seen = 0
    options = {"proto_version": "1", "publication_names": f'"{_STREAM}"', "messages": "true", "origin": "none"}
    connection = ReplicationConnection(dsn)
    try:
        connection.start_logical(slot, start, options)
        while seen < rows:
            message = connection.receive()
            if message is None:
                connection.wait(_WAIT_S)
            elif isinstance(message, WalData) and message.payload[0] == _INSERT:
                seen += 1
    finally:
        connection.close()
    return seen


def _newest(dsn: str) -> Lsn:
    """Where the log ended before this run; every measured transaction committed before it."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
    assert row is not None
    return Lsn(int(row[0]) - 1)
