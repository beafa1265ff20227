"""A database's part of a move as it was at one moment: what a plan was written against. Pure.

`Baseline` is the content of the file beside the plan; every name is as `migration_plans.table_names.plain` has it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnPicture(_Part):
    """`number`: the catalog's (attnum), which a rename keeps. `type`: `format_type` text; `labels`: of an enum."""

    name: str
    number: int
    type: str
    nullable: bool = True
    default: str | None = None
    generated: bool = False
    identity: Literal["", "a", "d"] = ""
    labels: tuple[str, ...] = ()

    def described(self) -> str:
        """As in a CREATE TABLE."""
        parts = [self.type + (f" ({', '.join(self.labels)})" if self.labels else "")]
        parts += ["NOT NULL"] if not self.nullable else []
        parts += ["GENERATED ALWAYS AS (…) STORED"] if self.generated else []
        parts += [{"a": "ALWAYS AS IDENTITY", "d": "BY DEFAULT AS IDENTITY"}[self.identity]] if self.identity else []
        parts += [f"DEFAULT {self.default}"] if self.default is not None else []
        return " ".join(parts)


class TablePicture(_Part):
    """`oid`: the catalog's, which a rename keeps and a table made anew does not. `key`: of the primary key, in order.

    `constraints`: checks, unique and exclusion constraints and unique indexes by name, as SQL. `replica_identity`: the
    catalog's letter (d n f i).
    """

    oid: int
    columns: tuple[ColumnPicture, ...]
    key: tuple[str, ...] = ()
    constraints: dict[str, str] = {}
    partitioned: bool = False
    replica_identity: str = "d"

    def named(self, name: str) -> ColumnPicture | None:
        return next((column for column in self.columns if column.name == name), None)


class ForeignKeyPicture(_Part):
    """`in`: a table that stays refers to a moved one. `inner`: a moved one does. `on_delete`: the catalog's letter."""

    name: str
    direction: Literal["in", "out", "inner"]
    table: str
    columns: tuple[str, ...]
    ref_table: str
    ref_columns: tuple[str, ...]
    on_delete: str = "a"
    on_update: str = "a"

    def described(self) -> str:
        """Both ends, and what happens on a deletion or a change of the key."""
        text = f"{self.table} ({', '.join(self.columns)}) → {self.ref_table} ({', '.join(self.ref_columns)})"
        text += f" ON DELETE {ACTIONS[self.on_delete]}" if self.on_delete in ACTIONS else ""
        return text + (f" ON UPDATE {ACTIONS[self.on_update]}" if self.on_update in ACTIONS else "")


ACTIONS: Mapping[str, str] = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


class DependentPicture(_Part):
    """A view, trigger or function that uses moved tables. `digest`: of its definition, and of a trigger's function."""

    kind: str
    name: str
    tables: tuple[str, ...]
    digest: str = ""


class SchemaPicture(_Part):
    """One side's tables. `database`: tells whether object ids and column numbers of two pictures can be compared.

    `renamed`: tables, under the names of an earlier picture → what they are called now.
    """

    database: str
    tables: dict[str, TablePicture] = {}
    renamed: dict[str, str] = {}
    foreign_keys: tuple[ForeignKeyPicture, ...] = ()
    """Those that cross the cut."""
    inner_keys: tuple[ForeignKeyPicture, ...] = ()
    """Those between moved tables; of equal ones of several partitions the first."""
    dependents: tuple[DependentPicture, ...] = ()


class Baseline(_Part):
    """What was there when a person last said that the plan fits. `service`: None when its database was not there yet.

    `writes_on_both_sides`: functionalities known to write moved tables and others in one transaction; None when there
    were no facts.
    """

    form: Literal[1]
    move: str
    taken_at: datetime
    legacy: SchemaPicture
    service: SchemaPicture | None = None
    writes_on_both_sides: tuple[str, ...] | None = None
