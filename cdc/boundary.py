"""What in a database crosses the border of a move: foreign keys, views, triggers and functions (S13, C16)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from cdc.events import TableName
from cdc.schema import reflect, rows_from
from cdc.tables import ForeignKey

_VIEWS = """
SELECT DISTINCT CASE v.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind,
       vn.nspname AS schema, v.relname AS name, tn.nspname AS table_schema, t.relname AS table_name
  FROM pg_depend d
  JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_class v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
  JOIN pg_namespace vn ON vn.oid = v.relnamespace
  JOIN pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE (tn.nspname, t.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
"""

_TRIGGERS = """
SELECT 'trigger' AS kind, tn.nspname AS schema, g.tgname AS name, tn.nspname AS table_schema, t.relname AS table_name
  FROM pg_trigger g
  JOIN pg_class t ON t.oid = g.tgrelid
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgname NOT LIKE 'strangler\\_%%'
   AND (tn.nspname, t.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
"""

_FUNCTIONS = """
SELECT 'function' AS kind, n.nspname AS schema, p.proname AS name, m.table_schema, m.table_name
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS m (table_schema, table_name)
    ON p.prosrc ~ ('\\m' || regexp_replace(m.table_name, '([^[:alnum:]_])', '\\\\\\1', 'g') || '\\M')
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'strangler')
UNION
SELECT 'function', n.nspname, p.proname, tn.nspname, t.relname
  FROM pg_depend d
  JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_namespace tn ON tn.oid = t.relnamespace
 WHERE (tn.nspname, t.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
"""

_PARTITIONS = """
SELECT DISTINCT m.schema AS whole_schema, m.name AS whole, n.nspname AS schema, c.relname AS name
  FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS m (schema, name)
  JOIN pg_namespace mn ON mn.nspname = m.schema
  JOIN pg_class mc ON mc.relnamespace = mn.oid AND mc.relname = m.name AND mc.relkind = 'p'
 CROSS JOIN LATERAL pg_partition_tree(mc.oid) t
  JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE t.level > 0
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossingForeignKey:
    """`in`: a table that stays references a moved one. `out`: a moved table, or a partition of one, references one
    that stays."""

    direction: Literal["in", "out"]
    key: ForeignKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependent:
    """Something in the database that uses a moved table, or a partition of one. A function is named when its text
    mentions the table."""

    kind: str
    schema: str
    name: str
    table: TableName


def foreign_keys_across(
    database: str | psycopg.Connection[Any], tables: Sequence[TableName]
) -> list[CrossingForeignKey]:
    """Foreign keys between the tables of a move, with their partitions, and those that stay, in name order."""
    moved = frozenset(tables) | partitions_of(database, tables).keys()
    crossing: list[CrossingForeignKey] = []
    for table in reflect(database, sorted(moved)).tables.values():
        crossing += [
            CrossingForeignKey(direction="out", key=key) for key in table.foreign_keys_out if key.ref_table not in moved
        ]
        crossing += [
            CrossingForeignKey(direction="in", key=key) for key in table.foreign_keys_in if key.table not in moved
        ]
    return sorted(crossing, key=lambda found: (str(found.key.table), found.key.name))


def dependents(database: str | psycopg.Connection[Any], tables: Sequence[TableName]) -> list[Dependent]:
    """Views, triggers (not ours) and functions that use one of `tables`, in name order."""
    asked = _asked(sorted(frozenset(tables) | partitions_of(database, tables).keys()))
    with rows_from(database) as cursor:
        rows = [row for query in (_VIEWS, _TRIGGERS, _FUNCTIONS) for row in cursor.execute(query, asked).fetchall()]
    found = {
        Dependent(
            kind=row["kind"],
            schema=row["schema"],
            name=row["name"],
            table=TableName(schema=row["table_schema"], name=row["table_name"]),
        )
        for row in rows
    }
    return sorted(found, key=lambda each: (each.kind, each.schema, each.name, each.table))


def partitions_of(
    database: str | psycopg.Connection[Any], tables: Sequence[TableName]
) -> Mapping[TableName, TableName]:
    """Each partition, of whatever level, of those of `tables` that are partitioned → that table."""
    with rows_from(database) as cursor:
        rows = cursor.execute(_PARTITIONS, _asked(tables)).fetchall()
    return {
        TableName(schema=row["schema"], name=row["name"]): TableName(schema=row["whole_schema"], name=row["whole"])
        for row in rows
    }


def _asked(tables: Sequence[TableName]) -> dict[str, list[str]]:
    return {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
