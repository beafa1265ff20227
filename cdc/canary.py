"""Prove that a stream carries rows, without touching anybody's."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from cdc.errors import PositionNotReached
from cdc.server_kinds import is_postgresql
from cdc.sessions import connect, source_error, target_error
from strangler.clock import Clock, SystemClock

_POLL_S = 0.005

_WRITE = """
INSERT INTO strangler.canary (stream, token, at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (stream) DO UPDATE SET token = EXCLUDED.token, at = EXCLUDED.at
"""


def exercise(
    source_dsn: str,
    target_dsn: str,
    stream: str,
    timeout_s: float,
    *,
    clock: Clock | None = None,
    token: str | None = None,
) -> float:
    """Write the stream's canary row at the source; returns the seconds until the target has it.

    Raises `PositionNotReached` after `timeout_s`.
    """
    clock, token = clock or SystemClock(), token or uuid.uuid4().hex
    with _arrived(target_dsn, stream) as arrived:
        started = clock.monotonic()
        try:
            with connect(source_dsn, f"{stream} canary") as source:
                source.execute(_WRITE, (stream, token))
        except psycopg.Error as error:
            raise source_error(source_dsn, "strangler.canary", error) from error
        while True:
            seen = arrived()
            waited = clock.monotonic() - started
            if seen == token:
                return waited
            if waited >= timeout_s:
                raise PositionNotReached(
                    thing=f"canary of stream {stream}",
                    reason=f"did not arrive within {timeout_s:.1f} s",
                    mend="see `strangler cdc lag`: is the worker running, and did it stop with an error?",
                )
            clock.sleep(_POLL_S)


@contextmanager
def _arrived(target_dsn: str, stream: str) -> Iterator[Callable[[], object]]:
    """The token that the target has now."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target.board import open_board

        with open_board(target_dsn, stream) as board:
            yield board.canary
        return

    def read() -> object:
        try:
            row = target.execute("SELECT token FROM strangler.canary WHERE stream = %s", (stream,)).fetchone()
        except psycopg.Error as error:
            raise target_error(target_dsn, "strangler.canary", error) from error
        return row and row[0]

    with connect(target_dsn, f"{stream} canary") as target:
        yield read
