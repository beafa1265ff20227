"""Slot to a durable file of Debezium records, against Debezium's embedded engine that only counts its records.

Both read a fresh copy of one slot and write the same records (defaults, JSON without schemas). Debezium's time begins
with its first record, so that starting Java and the connector is not in it, and its records go nowhere; ours begins
before it connects and ends when the last record is on disk. Ours in its native form, the product's own change log, is
in the notes.
"""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_table import SOURCE, SOURCE_DDL, insert_items
from cdc.changelog.local import LocalChangeLog
from cdc.debezium import DebeziumEncoder, DebeziumOptions
from cdc.debezium.catalog_reader import read_catalog
from cdc.events import Transaction
from cdc.lsn import Lsn
from cdc.postgres_source import PostgresSource
from cdc.provision import provision_source
from sandbox.errors import PartMissing
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack

ROWS = 300_000
ROWS_PER_TRANSACTION = 100
_STREAM = "strangler_bench_forward"
_SLOT = "strangler_bench_copy"
_WAIT_S = 1.0
_ENGINE_S = 300

Append = Callable[[Sequence[Transaction]], None]


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    rows = max(1, round(ROWS * scale))
    with Stack() as stack:
        dsn = create_database(start_postgres(stack), "source")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(SOURCE_DDL)
        start = provision_source(dsn, _STREAM, [SOURCE])
        insert_items(dsn, rows, rows_per_transaction=ROWS_PER_TRANSACTION)
        folders = (stack.folder / f"run-{number}" for number in itertools.count())
        _debezium(dsn, min(rows, ROWS_PER_TRANSACTION))  # what is missing shows now; the disk cache is warm
        native: list[float] = []

        def ours() -> float:
            native.append(_measured(dsn, rows, start, next(folders), _change_log))
            return _measured(dsn, rows, start, next(folders), lambda folder: _lines(folder, dsn))

        yield Case(
            ours=ours,
            reference=lambda: _debezium(dsn, rows),
            unit=f"rows/s as Debezium records, {rows:,} rows × 6 columns in transactions of {ROWS_PER_TRANSACTION}",
            notes=lambda: [
                f"ours in its native form, the change log: {statistics.median(native):,.0f} rows/s",
                "ours includes connecting and fsync; the reference begins at its first record and keeps none",
            ],
        )


def _measured(dsn: str, rows: int, start: Lsn, folder: Path, sink: Callable[[Path], "_Sink"]) -> float:
    """Rows a second, from connecting to the last row being durable."""
    with _copied_slot(dsn), _opened(sink, folder) as append:
        began = time.monotonic()
        seen = _captured(dsn, start, append)
        seconds = time.monotonic() - began
    _check(seen, rows)
    return rows / seconds


def _captured(dsn: str, start: Lsn, append: Append) -> int:
    seen, end = 0, _newest(dsn)
    with PostgresSource(dsn, slot=_SLOT, publication=_STREAM, position=start) as source:
        while source.delivered_through.lsn < end:
            transactions = source.poll(_WAIT_S)
            append(transactions)
            seen += sum(len(transaction.changes) for transaction in transactions)
    return seen


_Sink = tuple[Append, Callable[[], None]]


@contextmanager
def _opened(sink: Callable[[Path], _Sink], folder: Path) -> Iterator[Append]:
    append, close = sink(folder)
    try:
        yield append
    finally:
        close()
        shutil.rmtree(folder)


def _change_log(folder: Path) -> _Sink:
    log = LocalChangeLog(folder)
    return log.append, log.close


def _lines(folder: Path, dsn: str) -> _Sink:
    """A file of records, one a line; each batch is on disk when `append` returns."""
    folder.mkdir()
    file = (folder / "records.jsonl").open("wb", buffering=0)
    options = DebeziumOptions(topic_prefix="store", database=str(conninfo_to_dict(dsn)["dbname"]))
    encoder = DebeziumEncoder(options, read_catalog(dsn, [SOURCE]))

    def append(transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            lines = [record.as_line() for record in encoder.records(transaction)]
            lines.append("")
            file.write("\n".join(lines).encode())
        os.fdatasync(file.fileno())

    return append, file.close


def _debezium(dsn: str, rows: int) -> float:
    """Rows a second of the engine, as it says itself. Raises `PartMissing` where there is none."""
    with _copied_slot(dsn):
        asked = {"runs": [{"properties": _properties(dsn), "rows": rows}], "print": False}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.debezium_engine"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=_ENGINE_S,
            check=False,
        )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    if not said or "missing" in said[-1]:
        raise PartMissing(
            thing="Debezium's engine",
            reason=said[-1]["missing"] if said else done.stderr[-300:],
            mend="install Java 17 and the extra: pip install 'strangler[bench]'",
        )
    if said[-1]["rows"] < rows:
        _check(said[-1]["rows"], rows)
    return float(said[-1]["rows"] / max(said[-1]["seconds"], 1e-9))


def _properties(dsn: str) -> dict[str, str]:
    info = conninfo_to_dict(dsn)
    return {
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "offset.flush.interval.ms": "60000",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "topic.prefix": "store",
        "plugin.name": "pgoutput",
        "database.hostname": str(info["host"]),
        "database.port": str(info["port"]),
        "database.user": str(info["user"]),
        "database.password": str(info.get("password", "none")),
        "database.dbname": str(info["dbname"]),
        "slot.name": _SLOT,
        "publication.name": _STREAM,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
    }


@contextmanager
def _copied_slot(dsn: str) -> Iterator[None]:
    """Every run reads the same log."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (_STREAM, _SLOT))
        yield
        while connection.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s AND active", (_SLOT,)
        ).fetchone():
            time.sleep(0.01)
        connection.execute("SELECT pg_drop_replication_slot(%s)", (_SLOT,))


def _newest(dsn: str) -> Lsn:
    """Where the log ended before this run; every measured transaction committed before it."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
    assert row is not None
    return Lsn(int(row[0]) - 1)


def _check(seen: int, rows: int) -> None:
    if seen != rows:
        raise WrongResult(thing="capture", reason=f"{seen} of {rows} rows came", mend="mend the reader that was run")
