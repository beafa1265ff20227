"""`strangler.source_schema` in the target: the forms of every source table as the stream met them, in log order."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.types.json import Jsonb

from cdc.connections import CatalogConnection, open_database
from cdc.events import TableName
from cdc.schema_changes.forms import FormColumn, TableForm

_INSERT = """
INSERT INTO strangler.source_schema (stream, source_table, version, state, form, changes, mend, position)
SELECT %(stream)s, %(table)s, %(version)s, %(state)s, %(form)s, %(changes)s, %(mend)s, p.commit_lsn
  FROM (SELECT commit_lsn FROM strangler.stream_position WHERE stream = %(stream)s FOR KEY SHARE) p
ON CONFLICT (stream, source_table, version) DO UPDATE
   SET state = EXCLUDED.state, form = EXCLUDED.form, changes = EXCLUDED.changes, mend = EXCLUDED.mend,
       position = EXCLUDED.position, noted_at = clock_timestamp()
 WHERE source_schema.state <> 'met'
"""

State = Literal["met", "stopped", "broken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Met:
    """One form of one table. `position`: applied up to there.

    `stopped`: the stream met it and does not follow. `broken`: the source stopped sending the table's changes for a
    while, and what was missed cannot be read any more; only a person can say that it was made good.
    """

    table: str
    version: int
    state: State
    form: TableForm
    changes: tuple[str, ...] = ()
    mend: str = ""
    position: str | None = None
    noted_at: datetime | None = None


def has_source_schema(connection: CatalogConnection) -> bool:
    row = connection.execute("SELECT to_regclass('strangler.source_schema') IS NOT NULL AS exists").fetchone()
    return row is not None and bool(row["exists"])


def read_met(connection: CatalogConnection, stream: str) -> list[Met]:
    """Everything that is kept about a stream's tables, oldest first; empty before its provisioning."""
    try:
        rows = connection.execute(
            "SELECT source_table, version, state, form, changes, mend, position::text, noted_at"
            "  FROM strangler.source_schema WHERE stream = %s ORDER BY source_table, version",
            [stream],
        ).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return []
    return [_met(row) for row in rows]


def load_met(dsn: str, stream: str) -> list[Met]:
    """The same over a connection of its own. Raises `DatabaseUnreachable`."""
    with open_database(dsn) as connection:
        return read_met(connection, stream)


def accepted(met: Sequence[Met]) -> Mapping[TableName, tuple[TableForm, ...]]:
    """The forms that the mapping is carried through, by table under the name that the mapping knows."""
    found: dict[TableName, list[TableForm]] = defaultdict(list)
    for each in met:
        if each.state == "met":
            found[each.form.table].append(each.form)
    return {table: tuple(forms) for table, forms in found.items()}


def write_met(
    connection: CatalogConnection,
    stream: str,
    *,
    version: int,
    state: State,
    form: TableForm,
    changes: Sequence[str] = (),
    mend: str = "",
) -> None:
    """Keep a form. A version that was accepted is never overwritten; one that stopped is.

    Of a stream that is not provisioned, or not any more, nothing is kept.
    """
    connection.execute(
        _INSERT,
        {
            "stream": stream,
            "table": str(form.table),
            "version": version,
            "state": state,
            "form": Jsonb(_as_json(form)),
            "changes": Jsonb(list(changes)),
            "mend": mend,
        },
    )


def forget_stopped(connection: CatalogConnection, stream: str, table: TableName) -> None:
    """A form that stopped the table is not there any more."""
    connection.execute(
        "DELETE FROM strangler.source_schema WHERE stream = %s AND source_table = %s AND state = 'stopped'",
        [stream, str(table)],
    )


def refresh_storage(connection: CatalogConnection, stream: str, last: TableForm, storage: Mapping[int, int]) -> None:
    """The rows of a form were written anew, and nothing in them changed."""
    connection.execute(
        "UPDATE strangler.source_schema SET form = jsonb_set(form, '{storage}', %s)"
        " WHERE (stream, source_table, version) = ("
        "    SELECT stream, source_table, max(version) FROM strangler.source_schema"
        "     WHERE stream = %s AND source_table = %s AND state = 'met' GROUP BY 1, 2)",
        [Jsonb({str(part): number for part, number in storage.items()}), stream, str(last.table)],
    )


def _as_json(form: TableForm) -> dict[str, Any]:
    return {
        "schema": form.table.schema,
        "name": form.table.name,
        "oid": form.oid,
        "columns": [asdict(column) for column in form.columns],
        "key": list(form.key),
        "storage": {str(part): number for part, number in form.storage.items()},
    }


def _met(row: Mapping[str, Any]) -> Met:
    raw = row["form"] if isinstance(row["form"], dict) else json.loads(row["form"])
    form = TableForm(
        table=TableName(schema=raw["schema"], name=raw["name"]),
        oid=raw["oid"],
        columns=tuple(FormColumn(**{**each, "labels": tuple(each["labels"])}) for each in raw["columns"]),
        key=tuple(raw["key"]),
        storage={int(part): number for part, number in raw["storage"].items()},
    )
    return Met(
        table=row["source_table"],
        version=row["version"],
        state=row["state"],
        form=form,
        changes=tuple(row["changes"]),
        mend=row["mend"],
        position=row["position"],
        noted_at=row["noted_at"],
    )
