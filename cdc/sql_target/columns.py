"""What a column of a target that is not PostgreSQL can hold. Pure; `cdc.sql_target.catalog` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cdc.apply_batch import Batching
from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.parking.model import TableRules

Dialect = Literal["mysql", "sqlite", "generic"]
"""`mysql` stands for MariaDB too."""

Kind = Literal[
    "integer",
    "numeric",
    "float",
    "boolean",
    "text",
    "bytes",
    "date",
    "time",
    "datetime",
    "json",
    "enum",
    "bit",
    "uuid",
    "unknown",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlColumn:
    """One column.

    - `declared`: its type as the database prints it, for messages.
    - `low`, `high`: the range of an integer. `precision`, `scale`: of a decimal; None is unlimited.
    - `length`: characters of a text, bytes of `bytes`, bits of a bit string or of a float's mantissa. `octets`: bytes
      of a text in UTF-8. `fixed`: shorter values are padded.
    - `fraction`: digits of a second that are kept. `labels`: of an enum.
    - `folded`: values with different texts may be equal (case, accents, trailing blanks).
    - `stored_as_text`: JSON is kept as it was written, not parsed. `numeric_affinity`: SQLite turns text that looks
      like a number into one. `touched_by_update`: takes the current time whenever an update does not set it.
    """

    name: str
    kind: Kind
    declared: str
    nullable: bool = True
    generated: bool = False
    low: int | None = None
    high: int | None = None
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    octets: int | None = None
    fixed: bool = False
    fraction: int = 6
    labels: tuple[str, ...] = ()
    folded: bool = False
    stored_as_text: bool = True
    numeric_affinity: bool = False
    touched_by_update: bool = False
    zoned: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlTable:
    """One table as its catalog has it. `triggers`: names of those that would fire on apply."""

    table: TableName
    columns: Mapping[str, SqlColumn]
    primary_key: tuple[str, ...]
    rules: TableRules = field(default_factory=TableRules)
    triggers: tuple[str, ...] = ()
    checks_foreign_keys: bool = False
    without_rollback: bool = False
    known_types: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> SqlColumn:
        try:
            return self.columns[name]
        except KeyError:
            raise SchemaChanged(
                thing=f"target column {self.table}.{name}",
                reason="does not exist",
                mend="restore the column, or change the mapping in the plan and copy the table again",
            ) from None

    @property
    def batching(self) -> Batching:
        """How rows may share a statement: keys of which two texts may be equal are written one by one."""
        if not all(canonical_key(self.columns[name], self.known_types.get(name)) for name in self.primary_key):
            return "one"
        return "in_order" if self.rules.uniques or not self.rules.exact else "any"


def canonical_key(column: SqlColumn, source_type: str | None) -> bool:
    """Equal values of this key column have equal texts."""
    if column.kind == "text":
        return not column.folded or source_type == "uuid"
    return column.kind in ("integer", "boolean", "bytes", "date", "datetime", "enum", "uuid", "bit")
