"""What a stream needs in a target by SQLAlchemy: made idempotently, removed idempotently, asked about from outside."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from cdc.copy_tracker import CopyCursor, cursor_from_json
from cdc.errors import NotProvisioned, PositionNotReached
from cdc.events import TableName
from cdc.lsn import Lsn, format_lsn, parse_lsn
from cdc.sql_target import bookkeeping as tables
from cdc.sql_target.catalog import located
from cdc.sql_target.claim import StreamClaim
from cdc.sql_target.engine import dialect_of, open_engine, settled, target_url
from strangler.clock import Clock, SystemClock

_POLL_S = 0.02


@contextmanager
def bookkeeping(dsn: str, thing: str = "strangler tables") -> Iterator[Connection]:
    """One writing transaction on the bookkeeping. Raises `DatabaseUnreachable`, `ApplyFailed`."""
    engine = open_engine(dsn, writes=True)
    try:
        with settled(dsn, thing), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def looking(dsn: str, thing: str) -> Iterator[Connection]:
    """One reading transaction. Raises `DatabaseUnreachable`, `ApplyFailed`."""
    engine = open_engine(dsn)
    try:
        with settled(dsn, thing), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def provision_target(dsn: str, stream: str, *, clock: Clock | None = None) -> None:
    """Bookkeeping tables and the stream's status row, `idle`."""
    status = tables.STREAM_STATUS
    with bookkeeping(dsn) as connection:
        tables.create_tables(connection)
        _insert_missing(connection, status, stream=stream, state="idle", updated_at=_now(clock))


def deprovision_target(dsn: str, stream: str, *, clock: Clock | None = None) -> None:
    """Delete the stream's rows, whatever of them exists; then our tables if no stream uses them.

    Raises `StreamBusy` while a worker still applies.
    """
    with idle_stream(dsn, stream, clock) as connection:
        tables.forget_stream(connection, stream)
        existing, unused = tables.existing_tables(connection), tables.unused(connection)
        if unused:
            for table in existing:
                table.drop(connection)


@contextmanager
def idle_stream(dsn: str, stream: str, clock: Clock | None = None, *, applies: bool = False) -> Iterator[Connection]:
    """One transaction in which no worker applies the stream. Raises `StreamBusy`. `applies`: as an applier's own."""
    engine = open_engine(dsn, applies=applies, writes=True)
    try:
        with settled(dsn, f"stream {stream}"), engine.connect() as connection:
            claim = StreamClaim(connection, dialect_of(target_url(dsn)), dsn, stream)
            try:
                claim.take(clock or SystemClock(), 0)
                with connection.begin():
                    yield connection
            finally:
                claim.release()
    finally:
        engine.dispose()


def empty_copied_tables(dsn: str, stream: str, copied: Sequence[TableName]) -> bool:
    """Empty the target tables if `copy_progress` proves that the stream's copy filled them; False when it does not.

    Raises `StreamBusy` while a worker still applies.
    """
    progress = tables.COPY_PROGRESS
    with idle_stream(dsn, stream, applies=True) as connection:
        ours = progress.c.stream == stream
        if progress not in tables.existing_tables(connection) or not _any(connection, progress, ours):
            return False
        for table in reversed(copied):
            schema, name = located(table, dialect_of(target_url(dsn)))
            connection.execute(sa.delete(sa.table(name, schema=schema)))
        connection.execute(sa.delete(progress).where(ours))
        return True


def start_ledger(dsn: str, stream: str, position: Lsn, *, clock: Clock | None = None) -> None:
    """Give a new stream its first position. An existing ledger stays as it is."""
    with bookkeeping(dsn, tables.STREAM_POSITION.name) as connection:
        _insert_missing(
            connection,
            tables.STREAM_POSITION,
            stream=stream,
            commit_lsn=format_lsn(position),
            applied_at=_now(clock),
            transactions=0,
            events=0,
        )


