"""What tells objects of a PostgreSQL catalog apart over time: object ids, column numbers, digests of definitions.

All functions take an open connection with dictionary rows, and change nothing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from migration_plans.table_names import plain

Connection = psycopg.Connection[dict[str, Any]]

_TABLES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, a.attname AS column, a.attnum::int AS number
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN unnest(%s::text[], %s::text[]) AS wanted (schema, name) ON (n.nspname, c.relname) = (wanted.schema, wanted.name)
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p')
"""

_CONSTRAINTS = """
SELECT k.conrelid::bigint AS oid, k.conname AS name, pg_get_constraintdef(k.oid) AS text
  FROM pg_constraint k
 WHERE k.conrelid = ANY(%(oids)s::oid[]) AND k.contype IN ('c', 'u', 'x')
UNION ALL
SELECT i.indrelid::bigint, c.relname, 'UNIQUE INDEX' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING', '')
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = ANY(%(oids)s::oid[]) AND i.indisunique AND NOT i.indisprimary
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
"""

_NAMES = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.oid = ANY(%s::oid[])
"""

_DEFINITIONS = """
SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind, c.relname AS name,
       pg_get_viewdef(c.oid) AS text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname = ANY(%(names)s)
UNION ALL
SELECT 'function', p.proname, CASE WHEN p.prokind = 'a' THEN p.prosrc ELSE pg_get_functiondef(p.oid) END
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'strangler') AND p.proname = ANY(%(names)s)
UNION ALL
SELECT 'trigger', g.tgname,
       replace(pg_get_triggerdef(g.oid), ' ON ' || g.tgrelid::regclass::text || ' ', ' ')
       || pg_get_functiondef(g.tgfoid)
  FROM pg_trigger g
 WHERE NOT g.tgisinternal AND g.tgname = ANY(%(names)s)
"""

_FENCED = """
SELECT DISTINCT n.nspname || '.' || c.relname AS name
  FROM pg_trigger g
  JOIN pg_class c ON c.oid = g.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE g.tgname = 'strangler_fence' AND NOT c.relispartition
   AND encode(g.tgargs, 'escape') = %s || '\\000'
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMarks:
    """Object id, catalog number by column, and constraints by name."""

    oid: int
    numbers: Mapping[str, int]
    constraints: Mapping[str, str]


_LOCK_TIMEOUT = "15s"
"""Definitions of a table that is just being altered wait for it."""


def settle_session(connection: Connection) -> None:
    """Types, defaults and definitions read the same whatever the role's search path is; nothing waits for long."""
    connection.execute(
        "SELECT set_config('search_path', 'public', false), set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,)
    )


def database_mark(connection: Connection) -> str:
    """The same only for the same database of the same cluster; a restored copy has another one."""
    oid = "(SELECT oid::text FROM pg_database WHERE datname = current_database())"
    try:
        with connection.transaction():
            query = f"SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || {oid} AS mark"
            row = connection.execute(query.encode()).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        row = connection.execute(f"SELECT 'unknown/' || current_database() || '/' || {oid} AS mark".encode()).fetchone()
    assert row is not None
    return str(row["mark"])


def table_marks(connection: Connection, tables: Sequence[tuple[str, str]]) -> dict[str, TableMarks]:
    """Of those of `tables` (schema, name) that exist."""
    oids: dict[str, int] = {}
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(_TABLES, ([schema for schema, _ in tables], [name for _, name in tables])):
        name = plain(f"{row['schema']}.{row['name']}")
        oids[name] = row["oid"]
        if row["column"] is not None:
            numbers[name][row["column"]] = row["number"]
    constraints: dict[int, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(_CONSTRAINTS, {"oids": list(oids.values())}):
        constraints[row["oid"]][row["name"]] = row["text"]
    return {
        name: TableMarks(oid=oid, numbers=numbers[name], constraints=dict(sorted(constraints[oid].items())))
        for name, oid in oids.items()
    }


def names_of(connection: Connection, oids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Schema and name of the tables with these object ids; those that are gone are left out."""
    return {row["oid"]: (row["schema"], row["name"]) for row in connection.execute(_NAMES, (list(oids),))}


def definition_digests(connection: Connection, names: Iterable[str]) -> dict[tuple[str, str], str]:
    """(kind, name) → digest over the definitions of all views, triggers or functions of that name."""
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in connection.execute(_DEFINITIONS, {"names": sorted(set(names))}):
        texts[row["kind"], row["name"]].append(row["text"])
    return {
        key: hashlib.sha256("\0".join(sorted(definitions)).encode()).hexdigest()[:16]
        for key, definitions in texts.items()
    }


def fenced_tables(connection: Connection, move: str) -> frozenset[str]:
    """Tables, not counting partitions, that carry the move's fence, raised or not."""
    return frozenset(plain(row["name"]) for row in connection.execute(_FENCED, (move,)))


def applied_revisions(connection: Connection) -> tuple[str, ...] | None:
    """Rows of Alembic's version table; None when there is none."""
    found = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL AS exists").fetchone()
    if found is None or not found["exists"]:
        return None
    return tuple(row["version_num"] for row in connection.execute("SELECT version_num FROM public.alembic_version"))
