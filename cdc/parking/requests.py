"""Parked rows for people: see them, and ask the stream's worker to try them again or to leave them out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from cdc.errors import RowsParked
from cdc.parking.model import ParkedRow, RequestKind
from cdc.parking.postgres import COLUMNS, read_parked
from cdc.server_kinds import is_postgresql
from cdc.sessions import Connection, connect, target_error

_EXISTS = "SELECT to_regclass('strangler.parked_row') IS NOT NULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedSeen:
    """A parked row, and what was asked for it and not served yet."""

    row: ParkedRow
    request: RequestKind | None


def parked_rows(target_dsn: str, stream: str, ids: Sequence[int] | None = None) -> list[ParkedSeen]:
    """All of a stream's parked rows, or those of `ids`, in order. Raises `DatabaseUnreachable`."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target.parked import parked_seen
        from cdc.sql_target.provision import looking

        with looking(target_dsn, "strangler_parked_row") as sql_target:
            return [ParkedSeen(row=row, request=asked) for row, asked in parked_seen(sql_target, stream, ids)]
    query = f"SELECT {COLUMNS}, request FROM strangler.parked_row WHERE stream = %s"
    parameters: list[object] = [stream]
    if ids is not None:
        query += " AND id = ANY (%s)"
        parameters.append(list(ids))
    rows: list[tuple[Any, ...]] = _read(target_dsn, stream, f"{query} ORDER BY id", parameters)
    return [ParkedSeen(row=read_parked(row[:-1]), request=row[-1]) for row in rows]


def demand_nothing_parked(target_dsn: str, stream: str) -> None:
    """Raises `RowsParked`, naming the first rows and the command that mends."""
    if (said := parked_reason(target_dsn, stream)) is not None:
        raise RowsParked(thing=f"stream {stream}", reason=said, mend="see `strangler parked list`; then retry or skip")


def parked_reason(target_dsn: str, stream: str) -> str | None:
    """What is parked, in one line; None when nothing is."""
    if not is_postgresql(target_dsn):
        return _reason(parked_rows(target_dsn, stream))
    query = (
        "SELECT count(*) OVER (), state, source_table, key::text, reason FROM strangler.parked_row"
        " WHERE stream = %s ORDER BY state, id LIMIT 3"
    )
    rows = _read(target_dsn, stream, query, [stream])
    if not rows:
        return None
    first = "; ".join(f"{table} {key}: {reason}" for _, state, table, key, reason in rows if state == "refused")
    return f"{rows[0][0]} events are parked ({first}); `strangler parked list` shows them, retry or skip mends"


def ask(target_dsn: str, stream: str, ids: Sequence[int], kind: RequestKind, *, by: str, reason: str) -> None:
    """Leave a request with each of the rows; the worker serves it within moments, in stream order."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target.parked import ask_parked
        from cdc.sql_target.provision import bookkeeping

        with bookkeeping(target_dsn, "strangler_parked_row") as sql_target:
            ask_parked(sql_target, stream, ids, kind, by=by, reason=reason)
        return
    statement = (
        "UPDATE strangler.parked_row SET request = %s, requested_by = %s, request_reason = %s"
        " WHERE stream = %s AND id = ANY (%s)"
    )
    with connect(target_dsn, f"{stream} parked") as connection:
        _execute(connection, target_dsn, statement, [kind, by, reason, stream, list(ids)])


def _reason(seen: Sequence[ParkedSeen]) -> str | None:
    if not seen:
        return None
    refused = [each.row.parked for each in seen if each.row.parked.state == "refused"][:3]
    first = "; ".join(f"{row.table} {json.dumps(dict(row.key))}: {row.refusal.reason}" for row in refused)
    return f"{len(seen)} events are parked ({first}); `strangler parked list` shows them, retry or skip mends"


def _read(target_dsn: str, stream: str, query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    with connect(target_dsn, f"{stream} parked") as connection:
        if _execute(connection, target_dsn, _EXISTS, []) != [(True,)]:
            return []
        return _execute(connection, target_dsn, query, parameters)


def _execute(connection: Connection, dsn: str, query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
    try:
        cursor = connection.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []
    except psycopg.Error as error:
        raise target_error(dsn, "strangler.parked_row", error) from error
