"""What a target by SQLAlchemy says about a stream, in the shape that `cdc.lag` reads."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cdc.lsn import parse_lsn
from cdc.sql_target import bookkeeping as tables
from cdc.sql_target.provision import looking

_SILENT = timedelta(seconds=15)

Side = tuple[dict[str, Any], list[Mapping[str, Any]], dict[str, int]]


def read_target_side(dsn: str, stream: str, now: datetime) -> Side:
    """(ledger and status, copies, parked rows by source table); empty before provisioning. `now`: aware."""
    with looking(dsn, tables.STREAM_POSITION.name) as connection:
        if tables.STREAM_POSITION not in tables.existing_tables(connection):
            return {}, [], {}

        def rows(table: sa.Table) -> list[Mapping[str, Any]]:
            found = connection.execute(sa.select(table).where(table.c.stream == stream)).mappings()
            return [{str(name): value for name, value in row.items()} for row in found]

        ledger, status = rows(tables.STREAM_POSITION), rows(tables.STREAM_STATUS)
        keys: dict[str, set[str]] = {}
        for row in rows(tables.PARKED_ROW):
            keys.setdefault(row["source_table"], set()).add(row["key"])
        copies = rows(tables.COPY_PROGRESS)
    return {**_ledger(ledger), **_status(status, now)}, copies, {name: len(found) for name, found in keys.items()}


def _ledger(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"source_commit_time": None}
    (row,) = rows
    committed = row["source_commit_time"]
    return {
        "applied": parse_lsn(row["commit_lsn"]),
        "source_commit_time": committed and committed.replace(tzinfo=UTC),
        "transactions": row["transactions"],
        "events": row["events"],
    }


def _status(rows: list[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    if not rows:
        return {}
    (row,) = rows
    silent = row["state"] != "idle" and now - row["updated_at"].replace(tzinfo=UTC) > _SILENT
    return {
        "state": "silent" if silent else row["state"],
        "error": json.loads(row["error"]) if row["error"] else None,
        "events_waiting": row["events_waiting"],
        "tables": json.loads(row["tables"]) if row["tables"] else None,
    }
