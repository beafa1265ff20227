"""Facts about a monolith in the form that everything else of the assessment computes with. Pure.

Accesses of all functionalities lie in one array, 4 bytes each: five million of them are 20 MB. A code is
`2 × table + 1` for a write and `2 × table` for a read, where `table` is an index into `tables`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from migration_plans.assess.document import TableFacts

IntArray = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignKey:
    """From table to table, by index."""

    source: int
    target: int
    columns: tuple[str, ...]
    on_delete: str
    inferred: bool
    identifying: bool
    """The source's primary key holds these columns and more: its rows are told by those that they are parts of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bond:
    """A statement, view, trigger or routine that binds tables, by index. A statement's name is its functionality."""

    kind: Literal["statement", "view", "trigger", "routine"]
    name: str
    tables: frozenset[int]
    calls: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnUse:
    """Columns of one table that one functionality uses; both by index."""

    functionality: int
    table: int
    read: tuple[str, ...]
    written: tuple[str, ...]


ChangeKind = Literal["insert", "update", "delete"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What the writes of one functionality do to one table; both by index."""

    functionality: int
    table: int
    kind: ChangeKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A lock that statements of one functionality ask for, by index; no table for an advisory one."""

    functionality: int
    table: int | None
    strength: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Facts:
    """One monolith. Tables and functionalities in the order of their names."""

    tables: tuple[str, ...]
    described: Mapping[str, TableFacts]
    functionalities: tuple[str, ...]
    calls: FloatArray
    accesses: IntArray
    """Codes, in order of access."""
    transaction_starts: Offsets
    """Where each transaction's accesses begin, and the end: one more than there are transactions."""
    functionality_starts: Offsets
    """Where each functionality's transactions begin, and the end."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    joins: tuple[tuple[frozenset[int], float], ...] = ()
    """Tables that one statement, view or trigger binds, and how often."""
    bonds: tuple[Bond, ...] = ()
    """The same with their names, and the database's routines."""
    columns: tuple[ColumnUse, ...] = ()
    changes: tuple[Change, ...] = ()
    locks: tuple[Lock, ...] = ()
    held_ms: FloatArray
    """Per functionality: how long its transactions hold locks, in the mean; NaN when it is not known."""
    must_link: tuple[tuple[int, ...], ...] = ()
    cannot_link: tuple[tuple[int, ...], ...] = ()

    @property
    def functionality_of_transaction(self) -> Offsets:
        """Index of the functionality, per transaction."""
        return np.repeat(np.arange(len(self.functionalities)), np.diff(self.functionality_starts))

    @property
    def transaction_of_access(self) -> Offsets:
        """Index of the transaction, per access."""
        return np.repeat(np.arange(len(self.transaction_starts) - 1), np.diff(self.transaction_starts))

    @property
    def functionality_of_access(self) -> Offsets:
        """Index of the functionality, per access."""
        return np.repeat(
            np.arange(len(self.functionalities)), np.diff(self.transaction_starts[self.functionality_starts])
        )


def linked(tables: int, groups: Iterable[tuple[int, ...]]) -> list[int]:
    """Per table, the first of all that are linked with it; chains of links count."""
    root = list(range(tables))

    def find(table: int) -> int:
        while root[table] != table:
            root[table] = root[root[table]]
            table = root[table]
        return table

    for group in groups:
        for one, other in pairwise(group):
            first, second = sorted((find(one), find(other)))
            root[second] = first
    return [find(table) for table in range(tables)]
