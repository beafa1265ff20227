"""What a table looks like in its database, as values. Pure; `cdc.schema` reads them from the catalog."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Literal

from cdc.events import TableName


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumn:
    """One column. `type` is `format_type` text (`character varying(80)`), `default` the catalog's expression.
    `type_oid`, `type_modifier`: what `type` says, in numbers; 0 and None when they are not known.

    `identity`: `a` always, `d` by default, empty otherwise. `sequence`: the qualified sequence that feeds it, owned or
    shared, quoted as SQL. `enum_labels`: in enum order, empty for other types. `collatable`: its order depends on a
    collation. `revision`: another one after every ALTER of the column, also one that only changed its values (USING).
    """

    name: str
    type: str
    type_oid: int = 0
    type_modifier: int | None = None
    nullable: bool = True
    default: str | None = None
    generated: bool = False
    identity: Literal["", "a", "d"] = ""
    sequence: str | None = None
    enum_labels: tuple[str, ...] = ()
    collatable: bool = False
    revision: str = field(default="", compare=False)

    @property
    def filled_by_itself(self) -> bool:
        """An insert that does not name the column succeeds."""
        return self.nullable or self.generated or bool(self.identity) or self.default is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """`table(columns)` references `ref_table(ref_columns)`. `on_delete`/`on_update`: catalog letter (a r c n d)."""

    name: str
    table: TableName
    columns: tuple[str, ...]
    ref_table: TableName
    ref_columns: tuple[str, ...]
    on_delete: str = "a"
    on_update: str = "a"
    deferrable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table. `primary_key`: column names in key order, empty when there is none.

    `foreign_keys_out` start here, `foreign_keys_in` point here. `replica_identity`: catalog letter (d n f i).
    """

    name: TableName
    columns: tuple[TableColumn, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys_out: tuple[ForeignKey, ...] = ()
    foreign_keys_in: tuple[ForeignKey, ...] = ()
    replica_identity: str = "d"
    partitioned: bool = False

    def column(self, name: str) -> TableColumn | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The asked-for tables that exist, by name; `other_tables` are the rest of the database, for suggestions."""

    tables: Mapping[TableName, Table] = field(default_factory=lambda: MappingProxyType({}))
    other_tables: tuple[TableName, ...] = ()
    encoding: str = "UTF8"


def schema_hash(*schemas: Schema) -> str:
    """SHA-256 (64 hex digits) over everything that shapes rows in these tables; object ids and order do not count.

    Pass both sides, in either order, to get the value a verdict carries.
    """
    described = [
        json.dumps({str(name): _shape(table) for name, table in schema.tables.items()}, sort_keys=True)
        for schema in schemas
    ]
    return hashlib.sha256("\n".join(sorted(described)).encode()).hexdigest()


def _shape(table: Table) -> dict[str, object]:
    shape = asdict(table)
    shape["columns"] = sorted((asdict(column) for column in table.columns), key=lambda column: column["name"])
    for column in shape["columns"]:
        del column["type_oid"], column["type_modifier"]
    for side in ("foreign_keys_out", "foreign_keys_in"):
        shape[side] = sorted(shape[side], key=lambda key: (str(key["table"]), key["name"]))
    return shape
