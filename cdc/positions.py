"""How far a stream has come: its ledger in the target, and barriers in the source log that make that provable."""

import json
from datetime import timedelta

import psycopg

from cdc.errors import NotProvisioned, PositionNotReached
from cdc.lsn import Lsn, format_lsn, parse_lsn
from cdc.markers import emit_marker
from cdc.server_kinds import is_postgresql
from cdc.sessions import Connection, connect, source_error, target_error
from strangler.clock import Clock, SystemClock

BARRIER_PREFIX = "strangler.barrier"
_POLL_S = 0.005

_POSITION = "SELECT commit_lsn, clock_timestamp() - applied_at FROM strangler.stream_position WHERE stream = %s"


def start_ledger(target_dsn: str, stream: str, position: Lsn) -> None:
    """Give a new stream its first position: what `provision_source` returned. An existing ledger stays as it is."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.start_ledger(target_dsn, stream, position)
    try:
        with connect(target_dsn, f"{stream} ledger") as connection:
            connection.execute(
                "INSERT INTO strangler.stream_position (stream, commit_lsn) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (stream, format_lsn(position)),
            )
    except psycopg.Error as error:
        raise target_error(target_dsn, "strangler.stream_position", error) from error


def emit_barrier(source_dsn: str, stream: str, token: str) -> Lsn:
    """Write a marker into the source log. Everything that committed before this call lies below the returned
    position, and the stream reaches it even when nobody writes."""
    content = json.dumps({"stream": stream, "token": token})
    try:
        with connect(source_dsn, f"{stream} barrier") as connection:
            return emit_marker(connection, BARRIER_PREFIX, content)
    except psycopg.Error as error:
        raise source_error(source_dsn, f"barrier of {stream}", error) from error


def applied_position(target_dsn: str, stream: str) -> Lsn:
    """The ledger. Raises `NotProvisioned` when the stream has none."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.applied_position(target_dsn, stream)
    with connect(target_dsn, f"{stream} position") as connection:
        return _read(connection, target_dsn, stream)[0]


def wait_applied(
    target: str | Connection, stream: str, lsn: Lsn, timeout_s: float, clock: Clock | None = None
) -> float:
    """Wait until everything below `lsn` is durable in the target; returns the seconds it took.

    Pass an open autocommit connection where every millisecond counts. Raises `PositionNotReached` with the lag.
    """
    if isinstance(target, str) and not is_postgresql(target):
        from cdc.sql_target import provision as sql_target

        return sql_target.wait_applied(target, stream, lsn, timeout_s, clock)
    if isinstance(target, str):
        with connect(target, f"{stream} wait") as connection:
            return wait_applied(connection, stream, lsn, timeout_s, clock)
    clock = clock or SystemClock()
    started = clock.monotonic()
    while True:
        position, age = _read(target, target.info.dsn, stream)
        waited = clock.monotonic() - started
        if position >= lsn:
            return waited
        if waited >= timeout_s:
            raise PositionNotReached(
                thing=f"stream {stream}",
                reason=f"is {lsn - position} bytes of log short of {format_lsn(lsn)} after {waited:.1f} s; "
                f"its target last moved {age.total_seconds():.1f} s ago",
                mend="see `strangler cdc lag`: is the worker running, did it stop with an error, is the target slow?",
            )
        clock.sleep(_POLL_S)


def _read(connection: Connection, dsn: str, stream: str) -> tuple[Lsn, timedelta]:
    try:
        row = connection.execute(_POSITION, (stream,), prepare=True).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.Error as error:
        raise target_error(dsn, "strangler.stream_position", error) from error
    if row is None:
        raise NotProvisioned(
            thing=f"stream {stream}",
            reason="has no row in strangler.stream_position of its target",
            mend="provision the move first: `strangler run` does it in its phase `prepared`",
        )
    age = row[1]
    return parse_lsn(str(row[0])), age if isinstance(age, timedelta) else timedelta()
