"""What one SQL statement does to tables, and what has to be known of a schema to say it. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Mode = Literal["R", "W"]


SCHEMA_CHANGES = frozenset({"CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT"})


class Access(NamedTuple):
    """A table is read or written."""

    table: str
    mode: Mode


class ColumnName(NamedTuple):
    """A column of a table."""

    table: str
    column: str


class Join(NamedTuple):
    """Two columns that a statement sets equal, in the order of their names; of two tables, or of one with itself."""

    left: ColumnName
    right: ColumnName


class Predicate(NamedTuple):
    """A column compared with something that is no column: `=`, `<`, `IN`, `LIKE`, `IS`, `BETWEEN`, …"""

    column: ColumnName
    operator: str


class RowLock(NamedTuple):
    """Rows of a table (or the whole table) are locked: `UPDATE`, `NO KEY UPDATE`, `SHARE`, `KEY SHARE`, `TABLE`.

    `ADVISORY` locks nothing but a number that the application chose: no table has it (`""`).
    """

    table: str
    strength: str


class Change(NamedTuple):
    """Rows of a table come, change, or go."""

    table: str
    kind: Literal["insert", "update", "delete"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnUse:
    """Columns of one table that are read and written, sorted."""

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StatementFacts:
    """One statement. Table names as the schema has them: without the default schema, views resolved to tables."""

    kind: str
    """The command in capitals: `SELECT`, `INSERT`, `BEGIN`, …"""
    accesses: tuple[Access, ...] = ()
    """In the order in which the statement names them, what it reads before what it writes; each once."""
    columns: Mapping[str, ColumnUse] = field(default_factory=dict)
    joins: tuple[Join, ...] = ()
    predicates: tuple[Predicate, ...] = ()
    locks: tuple[RowLock, ...] = ()
    changes: tuple[Change, ...] = ()
    """What the writes among `accesses` do, each once; those of functions that it calls are not told apart."""
    views: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    """Functions that are called and are not the database's own, as far as that can be told."""
    unknown_tables: tuple[str, ...] = ()
    """Named by the statement, absent from the schema: temporary tables, or a schema that was not given."""
    not_understood: str | None = None
    """Why the statement, or a part of it, could not be read."""
    text: str = ""
    """The statement without its values, where it was not understood."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table once, in order."""
        return tuple(dict.fromkeys(access.table for access in self.accesses))

    @property
    def changes_schema(self) -> bool:
        """Is it DDL on something that lasts? Temporary tables are part of ordinary work."""
        return self.kind in SCHEMA_CHANGES

    @property
    def writes(self) -> bool:
        """Is any table written?"""
        return any(access.mode == "W" for access in self.accesses)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What a view reads, down to tables."""

    tables: tuple[str, ...]
    columns: Mapping[str, ColumnName] = field(default_factory=dict)
    """Columns of the view that are plain columns of a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Routine:
    """What a function or procedure does, as far as its body was read."""

    accesses: tuple[Access, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """What is known of the schema when statements are read. Names as `StatementFacts` has them."""

    columns: Mapping[str, tuple[str, ...]] | None = None
    """Tables and their columns; None when the schema is not known, and every name is taken for a table."""
    views: Mapping[str, View] = field(default_factory=dict)
    routines: Mapping[str, Routine] = field(default_factory=dict)
    partitions: Mapping[str, str] = field(default_factory=dict)
    """Partition → the table that it is a part of."""
    default_schemas: tuple[str, ...] = ("public",)
    """Schemas that are left out of names."""
