"""A target's tables as the values that mappings are compiled and checked against."""

from collections.abc import Mapping

from cdc.events import TableName
from cdc.mapping.model import MoveMapping
from cdc.sql_target.catalog import load_table
from cdc.sql_target.columns import Dialect, SqlColumn, SqlTable
from cdc.sql_target.engine import dialect_of, open_engine, settled, target_url
from cdc.sql_target.fitness import misfit
from cdc.sql_target.value_types import value_types
from cdc.tables import Schema, Table, TableColumn


def read_tables(dsn: str, types: Mapping[TableName, Mapping[str, str]]) -> dict[TableName, SqlTable]:
    """The tables that `types` names. Raises `SchemaChanged` for one that is missing, `DatabaseUnreachable`."""
    engine = open_engine(dsn)
    dialect = dialect_of(target_url(dsn))
    try:
        with settled(dsn, "catalog"), engine.connect() as connection:
            return {table: load_table(connection, table, dialect, columns) for table, columns in types.items()}
    finally:
        engine.dispose()


def reflect_target(dsn: str, mapping: MoveMapping, source: Schema) -> Schema:
    """The target of `mapping`, ready for `compile_mapping` and `check_mapping`.

    A column that holds every value of its source has the source's type; another one has its own type's name, which
    `check_mapping` then reports as a different kind of value.
    """
    types = value_types(mapping, source)
    dialect = dialect_of(target_url(dsn))
    found = read_tables(dsn, {table: types.get(table, {}) for table in mapping.target_tables})
    return Schema(tables={name: _table(table, dialect) for name, table in found.items()})


def _table(table: SqlTable, dialect: Dialect) -> Table:
    return Table(
        name=table.table,
        columns=tuple(_column(column, table.known_types.get(name), dialect) for name, column in table.columns.items()),
        primary_key=table.primary_key,
    )


def _column(column: SqlColumn, source_type: str | None, dialect: Dialect) -> TableColumn:
    fits = source_type is not None and misfit(source_type, column, dialect) is None
    return TableColumn(
        name=column.name,
        type=source_type if fits and source_type is not None else column.declared,
        nullable=column.nullable,
        generated=column.generated,
        enum_labels=column.labels,
    )
