"""What statements of an apply session are made of: names and given values. Pure."""

from collections.abc import Iterable

from cdc.events import TableName
from cdc.target_tables import TargetColumn


def quote(name: str) -> str:
    """An identifier for a statement that has `%s` parameters."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def quote_table(table: TableName) -> str:
    """The same for a table, with its schema."""
    return f"{quote(table.schema)}.{quote(table.name)}"


def type_of(column: TargetColumn) -> str:
    """Its type without length or precision."""
    return column.type_name.replace("%", "%%")


def value_of(column: TargetColumn, index: int) -> str:
    """The value at `index` of a given row `u`, as the column's type reads it."""
    return f"u.c{index}" if column.as_array else f"u.c{index}::{type_of(column)}"


def names_of(names: Iterable[str]) -> str:
    """Identifiers, separated by commas."""
    return ", ".join(quote(name) for name in names)
