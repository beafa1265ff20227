"""Facts about a monolith in the form that everything else of the assessment computes with. Pure.

Accesses of all functionalities lie in one array, 4 bytes each: five million of them are 20 MB. A code is
`2 × table + 1` for a write and `2 × table` for a read, where `table` is an index into `tables`.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from migration_plans.assess.document import ForeignKeyFacts, FunctionalityFacts, Surroundings, TableFacts
from migration_plans.errors import FactsInvalid

IntArray = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_TABLES = 100_000
"""More than any schema has; a table's index has to fit an access code."""


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Facts:
    """One monolith. Tables in the order of their names, functionalities in that of the document."""

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


def build_facts(functionalities: Iterable[tuple[str, FunctionalityFacts]], surroundings: Surroundings) -> Facts:
    """Join and check. Raises `FactsInvalid` for a table that is not among `tables`, and when no table is named at all.

    Functionalities are consumed one by one: only their codes are kept.
    """
    names = _Names(surroundings)
    gathered = _Gathered()
    for name, functionality in functionalities:
        gathered.add(name, functionality, names)
    foreign_keys = [
        ForeignKey(
            source=names.indexes([key.source], f"foreign_keys.{number}.from")[0],
            target=names.indexes([key.target], f"foreign_keys.{number}.to")[0],
            columns=key.columns,
            on_delete=(key.on_delete or "NO ACTION").upper(),
            inferred=key.inferred,
            identifying=_is_identifying(key, surroundings),
        )
        for number, key in enumerate(surroundings.foreign_keys)
    ]
    bonds = [
        Bond(kind=kind, name=name, tables=frozenset(tables), calls=calls)
        for kind, name, tables, calls in _bonds(surroundings, names)
    ]
    must_link = [names.indexes(group, "hints.must_link") for group in surroundings.hints.must_link]
    cannot_link = [names.indexes(group, "hints.cannot_link") for group in surroundings.hints.cannot_link]
    _check_hints(must_link, cannot_link, list(names.known))
    if not names.known:
        raise FactsInvalid(
            thing="facts",
            reason="no table is named anywhere",
            mend="give functionalities with their accesses, or tables",
        )
    order = sorted(names.known)
    rank = np.empty(len(order), dtype=np.int32)
    for position, table in enumerate(order):
        rank[names.known[table]] = position
    codes = np.frombuffer(gathered.codes, dtype=np.int32)
    ranked = tuple(replace(bond, tables=frozenset(int(rank[table]) for table in bond.tables)) for bond in bonds)
    return Facts(
        tables=tuple(order),
        described=surroundings.tables or {},
        functionalities=tuple(gathered.names),
        calls=np.array(gathered.calls, dtype=np.float64),
        accesses=2 * rank[codes >> 1] + (codes & 1),
        transaction_starts=np.array(gathered.transaction_starts, dtype=np.int64),
        functionality_starts=np.array(gathered.functionality_starts, dtype=np.int64),
        foreign_keys=tuple(
            ForeignKey(
                source=int(rank[key.source]),
                target=int(rank[key.target]),
                columns=key.columns,
                on_delete=key.on_delete,
                inferred=key.inferred,
                identifying=key.identifying,
            )
            for key in foreign_keys
        ),
        joins=tuple((bond.tables, bond.calls) for bond in ranked if bond.kind != "routine"),
        bonds=ranked,
        columns=tuple(
            ColumnUse(functionality=functionality, table=int(rank[table]), read=read, written=written)
            for functionality, table, read, written in gathered.columns
        ),
        must_link=tuple(tuple(int(rank[table]) for table in group) for group in must_link),
        cannot_link=tuple(tuple(int(rank[table]) for table in group) for group in cannot_link),
    )


def _is_identifying(key: ForeignKeyFacts, surroundings: Surroundings) -> bool:
    described = (surroundings.tables or {}).get(key.source)
    return described is not None and bool(key.columns) and set(key.columns) < set(described.primary_key)


