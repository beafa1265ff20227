"""Table structure read from PostgreSQL's catalog into the values of `cdc.tables`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from cdc.connections import open_database
from cdc.events import TableName
from cdc.tables import ForeignKey, Schema, Table, TableColumn, schema_hash

__all__ = ["reflect", "schema_hash"]

_Row = dict[str, Any]

_TABLES = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relreplident AS replica_identity, c.relkind = 'p' AS partitioned
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
 ORDER BY n.nspname, c.relname
"""

_COLUMNS = """
SELECT a.attrelid AS table_oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.atttypid AS type_oid, a.atttypmod AS type_modifier,
       NOT a.attnotnull AS nullable, a.attgenerated <> '' AS generated,
       a.xmin::text AS revision, a.attidentity AS identity, a.attcollation <> 0 AS collatable,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder) AS labels,
       (SELECT format('%%I.%%I', sn.nspname, s.relname)
          FROM pg_depend p
          JOIN pg_class s ON s.relkind = 'S' AND s.oid IN (p.objid, p.refobjid)
          JOIN pg_namespace sn ON sn.oid = s.relnamespace
         WHERE (p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
                AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i'))
            OR (p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_class'::regclass)
         ORDER BY p.classid = 'pg_class'::regclass
         LIMIT 1) AS sequence
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
"""

_KEYS = """
SELECT k.conrelid AS table_oid, ARRAY(
         SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
           JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns
  FROM pg_constraint k
 WHERE k.contype = 'p' AND k.conrelid = ANY(%s)
"""

_FOREIGN_KEYS = """
SELECT k.conname AS name, k.conrelid AS table_oid, k.confrelid AS ref_oid, n.nspname AS schema, c.relname AS table,
       rn.nspname AS ref_schema, rc.relname AS ref_table, k.confdeltype AS on_delete, k.confupdtype AS on_update,
       k.condeferrable AS deferrable,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place) AS ref_columns
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class rc ON rc.oid = k.confrelid
  JOIN pg_namespace rn ON rn.oid = rc.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY(%s) OR k.confrelid = ANY(%s))
 ORDER BY n.nspname, c.relname, k.conname
"""


def reflect(database: str | psycopg.Connection[Any], tables: Sequence[TableName]) -> Schema:
    """The structure of those of `tables` that exist; the names of all others go to `other_tables`.

    `database`: a DSN, or an open connection (its transaction and settings are left alone). Raises
    `DatabaseUnreachable`. Never raises for a missing table: `check_mapping` names those.
    """
    with rows_from(database) as cursor:
        return _reflect(cursor, frozenset(tables))


@contextmanager
def rows_from(database: str | psycopg.Connection[Any]) -> Iterator[psycopg.Cursor[_Row]]:
    """A cursor of dictionary rows on a DSN or on an open connection."""
    if not isinstance(database, str):
        with psycopg.Cursor(database, row_factory=dict_row) as cursor:
            yield cursor
        return
    with open_database(database) as connection, connection.cursor() as cursor:
        yield cursor


def _reflect(cursor: psycopg.Cursor[_Row], wanted: frozenset[TableName]) -> Schema:
    existing = {row["oid"]: row for row in cursor.execute(_TABLES)}
    names = {oid: TableName(schema=row["schema"], name=row["name"]) for oid, row in existing.items()}
    oids = [oid for oid, name in names.items() if name in wanted]
    columns = _grouped(cursor.execute(_COLUMNS, (oids,)).fetchall())
    keys = {row["table_oid"]: tuple(row["columns"]) for row in cursor.execute(_KEYS, (oids,))}
    outward: dict[int, list[ForeignKey]] = defaultdict(list)
    inward: dict[int, list[ForeignKey]] = defaultdict(list)
    for row in cursor.execute(_FOREIGN_KEYS, (oids, oids)):
        outward[row["table_oid"]].append(foreign_key(row))
        inward[row["ref_oid"]].append(foreign_key(row))
    encoding = cursor.execute("SELECT current_setting('server_encoding') AS encoding").fetchall()[0]["encoding"]
    return Schema(
        tables={
            names[oid]: Table(
                name=names[oid],
                columns=tuple(_column(row) for row in columns[oid]),
                primary_key=keys.get(oid, ()),
                foreign_keys_out=tuple(outward[oid]),
                foreign_keys_in=tuple(inward[oid]),
                replica_identity=existing[oid]["replica_identity"],
                partitioned=existing[oid]["partitioned"],
            )
            for oid in oids
        },
        other_tables=tuple(name for name in names.values() if name not in wanted),
        encoding=encoding,
    )


def _grouped(rows: Sequence[_Row]) -> dict[int, list[_Row]]:
    groups: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[row["table_oid"]].append(row)
    return groups


def _column(row: _Row) -> TableColumn:
    return TableColumn(
        name=row["name"],
        type=row["type"],
        type_oid=row["type_oid"],
        type_modifier=row["type_modifier"],
        nullable=row["nullable"],
        default=row["default"],
        generated=row["generated"],
        identity=row["identity"],
        sequence=row["sequence"],
        enum_labels=tuple(row["labels"]),
        collatable=row["collatable"],
        revision=row["revision"],
    )


def foreign_key(row: _Row) -> ForeignKey:
    """One row of the foreign-key query as a value."""
    return ForeignKey(
        name=row["name"],
        table=TableName(schema=row["schema"], name=row["table"]),
        columns=tuple(row["columns"]),
        ref_table=TableName(schema=row["ref_schema"], name=row["ref_table"]),
        ref_columns=tuple(row["ref_columns"]),
        on_delete=row["on_delete"],
        on_update=row["on_update"],
        deferrable=row["deferrable"],
    )
