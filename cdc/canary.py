"""Prove that a stream carries rows, without touching anybody's."""

import uuid

import psycopg

from cdc.errors import PositionNotReached
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
    with connect(target_dsn, f"{stream} canary") as target:
        started = clock.monotonic()
        try:
            with connect(source_dsn, f"{stream} canary") as source:
                source.execute(_WRITE, (stream, token))
        except psycopg.Error as error:
            raise source_error(source_dsn, "strangler.canary", error) from error
        while True:
            try:
                row = target.execute("SELECT token FROM strangler.canary WHERE stream = %s", (stream,)).fetchone()
            except psycopg.Error as error:
                raise target_error(target_dsn, "strangler.canary", error) from error
            waited = clock.monotonic() - started
            if row is not None and row[0] == token:
                return waited
            if waited >= timeout_s:
                raise PositionNotReached(
                    thing=f"canary of stream {stream}",
                    reason=f"did not arrive within {timeout_s:.1f} s",
                    mend="see `strangler cdc lag`: is the worker running, and did it stop with an error?",
                )
            clock.sleep(_POLL_S)
