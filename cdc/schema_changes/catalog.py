"""A source table as its catalog has it now, read in one query's snapshot."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from cdc.connections import CatalogConnection
from cdc.events import TableName
from cdc.schema_changes.forms import CatalogColumn, CatalogTable, FormColumn, TableForm
from cdc.verify.statements import quoted

_LONGEST_LOOK_S: Final = 10
"""How long the source may be asked what a rewrite left in a new column."""

_TABLE = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relreplident AS replica_identity,
       coalesce((SELECT jsonb_object_agg(p.relid::oid::text, pg_relation_filenode(p.relid))
                   FROM pg_partition_tree(c.oid) p WHERE p.isleaf),
                jsonb_build_object(c.oid::text, pg_relation_filenode(c.oid))) AS storage,
       ARRAY(SELECT a.attnum::int FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attisdropped ORDER BY 1) AS gone,
       ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
              WHERE i.indrelid = c.oid AND i.indisprimary
              ORDER BY u.place) AS key
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND {which}
"""

_COLUMNS = """
SELECT a.attnum::int AS attnum, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.atttypid::bigint AS type_oid, a.atttypmod AS type_modifier, NOT a.attnotnull AS nullable,
       pg_get_expr(d.adbin, d.adrelid) AS default, coalesce(d.adbin::text LIKE '{CONST %%', false) AS constant_default,
       coalesce(m.has, false) AS has_missing, m.value AS missing, coalesce(m.readable, true) AS readable_missing,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder) AS labels
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN LATERAL (
       SELECT bool_or(x.atthasmissing) AS has, min((x.attmissingval::text::text[])[1]) AS value,
              bool_and(t.typdelim = ',') AND count(DISTINCT x.attmissingval::text) <= 1
                AND count(DISTINCT x.atthasmissing) = 1 AS readable
         FROM (SELECT relid::oid AS oid FROM pg_partition_tree(a.attrelid) WHERE isleaf
               UNION SELECT a.attrelid WHERE NOT EXISTS (SELECT FROM pg_partition_tree(a.attrelid))) AS part
         JOIN pg_attribute x ON x.attrelid = part.oid AND x.attname = a.attname AND NOT x.attisdropped
         JOIN pg_type t ON t.oid = x.atttypid) m ON true
 WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 ORDER BY a.attnum
"""


def read_table(connection: CatalogConnection, table: TableName, oid: int = 0) -> CatalogTable | None:
    """The table with this object id, or (0) with this name; None when there is none."""
    which = "c.oid = %(oid)s::oid" if oid else "n.nspname = %(schema)s AND c.relname = %(name)s"
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = connection.execute(
            _TABLE.format(which=which).encode(), {"oid": oid, "schema": table.schema, "name": table.name}
        ).fetchone()
        if found is None:
            return None
        rows = connection.execute(_COLUMNS.encode(), {"oid": found["oid"]}).fetchall()
    columns = tuple(_column(row) for row in rows)
    form = TableForm(
        table=TableName(schema=found["schema"], name=found["name"]),
        oid=found["oid"],
        columns=tuple(each.column for each in columns),
        key=tuple(found["key"]),
        storage={int(part): number for part, number in found["storage"].items() if number is not None},
    )
    return CatalogTable(
        form=form, columns=columns, gone=frozenset(found["gone"]), replica_identity=found["replica_identity"]
    )


def type_names(connection: CatalogConnection, types: Sequence[tuple[int, int]]) -> list[str]:
    """`format_type` of (type oid, modifier) pairs."""
    rows = connection.execute(
        "SELECT format_type(t.oid, t.modifier) AS type"
        " FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS t (oid, modifier, place) ORDER BY place",
        ([oid for oid, _ in types], [modifier for _, modifier in types]),
    )
    return [str(row["type"]) for row in rows]


def distinct_values(connection: CatalogConnection, oid: int, column: str) -> list[str | None] | None:
    """Up to two different values (text forms) that the table's rows have in a column now; None when that is not known
    within `_LONGEST_LOOK_S`, or the table or column is gone."""
    name = connection.execute("SELECT %s::oid::regclass::text AS name", [oid]).fetchone()
    assert name is not None
    try:
        with connection.transaction():
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{_LONGEST_LOOK_S * 1000}ms"])
            query = f"SELECT DISTINCT {quoted(column)}::text AS value FROM {name['name']} LIMIT 2"
            return [row["value"] for row in connection.execute(query.encode())]
    except (psycopg.errors.QueryCanceled, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
        return None


def _column(row: dict[str, Any]) -> CatalogColumn:
    return CatalogColumn(
        column=FormColumn(
            attnum=row["attnum"],
            name=row["name"],
            type=row["type"],
            type_oid=row["type_oid"],
            type_modifier=row["type_modifier"],
            nullable=row["nullable"],
            missing=row["missing"] if row["has_missing"] else None,
            labels=tuple(row["labels"]),
        ),
        default=row["default"],
        constant_default=row["constant_default"],
        has_missing=row["has_missing"],
        readable_missing=row["readable_missing"],
    )
