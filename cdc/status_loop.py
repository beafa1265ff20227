"""Writes each link's state into its target, where the runner and `strangler cdc lag` read it."""

import json
import os
import threading

import psycopg

from cdc.link import LinkSpec
from cdc.link_signals import LinkSignals
from cdc.sessions import Connection, connect, target_error

_WRITE = """
INSERT INTO strangler.stream_status AS s (stream, state, error, updated_at, worker_pid, lag_bytes, lag_seconds)
SELECT %(stream)s, %(state)s, %(error)s::jsonb, clock_timestamp(), %(pid)s, %(lag_bytes)s,
       CASE WHEN %(lag_bytes)s = 0 THEN 0
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - p.source_commit_time)) END
  FROM (VALUES (1)) AS one LEFT JOIN strangler.stream_position p ON p.stream = %(stream)s
ON CONFLICT (stream) DO UPDATE SET state = EXCLUDED.state, error = EXCLUDED.error, updated_at = EXCLUDED.updated_at,
       worker_pid = EXCLUDED.worker_pid, lag_bytes = EXCLUDED.lag_bytes, lag_seconds = EXCLUDED.lag_seconds
"""


class StatusLoop:
    """One session of status writing for one link. Its own connection, so that it never delays a row."""

    def __init__(self, link: LinkSpec, *, signals: LinkSignals, stop: threading.Event) -> None:
        self._link, self._signals, self._stop = link, signals, stop

    def session(self) -> None:
        """Runs until `stop`, and writes once more at the end."""
        with connect(self._link.target_dsn, f"{self._link.stream} status") as connection:
            while not self._stop.is_set():
                self._write(connection, alive=True)
                self._stop.wait(self._link.limits.status_s)
            self._write(connection, alive=False)

    def _write(self, connection: Connection, *, alive: bool) -> None:
        """A stream that stopped with an error keeps it; one that was stopped cleanly is idle."""
        view = self._signals.view()
        parameters = {
            "stream": self._link.stream,
            "state": view.state if alive or view.error else "idle",
            "error": json.dumps(view.error) if view.error else None,
            "pid": os.getpid() if alive else None,
            "lag_bytes": view.lag_bytes,
        }
        try:
            connection.execute(_WRITE, parameters)
        except psycopg.errors.UndefinedTable:
            return
        except psycopg.Error as error:
            raise target_error(self._link.target_dsn, "strangler.stream_status", error) from error
