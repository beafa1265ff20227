"""Rows that many transactions wait for: what is locked, by whom, for how long. Pure.

A lock that transactions of several services share is the hardest tie of all: no lock reaches over two databases. What
holds a row is an explicit lock (`FOR UPDATE`, `LOCK TABLE`, an advisory one) or an update or deletion of it; inserts
hold nothing that others want. Rows of small tables are wanted by more at once: a counter is one row for everybody.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from migration_plans.assess.usage import Usage

_EXAMPLES_MOST = 3
_CHANGERS_LEAST = 3
"""Functionalities of one service that change the same rows, from which on that is worth a look."""
_COUNTER_ROWS_MOST = 10
"""Rows of a table in which two that change one are likely to want the same."""
_SHARED = ("SHARE", "KEY SHARE", "TABLE ACCESS SHARE", "TABLE ROW SHARE")
"""Strengths that do not shut each other out."""
ADVISORY = "(advisory lock)"


@dataclass(frozen=True, kw_only=True, slots=True)
class HotLock:
    """`table` is `ADVISORY` for locks that no table has; `owner` is empty then."""

    table: str
    owner: str
    strengths: tuple[str, ...]
    """Of explicit locks; none when rows are locked by changing them only."""
    functionalities: int
    examples: tuple[str, ...]
    """Functionalities, the most called first."""
    calls: dict[str, float]
    """That lock it, by service of home."""
    rows: int | None
    calls_per_row: float | None
    """The more, the likelier that two want the same row at once."""
    held_ms: float | None
    """Mean time that one of these calls holds its locks at least; None when the facts do not tell."""
    advice: str


@dataclass(kw_only=True, slots=True)
class _Locked:
    by: set[int] = field(default_factory=set)
    strengths: dict[str, None] = field(default_factory=dict)


def hot_locks(use: Usage) -> Iterator[HotLock]:
    """Those that are waited for the longest first; bulk jobs do not count. Empty where facts tell of no locks."""
    found = [
        _hot_lock(use, table, locked) for table, locked in sorted(_locked(use).items()) if _is_hot(use, table, locked)
    ]
    yield from sorted(found, key=lambda lock: (-_waiting(lock), lock.table))


def _locked(use: Usage) -> dict[int, _Locked]:
    """By table; -1 is none."""
    result: dict[int, _Locked] = defaultdict(_Locked)
    for lock in use.facts.locks:
        if lock.strength not in _SHARED and not use.is_bulk[lock.functionality]:
            locked = result[-1 if lock.table is None else lock.table]
            locked.by.add(lock.functionality)
            locked.strengths[lock.strength] = None
    for change in use.facts.changes:
        if change.kind != "insert" and not use.is_bulk[change.functionality]:
            result[change.table].by.add(change.functionality)
    return result


def _is_hot(use: Usage, table: int, locked: _Locked) -> bool:
    """A whole table or a number, or rows that several want: of other services, by a lock, or where there are few."""
    if any(strength.startswith(("TABLE", "ADVISORY")) for strength in locked.strengths):
        return True
    services = {int(use.home[functionality]) for functionality in locked.by}
    rows = _rows(use, table)
    is_counter = rows is not None and rows <= _COUNTER_ROWS_MOST
    least = 2 if locked.strengths or len(services) > 1 or is_counter else _CHANGERS_LEAST
    return len(locked.by) >= least


def _hot_lock(use: Usage, table: int, locked: _Locked) -> HotLock:
    facts = use.facts
    calls: dict[str, float] = defaultdict(float)
    for functionality in sorted(locked.by):
        calls[use.services.names[int(use.home[functionality])]] += float(facts.calls[functionality])
    by_calls = sorted(locked.by, key=lambda functionality: (-facts.calls[functionality], functionality))
    name = ADVISORY if table < 0 else facts.tables[table]
    owner = "" if table < 0 else use.services.names[use.service_of(table)]
    rows = _rows(use, table)
    total = sum(calls.values())
    return HotLock(
        table=name,
        owner=owner,
        strengths=tuple(sorted(locked.strengths)),
        functionalities=len(locked.by),
        examples=tuple(facts.functionalities[functionality] for functionality in by_calls[:_EXAMPLES_MOST]),
        calls=dict(sorted(calls.items())),
        rows=rows,
        calls_per_row=None if rows is None else round(total / max(rows, 1), 4),
        held_ms=_held_ms(use, by_calls),
        advice=_advice(owner, calls, locked),
    )


def _rows(use: Usage, table: int) -> int | None:
    described = None if table < 0 else use.facts.described.get(use.facts.tables[table])
    return None if described is None else described.rows


def _held_ms(use: Usage, functionalities: list[int]) -> float | None:
    """The mean over all calls of those that are known."""
    held = use.facts.held_ms[functionalities]
    known = ~np.isnan(held)
    weight = use.facts.calls[functionalities][known]
    if not known.any():
        return None
    return round(float(np.average(held[known], weights=weight if weight.sum() else None)), 3)


def _advice(owner: str, calls: dict[str, float], locked: _Locked) -> str:
    others = [service for service in calls if service != owner]
    if not owner:
        return "guard a row of the service that owns what is guarded: the number means nothing in another database"
    if any(strength.startswith("TABLE") for strength in locked.strengths):
        return f"everybody waits for everybody: lock the rows, within {owner}"
    if not others:
        return f"stays within {owner}: keep these transactions short, and in one order"
    ask = "asks" if len(others) == 1 else "ask"
    return (
        f"no lock reaches over two databases: {', '.join(others)} {ask} {owner}, which decides in a short transaction "
        "of its own; what lasts longer is a state of the row"
    )


def _waiting(lock: HotLock) -> float:
    """For sorting only: calls, times what each holds, by the rows among which they spread."""
    return sum(lock.calls.values()) * (lock.held_ms or 1.0) / max(lock.rows or 1, 1)
