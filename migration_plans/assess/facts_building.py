"""From a facts document to `Facts`: names become numbers, and what does not fit together is refused. Pure."""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from typing import Any, Literal, get_args

import numpy as np

from migration_plans.assess.document import ForeignKeyFacts, FunctionalityFacts, Surroundings
from migration_plans.assess.facts import (
    Bond,
    Change,
    ChangeKind,
    ColumnUse,
    Facts,
    ForeignKey,
    IntArray,
    Lock,
    Offsets,
    linked,
)
from migration_plans.errors import FactsInvalid

_BondKind = Literal["statement", "view", "trigger", "routine"]
_KINDS: tuple[_BondKind, ...] = get_args(_BondKind)
MAX_TABLES = 100_000
"""More than any schema has; a table's index has to fit an access code."""


def build_facts(functionalities: Iterable[tuple[str, FunctionalityFacts]], surroundings: Surroundings) -> Facts:
    """Join and check. Raises `FactsInvalid` for a table that is not among `tables`, and when no table is named at all.

    Functionalities are consumed one by one: only their codes are kept. Whatever the document's order, facts are in one
    order: sums of rounded numbers, and draws from them, depend on it.
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
    by_name = sorted(range(len(gathered.names)), key=gathered.names.__getitem__)
    number = dict(zip(by_name, range(len(by_name)), strict=True))
    codes, transaction_starts, functionality_starts = _in_order(gathered, by_name)

    def place(found: tuple[Any, ...]) -> tuple[int, int]:
        """Of functionality and table."""
        return number[found[0]], -1 if found[1] is None else int(rank[found[1]])

    ranked = sorted(
        (replace(bond, tables=frozenset(int(rank[table]) for table in bond.tables)) for bond in bonds),
        key=lambda bond: (_KINDS.index(bond.kind), bond.name, sorted(bond.tables), bond.calls),
    )
    return Facts(
        tables=tuple(order),
        described=surroundings.tables or {},
        functionalities=tuple(gathered.names[old] for old in by_name),
        calls=np.array([gathered.calls[old] for old in by_name], dtype=np.float64),
        accesses=2 * rank[codes >> 1] + (codes & 1),
        transaction_starts=transaction_starts,
        functionality_starts=functionality_starts,
        foreign_keys=tuple(
            sorted(
                (replace(key, source=int(rank[key.source]), target=int(rank[key.target])) for key in foreign_keys),
                key=astuple,
            )
        ),
        joins=tuple((bond.tables, bond.calls) for bond in ranked if bond.kind != "routine"),
        bonds=tuple(ranked),
        columns=tuple(
            ColumnUse(functionality=number[functionality], table=int(rank[table]), read=read, written=written)
            for functionality, table, read, written in sorted(gathered.columns, key=place)
        ),
        changes=tuple(
            Change(functionality=number[functionality], table=int(rank[table]), kind=kind)
            for functionality, table, kind in sorted(gathered.changes, key=place)
        ),
        locks=tuple(
            Lock(
                functionality=number[functionality],
                table=None if table is None else int(rank[table]),
                strength=strength,
            )
            for functionality, table, strength in sorted(gathered.locks, key=place)
        ),
        held_ms=np.array([gathered.held_ms[old] for old in by_name], dtype=np.float64),
        must_link=tuple(tuple(int(rank[table]) for table in group) for group in must_link),
        cannot_link=tuple(tuple(int(rank[table]) for table in group) for group in cannot_link),
    )


def _in_order(gathered: "_Gathered", order: Sequence[int]) -> tuple[IntArray, Offsets, Offsets]:
    """Codes, and where transactions and functionalities begin, with the functionalities in another order."""
    codes = np.frombuffer(gathered.codes, dtype=np.int32)
    transactions = np.diff(gathered.transaction_starts)
    starts = gathered.functionality_starts
    at = gathered.transaction_starts
    parts = [slice(starts[old], starts[old + 1]) for old in order]
    return (
        np.concatenate([codes[:0], *(codes[at[part.start] : at[part.stop]] for part in parts)]),
        np.concatenate([[0], *(transactions[part] for part in parts)]).cumsum(dtype=np.int64),
        np.array([0, *(part.stop - part.start for part in parts)]).cumsum(dtype=np.int64),
    )


def _is_identifying(key: ForeignKeyFacts, surroundings: Surroundings) -> bool:
    described = (surroundings.tables or {}).get(key.source)
    return described is not None and bool(key.columns) and set(key.columns) < set(described.primary_key)


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
        self.changes: list[tuple[int, int, ChangeKind]] = []
        self.locks: list[tuple[int, int | None, str]] = []
        self.held_ms: list[float] = []
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
        self._add_locks(functionality, names, where)
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

    def _add_locks(self, functionality: FunctionalityFacts, names: _Names, where: Callable[[], str]) -> None:
        number = len(self.names)
        changed: tuple[tuple[ChangeKind, tuple[str, ...] | None], ...] = (
            ("insert", functionality.inserts),
            ("update", functionality.updates),
            ("delete", functionality.deletes),
        )
        for kind, tables in changed:
            self.changes += [(number, names.index(table, where), kind) for table in dict.fromkeys(tables or ())]
        for lock in dict.fromkeys(functionality.locks):
            table = names.index(lock.table, where) if lock.table else None
            self.locks.append((number, table, lock.strength.upper()))
        self.held_ms.append(math.nan if functionality.held_ms is None else functionality.held_ms)


_Bond = tuple[_BondKind, str, tuple[int, ...], float]


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
