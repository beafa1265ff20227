"""Statements that a server counted: `pg_stat_statements`."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from migration_plans.gather.requests import OURS

_INSTALLED = text(
    "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_stat_statements') "
    "AND current_setting('pg_stat_statements.max', true) IS NOT NULL"
)
"""In a database restored from another the extension is there, and the server may not have loaded it."""
_WHERE = text(
    "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
    "WHERE e.extname = 'pg_stat_statements'"
)

HIDDEN = "<insufficient privilege>"
"""Stands for the text of a statement of another account."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedStatement:
    """A statement without its values, and how often it ran since the statistics were reset."""

    text: str
    calls: int


def counted_statements(connection: Connection) -> list[CountedStatement] | None:
    """Statements of this database, most frequent first; None when the extension is not there, or not loaded."""
    if connection.dialect.name != "postgresql" or not connection.execute(_INSTALLED).scalar_one():
        return None
    schema = connection.execute(_WHERE).scalar_one()
    quoted = connection.dialect.identifier_preparer.quote(schema)
    statement = text(
        f"SELECT query, sum(calls)::bigint FROM {quoted}.pg_stat_statements "
        "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query IS NOT NULL "
        "GROUP BY query ORDER BY 2 DESC, 1"
    )
    rows = connection.execute(statement)
    return [CountedStatement(text=query, calls=calls) for query, calls in rows if not query.startswith(OURS)]
