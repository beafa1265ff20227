"""Writes each link's state into its target, where the runner and `strangler cdc lag` read it."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial

import psycopg

from cdc.link import LinkSpec
from cdc.link_signals import LinkSignals
from cdc.metrics.meter import LARGE, NO_TABLE, MeterView, StreamMeter
from cdc.server_kinds import is_postgresql
from cdc.sessions import Connection, connect, target_error

_WRITE = """
INSERT INTO strangler.stream_status AS s (stream, state, error, updated_at, worker_pid, lag_bytes, lag_seconds,
                                         events_waiting, tables, progress_events, progress_total)
SELECT %(stream)s, %(state)s, %(error)s::jsonb, clock_timestamp(), %(worker_pid)s, %(lag_bytes)s,
       CASE WHEN %(lag_bytes)s = 0 THEN 0
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - p.source_commit_time)) END,
       %(events_waiting)s, %(tables)s::jsonb, %(progress_events)s, %(progress_total)s
  FROM (VALUES (1)) AS one LEFT JOIN strangler.stream_position p ON p.stream = %(stream)s
ON CONFLICT (stream) DO UPDATE SET state = EXCLUDED.state, error = EXCLUDED.error, updated_at = EXCLUDED.updated_at,
       worker_pid = EXCLUDED.worker_pid, lag_bytes = EXCLUDED.lag_bytes, lag_seconds = EXCLUDED.lag_seconds,
       events_waiting = EXCLUDED.events_waiting, tables = coalesce(s.tables, '{}') || EXCLUDED.tables,
       progress_events = EXCLUDED.progress_events, progress_total = EXCLUDED.progress_total
"""


class StatusLoop:
    """One session of status writing for one link. Its own connection, so that it never delays a row."""

    def __init__(self, link: LinkSpec, *, signals: LinkSignals, meter: StreamMeter, stop: threading.Event) -> None:
        self._link, self._signals, self._meter, self._stop = link, signals, meter, stop

    def session(self) -> None:
        """Runs until `stop`, and writes once more at the end."""
        if not is_postgresql(self._link.target_dsn):
            from cdc.sql_target.board import open_board

            with open_board(self._link.target_dsn, self._link.stream) as board:
                self._run(board.write_status)
            return
        with connect(self._link.target_dsn, f"{self._link.stream} status") as connection:
            self._run(partial(self._write, connection))

    def _run(self, write: Callable[[Mapping[str, object]], None]) -> None:
        while not self._stop.is_set():
            write(self._status(alive=True))
            self._stop.wait(self._link.limits.status_s)
        write(self._status(alive=False))

    def _status(self, *, alive: bool) -> Mapping[str, object]:
        """A stream that stopped with an error keeps it; one that was stopped cleanly is idle."""
        view, counted = self._signals.view(), self._meter.view()
        done, total = view.progress if alive and view.progress else (None, None)
        return {
            "progress_events": done,
            "progress_total": total,
            "state": view.state if alive or view.error else "idle",
            "error": json.dumps(view.error) if view.error else None,
            "worker_pid": os.getpid() if alive else None,
            "lag_bytes": view.lag_bytes,
            "events_waiting": counted.events_waiting if alive else None,
            "tables": json.dumps(_tables(counted)),
        }

    def _write(self, connection: Connection, status: Mapping[str, object]) -> None:
        try:
            connection.execute(_WRITE, {**status, "stream": self._link.stream})
        except psycopg.errors.UndefinedTable:
            return
        except psycopg.Error as error:
            raise target_error(self._link.target_dsn, "strangler.stream_status", error) from error


def _tables(counted: MeterView) -> dict[str, dict[str, float | None]]:
    """By source table; what an earlier worker wrote about a table that this one has not met stays."""
    names = (counted.waiting.keys() | counted.last_applied_s.keys()) - {NO_TABLE, LARGE}
    return {
        name: {"waiting": counted.waiting.get(name, 0), "last_applied_s": counted.last_applied_s.get(name)}
        for name in sorted(names)
    }