def applied_position(dsn: str, stream: str) -> Lsn:
    """The ledger. Raises `NotProvisioned` when the stream has none."""
    with looking(dsn, tables.STREAM_POSITION.name) as connection:
        return _position(connection, stream)[0]


def wait_applied(dsn: str, stream: str, lsn: Lsn, timeout_s: float, clock: Clock | None = None) -> float:
    """Wait until everything below `lsn` is durable in the target; returns the seconds it took.

    Raises `PositionNotReached` with the lag.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    engine = open_engine(dsn)
    try:
        with settled(dsn, tables.STREAM_POSITION.name), engine.connect() as connection:
            while True:
                with connection.begin():
                    position, moved_at = _position(connection, stream)
                waited = clock.monotonic() - started
                if position >= lsn:
                    return waited
                if waited >= timeout_s:
                    age = _now(clock) - moved_at
                    raise PositionNotReached(
                        thing=f"stream {stream}",
                        reason=f"is {lsn - position} bytes of log short of {format_lsn(lsn)} after {waited:.1f} s; "
                        f"its target last moved {age.total_seconds():.1f} s ago",
                        mend="see strangler_stream_status: is the worker running, did it stop with an error?",
                    )
                clock.sleep(_POLL_S)
    finally:
        engine.dispose()


def request_copy(dsn: str, stream: str, wanted: Sequence[TableName]) -> None:
    """Ask the worker of `stream` to copy tables. One that was asked for before stays as it is."""
    with bookkeeping(dsn, tables.COPY_PROGRESS.name) as connection:
        for table in wanted:
            _insert_missing(
                connection, tables.COPY_PROGRESS, stream=stream, source_table=str(table), state="requested", rows=0
            )


def copy_rows(dsn: str, stream: str) -> list[Any]:
    """(table, state, rows, started, finished) of every table that was asked for, by name; moments are aware."""
    progress = tables.COPY_PROGRESS
    with looking(dsn, progress.name) as connection:
        if progress not in tables.existing_tables(connection):
            return []
        columns = [progress.c[name] for name in ("source_table", "state", "rows", "started_at", "finished_at")]
        query = sa.select(*columns).where(progress.c.stream == stream).order_by(progress.c.source_table)
        return [(*row[:3], _aware(row[3]), _aware(row[4])) for row in connection.execute(query)]


def pending_copies(connection: Connection, stream: str) -> dict[str, CopyCursor]:
    """Cursors of the copies that are asked for or under way, by source table."""
    progress = tables.COPY_PROGRESS
    rows = connection.execute(
        sa.select(progress.c.source_table, progress.c.last_key).where(
            progress.c.stream == stream, progress.c.state.in_(["requested", "copying"])
        )
    ).all()
    return {name: cursor_from_json(json.loads(key) if key else None) for name, key in rows}


def _position(connection: Connection, stream: str) -> tuple[Lsn, datetime]:
    ledger = tables.STREAM_POSITION
    row = None
    if ledger in tables.existing_tables(connection):
        query = sa.select(ledger.c.commit_lsn, ledger.c.applied_at).where(ledger.c.stream == stream)
        row = connection.execute(query).first()
    if row is None:
        raise NotProvisioned(
            thing=f"stream {stream}",
            reason=f"has no row in {ledger.name} of its target",
            mend="provision the move first: `strangler run` does it in its phase `prepared`",
        )
    return parse_lsn(row[0]), row[1]


def _insert_missing(connection: Connection, table: sa.Table, **values: Any) -> None:
    """Two that do it at once both succeed."""
    keys = [column == values[column.name] for column in table.primary_key.columns]
    if _any(connection, table, *keys):
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(table).values(**values))
    except IntegrityError:
        return


def _any(connection: Connection, table: sa.Table, *where: Any) -> bool:
    query: Any = sa.select(sa.literal_column("1")).select_from(table).where(*where).limit(1)
    return connection.execute(query).first() is not None


def _aware(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _now(clock: Clock | None) -> datetime:
    return (clock or SystemClock()).now().replace(tzinfo=None)
