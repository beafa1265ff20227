"""`TypeCatalog` and relations read from PostgreSQL's catalog."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from cdc.debezium.catalog import PgType, TableShape, TypeCatalog, TypeKind
from cdc.events import Column, Relation, TableName
from cdc.schema import rows_from

_TYPES = """
    SELECT t.oid::int8 AS oid, t.typname AS name, t.typtype AS kind, t.typcategory AS category,
           t.typelem::int8 AS element, t.typbasetype::int8 AS base, t.typtypmod AS modifier,
           ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels
      FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE t.oid >= 16384 AND (t.typtype <> 'c' OR c.relkind = 'c')
"""

_TABLES = """
    SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relreplident AS identity,
           coalesce((SELECT array_agg(a.attname::text ORDER BY key.position)
              FROM pg_index i
              CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key (number, position)
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.number
             WHERE i.indrelid = c.oid AND i.indisprimary), '{}') AS primary_key,
           coalesce((SELECT array_agg(a.attname::text)
              FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[])
             WHERE i.indrelid = c.oid AND i.indisreplident), '{}') AS identity_key
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
"""

_COLUMNS = """
    SELECT attrelid::int8 AS table_oid, attname AS name, atttypid::int8 AS type_oid, atttypmod AS modifier,
           attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default
      FROM pg_attribute LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
     WHERE attrelid = ANY (%(oids)s::oid[]) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
     ORDER BY attrelid, attnum
"""

_KINDS: Final[Mapping[str, TypeKind]] = {
    "e": "enum",
    "d": "domain",
    "c": "composite",
    "r": "range",
    "m": "multirange",
}


def read_catalog(database: str | psycopg.Connection[Any], tables: Sequence[TableName] = ()) -> TypeCatalog:
    """Every type that is not PostgreSQL's own, and the shapes of `tables`. Raises `DatabaseUnreachable`."""
    with rows_from(database) as cursor:
        types = {row["oid"]: _type(row) for row in cursor.execute(_TYPES)}
        shapes = {
            _name(table): TableShape(
                primary_key=tuple(table["primary_key"]),
                not_null=frozenset(column["name"] for column in columns if column["not_null"]),
                columns={column["name"]: (column["type_oid"], column["modifier"]) for column in columns},
                defaults={column["name"]: column["default"] for column in columns if column["default"] is not None},
            )
            for table, columns in _read_tables(cursor, tables)
        }
    return TypeCatalog(types=types, tables=shapes)


def read_relations(database: str | psycopg.Connection[Any], tables: Sequence[TableName]) -> list[Relation]:
    """Those of `tables` that exist, as the stream would describe them: without generated columns."""
    with rows_from(database) as cursor:
        return [
            Relation(
                oid=table["oid"],
                schema=table["schema"],
                name=table["name"],
                replica_identity=table["identity"],
                columns=tuple(_column(table, column) for column in columns),
            )
            for table, columns in _read_tables(cursor, tables)
        ]


_Row = Mapping[str, Any]


def _read_tables(cursor: psycopg.Cursor[dict[str, Any]], tables: Sequence[TableName]) -> list[tuple[_Row, list[_Row]]]:
    parameters = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    found = cursor.execute(_TABLES, parameters).fetchall()
    columns: dict[int, list[_Row]] = defaultdict(list)
    for row in cursor.execute(_COLUMNS, {"oids": [table["oid"] for table in found]}):
        columns[row["table_oid"]].append(row)
    return [(table, columns[table["oid"]]) for table in found]


def _name(table: _Row) -> TableName:
    return TableName(schema=table["schema"], name=table["name"])


def _column(table: _Row, column: _Row) -> Column:
    key = table["identity_key"] if table["identity"] == "i" else table["primary_key"]
    in_key = table["identity"] == "f" or (table["identity"] != "n" and column["name"] in key)
    return Column(name=column["name"], type_oid=column["type_oid"], type_modifier=column["modifier"], in_key=in_key)


def _type(row: _Row) -> PgType:
    is_array = row["category"] == "A" and row["element"] != 0
    kind: TypeKind = "array" if is_array else _KINDS.get(row["kind"], "base")
    return PgType(
        oid=row["oid"],
        name=row["name"],
        kind=kind,
        of=row["element"] if is_array else row["base"],
        modifier=row["modifier"],
        labels=tuple(row["labels"]),
    )
