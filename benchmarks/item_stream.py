"""Table `item` streamed from one server to another: by our worker, a process of its own, or by a native subscription.

`python -m benchmarks.item_stream SOURCE TARGET FOLDER` is that worker; it ends with SIGTERM.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.errors import WrongResult
from benchmarks.item_table import SOURCE_DDL, UNMAPPED
from cdc.link import LinkSpec, stream_name
from cdc.lsn import Lsn
from cdc.mapping.compiled import compile_mapping
from cdc.positions import start_ledger
from cdc.provision import provision_source, provision_target
from cdc.schema import reflect
from cdc.worker import StreamWorker, stop_on_signals
from sandbox.apps import python_program
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack

_MOVE = "bench"
_ROOT = Path(__file__).resolve().parents[1]
_POLL_S = 0.02
_LONGEST_S = 600.0
_SETTINGS = {"track_commit_timestamp": "on", "max_wal_size": "4GB"}


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPair:
    """A source with `item`; `ours` and `native` are two databases of one other server, each with its own `item`."""

    stack: Stack
    source_dsn: str
    ours_dsn: str
    native_dsn: str

    def start_worker(self) -> None:
        arguments = [self.source_dsn, self.ours_dsn, str(self.stack.folder / "log")]
        self.stack.add(python_program("worker", "benchmarks.item_stream", arguments, cwd=_ROOT, autorestart=False))
        self.stack.launch("worker")

    def stop_worker(self) -> None:
        self.stack.stop("worker")

    def newest(self) -> Lsn:
        """Every transaction that is committed now starts at or before this position of the source's log."""
        with psycopg.connect(self.source_dsn) as connection:
            row = connection.execute("SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
        assert row is not None
        return Lsn(int(row[0]) - 1)

    def wait_for_rows(self, dsn: str, rows: int) -> None:
        """Until the greatest `id` is there. Transactions are applied whole and in order, so nothing is missing then."""
        deadline = time.monotonic() + _LONGEST_S
        with psycopg.connect(dsn, autocommit=True) as target:
            while target.execute("SELECT max(id) FROM item").fetchone() != (rows,):
                if time.monotonic() > deadline:
                    raise WrongResult(
                        thing="replication", reason=f"took over {_LONGEST_S:.0f} s", mend="see strangler.stream_status"
                    )
                time.sleep(_POLL_S)
            if target.execute("SELECT count(*) FROM item").fetchone() != (rows,):
                raise WrongResult(thing="replication", reason="lost rows", mend="mend the stream")

    def empty(self) -> None:
        """No rows anywhere, no checkpoint due. The source's TRUNCATE travels; it will find the targets empty."""
        for dsn in (self.source_dsn, self.ours_dsn, self.native_dsn):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("TRUNCATE item")
                connection.execute("CHECKPOINT")


@contextmanager
def open_stream_pair(*, native: bool) -> Iterator[StreamPair]:
    """Two servers with durable settings; our stream is provisioned, the subscription made when `native`, both idle."""
    with Stack() as stack:
        source_dsn = create_database(start_postgres(stack, "source", _SETTINGS), "source")
        target = start_postgres(stack, "target", _SETTINGS)
        pair = StreamPair(
            stack=stack,
            source_dsn=source_dsn,
            ours_dsn=create_database(target, "ours"),
            native_dsn=create_database(target, "native"),
        )
        for dsn in (source_dsn, pair.ours_dsn, pair.native_dsn):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(SOURCE_DDL)
        _provision(pair)
        if native:
            _subscribe(pair)
        yield pair


def _provision(pair: StreamPair) -> None:
    link = _link(pair.source_dsn, pair.ours_dsn, pair.stack.folder / "log")
    position = provision_source(pair.source_dsn, link.stream, link.mapper.source_tables)
    provision_target(pair.ours_dsn, link.stream)
    start_ledger(pair.ours_dsn, link.stream, position)


def _subscribe(pair: StreamPair) -> None:
    """With the defaults of `CREATE SUBSCRIPTION`, but for streaming off so that both sides get whole transactions."""
    with psycopg.connect(pair.source_dsn, autocommit=True) as source:
        source.execute("CREATE PUBLICATION native FOR TABLE item")
        source.execute("SELECT pg_create_logical_replication_slot('native', 'pgoutput')")
    with psycopg.connect(pair.native_dsn, autocommit=True) as target:
        target.execute(
            f"CREATE SUBSCRIPTION native CONNECTION '{pair.source_dsn}' PUBLICATION native"
            " WITH (create_slot = false, slot_name = native, copy_data = false, enabled = false)".encode()
        )


def _link(source_dsn: str, target_dsn: str, folder: Path) -> LinkSpec:
    """`follows_copy=False`: both tables are empty when it begins."""
    source, target = reflect(source_dsn, UNMAPPED.source_tables), reflect(target_dsn, UNMAPPED.target_tables)
    return LinkSpec(
        move=_MOVE,
        direction="forward",
        source_dsn=source_dsn,
        target_dsn=target_dsn,
        log_folder=folder / stream_name(_MOVE, "forward"),
        mapper=compile_mapping(UNMAPPED, source, target),
        source_keys={name: table.primary_key for name, table in source.tables.items()},
        follows_copy=False,
    )


def main() -> None:
    """The worker process."""
    logging.basicConfig(level=logging.INFO)
    source_dsn, target_dsn, folder = sys.argv[1:]
    stop = threading.Event()
    stop_on_signals(stop)
    StreamWorker([_link(source_dsn, target_dsn, Path(folder))]).run(stop)


if __name__ == "__main__":
    main()
