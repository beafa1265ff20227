"""Holding a foreign key that was concluded from joins against the data."""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Select, TableClause, column, exists, func, select, table
from sqlalchemy.exc import DBAPIError

from migration_plans.gather.inferred_keys import InferredKey
from migration_plans.gather.statement import ColumnName

_NOT_COMPARABLE: Final = ("42883", "42804", "22")
"""SQLSTATE: no such operator, types that do not match, values that cannot be converted."""
SAMPLE: Final = 10_000
"""Values looked up per key."""


def proven(key: InferredKey, connection: Connection) -> InferredKey:
    """The key with what a sample of its values shows. Columns that the database cannot compare refute it.

    Unproven, `sampled` stays None: where the account may not read the tables, or it took too long.
    """
    source, target = _table(key.source), _table(key.target)
    value = source.c[key.source.column]
    sample = select(value.label("value")).where(value.is_not(None)).limit(SAMPLE).subquery("sample")
    missing = ~exists(select(1).select_from(target).where(target.c[key.target.column] == sample.c.value))
    try:
        with connection.begin_nested():
            sampled = _count(connection, select(func.count()).select_from(sample))
            absent = _count(connection, select(func.count()).select_from(sample).where(missing))
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return replace(key, sampled=1, not_matching=1) if state.startswith(_NOT_COMPARABLE) else key
    return replace(key, sampled=sampled, not_matching=absent)


def _count(connection: Connection, statement: Select[Any]) -> int:
    counted: int = connection.execute(statement).scalar_one()
    return counted


def _table(name: ColumnName) -> TableClause:
    schema, _, bare = name.table.rpartition(".")
    return table(bare, column(name.column), schema=schema or None)
