"""Ask for tables to be copied, and see how far that is. The worker does it; the two meet in the target database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

import psycopg

from cdc.events import TableName
from cdc.server_kinds import is_postgresql
from cdc.sessions import connect, target_error

ProgressState = Literal["requested", "copying", "done"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableCopy:
    """Progress of one source table's copy. `table` as `TableName` prints it; `rows`: source rows copied."""

    table: str
    state: ProgressState
    rows: int
    started_at: datetime | None
    finished_at: datetime | None


def request_copy(target_dsn: str, stream: str, tables: Sequence[TableName]) -> None:
    """Ask the worker of `stream` to copy `tables`. A table that was asked for before stays as it is."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.request_copy(target_dsn, stream, tables)
    try:
        with connect(target_dsn, f"{stream} copy request") as connection, connection.transaction():
            for table in tables:
                connection.execute(
                    "INSERT INTO strangler.copy_progress (stream, source_table, state) VALUES (%s, %s, 'requested')"
                    " ON CONFLICT DO NOTHING",
                    (stream, str(table)),
                )
    except psycopg.Error as error:
        raise target_error(target_dsn, "strangler.copy_progress", error) from error


def copy_progress(target_dsn: str, stream: str) -> list[TableCopy]:
    """Every table that was asked for, by name; empty before provisioning."""
    if not is_postgresql(target_dsn):
        from cdc.sql_target import provision as sql_target

        return [_table_copy(row) for row in sql_target.copy_rows(target_dsn, stream)]
    try:
        with connect(target_dsn, f"{stream} copy progress") as connection:
            rows = connection.execute(
                "SELECT source_table, state, coalesce(rows, 0), started_at, finished_at FROM strangler.copy_progress"
                " WHERE stream = %s ORDER BY source_table",
                (stream,),
            ).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        raise target_error(target_dsn, "strangler.copy_progress", error) from error
    return [_table_copy(row) for row in rows]


def _table_copy(row: Sequence[object]) -> TableCopy:
    table, state, count, started_at, finished_at = row
    return TableCopy(
        table=str(table),
        state=cast(ProgressState, state),
        rows=int(str(count)),
        started_at=cast(datetime | None, started_at),
        finished_at=cast(datetime | None, finished_at),
    )
