"""A table on two servers, copied by our stream worker or by a pipe of two COPY."""

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.errors import WrongResult
from benchmarks.item_table import PIPED, SOURCE, SOURCE_DDL, TARGET_DDL, insert_items
from cdc.copy_requests import request_copy
from cdc.events import TableName
from cdc.link import LinkSpec, stream_name
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import MoveMapping
from cdc.positions import start_ledger
from cdc.provision import deprovision_source, deprovision_target, provision_source, provision_target
from cdc.schema import reflect
from cdc.worker import StreamWorker
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack

ROWS = 500_000
_MOVE = "bench"
_POLL_S = 0.02
_PIPE_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyPair:
    """`rows` in `item` at the source; the tables of `benchmarks.item_table` at the target, another server."""

    source_dsn: str
    target_dsn: str
    mapping: MoveMapping
    rows: int

    def copy(self) -> float:
        """Rows a second of the product's copy, from the request to its last chunk. The target holds the rows after."""
        self._prepare(self.mapping.target_tables)
        link = self._link(Path(tempfile.mkdtemp(prefix="strangler-bench-")))
        position = provision_source(self.source_dsn, link.stream, link.mapper.source_tables)
        provision_target(self.target_dsn, link.stream)
        start_ledger(self.target_dsn, link.stream, position)
        try:
            with _running(link), psycopg.connect(self.target_dsn, autocommit=True) as target:
                _wait_for(
                    target,
                    f"SELECT FROM strangler.stream_status WHERE stream = '{link.stream}' AND state = 'streaming'",
                )
                began = time.monotonic()
                request_copy(self.target_dsn, link.stream, link.mapper.source_tables)
                _wait_for(
                    target, f"SELECT FROM strangler.copy_progress WHERE stream = '{link.stream}' AND state = 'done'"
                )
                seconds = time.monotonic() - began
        finally:
            with psycopg.connect(self.source_dsn, autocommit=True) as source:
                _wait_for(source, f"SELECT FROM pg_replication_slots WHERE slot_name = '{link.stream}' AND NOT active")
            deprovision_source(self.source_dsn, link.stream)
            deprovision_target(self.target_dsn, link.stream)
            shutil.rmtree(link.log_folder, ignore_errors=True)
        self._demand_all(self.mapping.target_tables)
        return self.rows / seconds

    def pipe(self) -> float:
        """Rows a second of `COPY … TO STDOUT` into `COPY … FROM STDIN`."""
        self._prepare((PIPED,))
        began = time.monotonic()
        out, into = f"COPY {SOURCE.name} TO STDOUT", f"COPY {PIPED.name} FROM STDIN"
        if (psql := shutil.which("psql")) is not None:
            _psql_pipe(psql, (self.source_dsn, out), (self.target_dsn, into))
        else:
            _driver_pipe((self.source_dsn, out), (self.target_dsn, into))
        seconds = time.monotonic() - began
        self._demand_all((PIPED,))
        return self.rows / seconds

    def notes(self) -> list[str]:
        """What the reference was, unless it was psql."""
        if shutil.which("psql") is not None:
            return []
        return ["psql is not on PATH: the reference is COPY through two psycopg connections"]

    def _link(self, folder: Path) -> LinkSpec:
        source, target = (
            reflect(self.source_dsn, self.mapping.source_tables),
            reflect(self.target_dsn, self.mapping.target_tables),
        )
        return LinkSpec(
            move=_MOVE,
            direction="forward",
            source_dsn=self.source_dsn,
            target_dsn=self.target_dsn,
            log_folder=folder / stream_name(_MOVE, "forward"),
            mapper=compile_mapping(self.mapping, source, target),
            source_keys={name: table.primary_key for name, table in source.tables.items()},
        )

    def _prepare(self, tables: tuple[TableName, ...]) -> None:
        """Empty target tables and no checkpoint due, for everybody alike."""
        with psycopg.connect(self.target_dsn, autocommit=True) as target:
            for table in tables:
                target.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table.name)))
            target.execute("CHECKPOINT")

    def _demand_all(self, tables: tuple[TableName, ...]) -> None:
        with psycopg.connect(self.target_dsn, autocommit=True) as target:
            for table in tables:
                row = target.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))).fetchone()
                if row != (self.rows,):
                    raise WrongResult(
                        thing=f"copy into {table}", reason=f"{row} of {self.rows} rows arrived", mend="mend the copy"
                    )


@contextmanager
def open_pair(mapping: MoveMapping, scale: float) -> Iterator[CopyPair]:
    """Two servers with durable settings, the source filled."""
    rows = max(1, round(ROWS * scale))
    with Stack() as stack:
        source_dsn = create_database(start_postgres(stack, "source"), "source")
        target_dsn = create_database(start_postgres(stack, "target"), "target")
        for dsn, ddl in ((source_dsn, SOURCE_DDL), (target_dsn, TARGET_DDL)):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(ddl)
        insert_items(source_dsn, rows, rows_per_transaction=100_000)
        with psycopg.connect(source_dsn, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield CopyPair(source_dsn=source_dsn, target_dsn=target_dsn, mapping=mapping, rows=rows)


@contextmanager
def _running(link: LinkSpec) -> Iterator[None]:
    stop = threading.Event()
    worker = StreamWorker([link])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, stop)
        try:
            yield
        finally:
            stop.set()
            running.result()


def _wait_for(connection: psycopg.Connection[tuple[object, ...]], query: str, seconds: float = 900.0) -> None:
    deadline = time.monotonic() + seconds
    while connection.execute(query.encode()).fetchone() is None:
        if time.monotonic() > deadline:
            raise WrongResult(thing="copy", reason=f"did not end within {seconds:.0f} s", mend="see stream_status")
        time.sleep(_POLL_S)


def _psql_pipe(psql: str, source: tuple[str, str], target: tuple[str, str]) -> None:
    options = ("-X", "-q", "-v", "ON_ERROR_STOP=1")
    reader = subprocess.Popen([psql, *options, source[0], "-c", source[1]], stdout=subprocess.PIPE)
    writer = subprocess.Popen([psql, *options, target[0], "-c", target[1]], stdin=reader.stdout)
    assert reader.stdout is not None
    reader.stdout.close()
    codes = (writer.wait(), reader.wait())
    if any(codes):
        raise WrongResult(thing="psql", reason=f"the pipe ended with {codes}", mend="see its message")


def _driver_pipe(source: tuple[str, str], target: tuple[str, str]) -> None:
    with (
        psycopg.connect(source[0]) as reading,
        psycopg.connect(target[0]) as writing,
        reading.cursor().copy(source[1].encode()) as out,
        writing.cursor().copy(target[1].encode()) as into,
    ):
        waiting = bytearray()
        for block in out:
            waiting += block
            if len(waiting) >= _PIPE_BYTES:
                into.write(bytes(waiting))
                waiting.clear()
        into.write(bytes(waiting))
