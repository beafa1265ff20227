"""What a PostgreSQL database says about the tables of a move, as values. Pure; `catalog_reader` reads them.

Every `sql` is a name as SQL writes it, quoted where it must be and with its schema. Every expression and definition is
the server's own text, printed with an empty search path, so that it means the same in any other database.
`needs` are keys of `LegacySchema.objects`: what has to exist before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Needs = frozenset[str]
NOTHING: Needs = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceOptions:
    """`CREATE SEQUENCE`'s; numbers as the server has them."""

    type: str = "bigint"
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 2**63 - 1
    cache: int = 1
    cycles: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """`owned_by`: `schema.table.column` as SQL. `stays_with`: tables that stay and draw numbers from it, too."""

    sql: str
    options: SequenceOptions = SequenceOptions()
    owned_by: str | None = None
    stays_with: tuple[str, ...] = ()
    comment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """`default`: the expression; of a generated column the one that generates it."""

    name: str
    sql: str
    type: str
    nullable: bool = True
    default: str | None = None
    generated: Literal["", "STORED", "VIRTUAL"] = ""
    identity: Literal["", "ALWAYS", "BY DEFAULT"] = ""
    identity_sequence: Sequence | None = None
    collation: str | None = None
    storage: str | None = None
    compression: str | None = None
    statistics: int | None = None
    """The statistics target, where it is not the server's."""
    options: tuple[str, ...] = ()
    """`n_distinct=5`."""
    comment: str | None = None
    needs_of_type: Needs = NOTHING
    needs_of_default: Needs = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """No foreign key. `kind`: catalog letter (p u c x n). `definition`: as `ADD CONSTRAINT name` takes it."""

    name: str
    sql: str
    kind: str
    definition: str
    validated: bool = True
    comment: str | None = None
    needs: Needs = NOTHING
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """One that no constraint made. `definition`: the whole `CREATE INDEX`. `quoted`: `name` as it stands in there."""

    name: str
    quoted: str
    sql: str
    definition: str
    is_valid: bool = True
    alterations: tuple[str, ...] = ()
    """What `ALTER INDEX … ALTER` then says."""
    comment: str | None = None
    needs: Needs = NOTHING
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """`bounds`: `FOR VALUES …` or `DEFAULT`. `key`: how it is partitioned in turn. Without what its parent gives."""

    sql: str
    parent_sql: str
    bounds: str
    key: str | None = None
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    defaults: tuple[tuple[str, str | None], ...] = ()
    """Column as SQL → its own default, where it differs from the whole table's."""
    filled: tuple[str, ...] = ()
    """Columns as SQL that are NOT NULL here only."""
    options: tuple[str, ...] = ()
    stored: tuple[tuple[str, str], ...] = ()
    """Column as SQL → its own storage, where it differs from the whole table's."""
    is_logged: bool = True
    comments: tuple[tuple[str, str], ...] = ()
    """What, as `COMMENT ON` takes it → the comment; without those of constraints and indexes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Extended statistics. `definition`: the whole `CREATE STATISTICS`."""

    sql: str
    definition: str
    target: int | None = None
    comment: str | None = None
    needs: Needs = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A moved table. `name`: as a plan writes it (`orders`, `shop.orders`). `key`: of a partitioned one."""

    name: str
    schema: str
    sql: str
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    key: str | None = None
    partitions: tuple[Partition, ...] = ()
    options: tuple[str, ...] = ()
    """Storage parameters, `fillfactor=70`."""
    replica_identity: Literal["d", "n", "f", "i"] = "d"
    identity_index: str | None = None
    """The index of identity `i`, as SQL without its schema."""
    clustered_on: str | None = None
    """The index of `CLUSTER`, as SQL without its schema."""
    comment: str | None = None
    is_logged: bool = True
    publications: tuple[str, ...] = ()
    """Of others, which send its changes to whoever subscribes."""
    heirs: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    """Of table inheritance, not of partitions."""
    policies: tuple[str, ...] = ()
    row_security: bool = False
    rules: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()

    @property
    def primary_key(self) -> Constraint | None:
        return next((constraint for constraint in self.constraints if constraint.kind == "p"), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """Of a moved table, or onto one. Tables as a plan writes them. `on_delete`, `on_update`: as SQL says it.

    `whole`: the partitioned table, when `table` is a partition that has this key by itself; else `table`.
    """

    name: str
    sql: str
    table: str
    table_sql: str
    whole: str
    columns: tuple[str, ...]
    ref_table: str
    ref_columns: tuple[str, ...]
    on_delete: str
    on_update: str
    definition: str
    comment: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """Something that moved tables need: a type, a function, a collation, a sequence, an operator.

    `create`: the statements that make it, empty when that cannot be said, for `why_not`. `drop`: the one that takes it
    away. `extension`: the one that brings it, and then nothing has to be made.
    """

    key: str
    kind: str
    sql: str
    create: tuple[str, ...] = ()
    drop: str = ""
    why_not: str = ""
    extension: str | None = None
    needs: Needs = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """`schema`: where its objects lie, as SQL. `requires`: names of extensions that have to be there before."""

    name: str
    sql: str
    schema: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LegacySchema:
    """Moved tables in the order in which they were asked for, and all that belongs to them."""

    database: str
    locale: str
    """Encoding and collation, as `CREATE DATABASE` takes them."""
    version: int
    """Of the server, major."""
    tables: tuple[Table, ...]
    objects: Mapping[str, Brought] = field(default_factory=dict)
    sequences: tuple[Sequence, ...] = ()
    """That defaults draw from; those of identity columns are with the columns."""
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    schemas: tuple[str, ...] = ()
    """As SQL: every schema but `public` that something of ours lies in."""
    inner_keys: tuple[ForeignKey, ...] = ()
    outward_keys: tuple[ForeignKey, ...] = ()
    inward_keys: tuple[ForeignKey, ...] = ()
    reading_functions: frozenset[str] = frozenset()
    """Names of functions that cannot write: every one of that name is STABLE or IMMUTABLE."""
    writable_views: frozenset[str] = frozenset()
    """Names of views that rows can be written through."""
