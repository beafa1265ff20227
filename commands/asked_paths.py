"""What to ask for where a route has parameters: recorded requests, a key that a table has, else 1.

An application looks for the row, and one that is not there is answered like a path that is not there.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import psycopg

from cdc.connections import CatalogConnection, open_database
from migration_plans.drift.endpoints import PlannedRoutes
from migration_plans.gather.requests import RecordedRequest
from migration_plans.plan import Plan, RoutePlan

PathsOf = Callable[[RoutePlan], Sequence[str]]
"""Paths to ask a route with, the best first; never empty."""
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")
_FOUND: Final = frozenset(range(200, 400))
_RECORDED_MOST: Final = 3

_COLUMNS: Final = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS table, quote_ident(a.attname) AS column
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indnatts = 1 AND i.indkey[0] = a.attnum
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT n.nspname IN ('pg_catalog', 'information_schema')
   AND lower(c.relname) = ANY (%(tables)s) AND (i.indrelid IS NOT NULL OR lower(a.attname) = %(parameter)s)
   AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
 ORDER BY lower(a.attname) <> %(parameter)s, 1, 2
 LIMIT 4
"""


def recorded_paths(plan: Plan, requests: Iterable[RecordedRequest]) -> Mapping[str, Sequence[str]]:
    """Route id → different paths that were asked for, without their query; those that were answered well come first."""
    routes = PlannedRoutes(plan)
    found: dict[str, list[str]] = {}
    for request in sorted(requests, key=lambda request: request.status not in _FOUND):
        path = request.path.partition("?")[0]
        if (route := routes.route_of(f"{request.method} {path}")) is not None:
            known = found.setdefault(route.id, [])
            if path not in known and len(known) < _RECORDED_MOST:
                known.append(path)
    return found


def paths_of(dsn: str, recorded: Mapping[str, Sequence[str]]) -> PathsOf:
    """`dsn`: of the monolith, where the keys of tables are looked for that have the name of a path's segment."""
    values: dict[tuple[str, str], str | None] = {}

    def value(word: str, parameter: str) -> str | None:
        if (word, parameter) not in values:
            with open_database(dsn) as connection:
                connection.execute("SET default_transaction_read_only = on")
                connection.execute("SET statement_timeout = 2000")
                values[word, parameter] = _value(connection, word, parameter)
        return values[word, parameter]

    def asked(route: RoutePlan) -> Sequence[str]:
        if "{" not in route.path:
            return (route.path,)
        return tuple(dict.fromkeys((*recorded.get(route.id, ()), filled(route.path, value), filled(route.path, _one))))

    return asked


def filled(path: str, value: Callable[[str, str], str | None]) -> str:
    """The path with a value in the place of each parameter. `value`: of the segment before it and its name."""
    before, segments = "", []
    for segment in path.split("/"):
        if match := _PARAMETER.fullmatch(segment):
            segments.append(quote(value(before, match[1]) or "1", safe=""))
        else:
            before = segment
            segments.append(segment)
    return "/".join(segments)


def _one(word: str, parameter: str) -> str:
    return "1"


def _value(connection: CatalogConnection, word: str, parameter: str) -> str | None:
    asked = {"tables": sorted(_table_names(word)), "parameter": parameter.lower()}
    for row in connection.execute(_COLUMNS, asked).fetchall():
        column = row["column"]
        query = f"SELECT {column}::text AS value FROM {row['table']} WHERE {column} IS NOT NULL LIMIT 1"
        try:
            found = connection.execute(query.encode()).fetchone()
        except (psycopg.errors.QueryCanceled, psycopg.errors.InsufficientPrivilege):
            # A table that somebody holds, or that row security guards: another value does as well.
            continue
        if found is not None and found["value"]:
            return str(found["value"])
    return None


def _table_names(word: str) -> frozenset[str]:
    """What a table may be called whose rows are at `/word/{id}`."""
    name = re.sub(r"\W+", "_", word.lower())
    singular = re.sub(r"(?<=.)s$", "", name)
    return frozenset({name, f"{name}s", singular, re.sub(r"ies$", "y", name), re.sub(r"es$", "", name)})