def linked(tables: int, groups: Iterable[tuple[int, ...]]) -> list[int]:
    """Per table, a table that stands for all that are linked with it; chains of links count."""
    root = list(range(tables))

    def find(table: int) -> int:
        while root[table] != table:
            root[table] = root[root[table]]
            table = root[table]
        return table

    for group in groups:
        for one, other in pairwise(group):
            root[find(other)] = find(one)
    return [find(table) for table in range(tables)]


def _check_hints(must_link: list[tuple[int, ...]], cannot_link: list[tuple[int, ...]], names: list[str]) -> None:
    stands_for = linked(len(names), must_link)
    for group in cannot_link:
        seen: dict[int, int] = {}
        for table in group:
            other = seen.setdefault(stands_for[table], table)
            if other != table:
                raise FactsInvalid(
                    thing="hints",
                    reason=f"{names[other]!r} and {names[table]!r} must be linked and must not be",
                    mend="take one of the two hints out",
                )


class _Names:
    """Tables by name, numbered as they are met; closed when the document lists its tables."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.closed = surroundings.tables is not None
        self.known = {name: number for number, name in enumerate(surroundings.tables or ())}

    def index(self, name: str, where: Callable[[], str]) -> int:
        number = self.known.get(name)
        if number is not None:
            return number
        if self.closed:
            close = difflib.get_close_matches(name, self.known, n=1)
            meant = f"did you mean {close[0]!r}? Otherwise " if close else ""
            raise FactsInvalid(
                thing=where(),
                reason=f"table {name!r} is not among `tables`",
                mend=f"{meant}add it to `tables`, or leave `tables` out altogether",
            )
        if len(self.known) >= MAX_TABLES:
            raise FactsInvalid(
                thing=where(), reason=f"more than {MAX_TABLES} tables", mend="assess one schema at a time"
            )
        return self.known.setdefault(name, len(self.known))

    def indexes(self, names: Iterable[str], where: str) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.index(name, lambda: where) for name in names))


class _Gathered:
    """Functionalities as they come in, in growing arrays."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.calls: list[float] = []
        self.codes = bytearray()
        self.transaction_starts = [0]
        self.functionality_starts = [0]
        self.columns: list[tuple[int, int, tuple[str, ...], tuple[str, ...]]] = []
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Lists of columns that were met before: there are few different ones."""

    def add(self, name: str, functionality: FunctionalityFacts, names: _Names) -> None:
        if not name or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise FactsInvalid(
                thing=f"functionalities.{name!a}",
                reason="is no name",
                mend="name it in whole characters, not in halves",
            )

        def where() -> str:
            return f"functionalities.{name}"

        for table, columns in functionality.columns.items():
            read, written = (self._same.setdefault(some, some) for some in (columns.read, columns.written))
            self.columns.append((len(self.names), names.index(table, where), read, written))
        known = names.known
        for transaction in functionality.transactions:
            if not transaction:
                continue
            codes = [
                2 * (known[table] if table in known else names.index(table, where)) + (mode == "W")
                for table, mode in transaction
            ]
            self.codes += np.array(codes, dtype=np.int32).tobytes()
            self.transaction_starts.append(len(self.codes) // 4)
        self.names.append(name)
        self.calls.append(functionality.calls)
        self.functionality_starts.append(len(self.transaction_starts) - 1)


_Bond = tuple[Literal["statement", "view", "trigger", "routine"], str, tuple[int, ...], float]


def _bonds(surroundings: Surroundings, names: _Names) -> Iterator[_Bond]:
    for join in surroundings.joins:
        yield "statement", join.functionality or "", names.indexes(join.tables, "joins"), join.calls
    for name, view in surroundings.views.items():
        yield "view", name, names.indexes(view.tables, f"views.{name}"), 1.0
    for name, trigger in surroundings.triggers.items():
        yield "trigger", name, names.indexes((trigger.table, *trigger.tables), f"triggers.{name}"), 1.0
    for name, routine in surroundings.routines.items():
        tables = [access.table for access in routine.accesses]
        yield "routine", name, names.indexes(tables, f"routines.{name}"), 1.0
