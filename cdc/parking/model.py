"""What is parked, as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cdc.events import RowChange, TableName, Truncate
from cdc.lsn import Lsn


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A foreign key of a target table. `exact`: `parent_columns` are the parent's primary key, and equal values have
    equal texts on both sides."""

    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRules:
    """The constraints of a target table by which rows depend on one another.

    `uniques`: columns of each unique constraint besides the primary key. `exact`: equal keys and unique values have
    equal texts, and no constraint is an expression or an exclusion; where that is not so, everything in the table waits
    behind a parked row of it.
    """

    uniques: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    exact: bool = True


ParkedState = Literal["refused", "waiting"]
"""`refused`: the target or the mapping said no; a person has to act. `waiting`: held behind one that was refused."""

RequestKind = Literal["retry", "skip"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a row was parked. `code`: SQLSTATE or the driver's error number; empty when no database said it."""

    thing: str
    reason: str
    mend: str
    code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewParked:
    """Source events that park together, losslessly: usually one; several only where they fill one target row.

    `order`: (commit_lsn, index of the first event in its transaction). `key`: the source row's primary key, empty for a
    truncate. `lenient`: the table was being copied, so an update or delete that meets no row is right.
    `whole_table`: the table's form changed; all its events wait until the mapping was adapted.
    """

    table: TableName
    key: Mapping[str, str | None]
    order: tuple[Lsn, int]
    events: tuple[RowChange | Truncate, ...]
    state: ParkedState
    refusal: Refusal
    lenient: bool = False
    whole_table: bool = False

    @property
    def operation(self) -> str:
        """`c`, `u`, `d`, `r`, `t`, of the first event."""
        first = self.events[0]
        return first.op if isinstance(first, RowChange) else "t"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedRow:
    """One that is durable in the target. `id` grows in the order of the events."""

    id: int
    parked: NewParked
    parked_at: datetime | None = None
    attempts: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedRequest:
    """What a person asked for: try `id` again, or leave it out for good (`skip`), `by` whom and for which `reason`."""

    id: int
    kind: RequestKind
    by: str = ""
    reason: str = ""
