"""A database's schema as it was found: tables, keys, views, triggers, routines, sequences. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from migration_plans.gather.sql import Dialect, SqlReader
from migration_plans.gather.statement import Access, Catalog, Routine, View


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """Columns in order; expressions are left out."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table. `rows` and `bytes` are the server's estimates, None where it has none."""

    columns: tuple[str, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    rows: int | None = None
    bytes: int | None = None

    def is_unique(self, column: str) -> bool:
        """Does the column alone tell rows apart?"""
        return self.primary_key == (column,) or any(
            index.unique and index.columns == (column,) for index in self.indexes
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """A declared foreign key."""

    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """A trigger of a table and the routine that it runs."""

    name: str
    table: str
    routine: str
    accesses: tuple[Access, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutineText:
    """A routine as the server has it."""

    name: str
    language: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """A sequence, and the column that owns it."""

    name: str
    table: str | None = None
    column: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaFacts:
    """One database. Names in the default schema bare, others with their schema before a dot."""

    dialect: Dialect
    default_schema: str
    tables: Mapping[str, Table]
    foreign_keys: tuple[ForeignKey, ...] = ()
    views: Mapping[str, View] = field(default_factory=dict)
    routines: Mapping[str, Routine] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    partitions: Mapping[str, str] = field(default_factory=dict)
    not_understood: tuple[tuple[str, str], ...] = ()
    """View, routine or trigger, and why it could not be read."""

    def catalog(self) -> Catalog:
        """What statements are read against."""
        return Catalog(
            columns={name: table.columns for name, table in self.tables.items()},
            views=self.views,
            routines=self.routines,
            partitions=self.partitions,
            default_schemas=(self.default_schema,),
        )

    def reader(self) -> SqlReader:
        """Reads statements of this database."""
        return SqlReader(dialect=self.dialect, catalog=self.catalog())
