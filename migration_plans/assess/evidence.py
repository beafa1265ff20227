"""What speaks for keeping tables together: rows of tables used at once, and foreign keys. Pure.

A row is a transaction, a functionality of several transactions, or a join. Must-linked tables are one *unit* from
here on. What a functionality does in one transaction is what it does together: as a whole it counts only as far as its
transactions tell nothing, because each uses one table (as where every statement commits by itself). What a bulk job
does counts the less the more of all tables it uses: what uses nearly everything tells next to nothing of what belongs
together.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import Facts, FloatArray, IntArray, Offsets, linked
from migration_plans.assess.smells import bulk_jobs, hub_tables
from migration_plans.assess.touches import Touches, damped_calls

BoolArray = npt.NDArray[np.bool_]

_LEAST_TELLING = 0.01
"""What only such jobs use, and a hub itself, is still bound to something."""

_IDENTIFYING_WEIGHT = 4.0
"""A row that cannot even be told without its parent is a part of it, however many other parts the parent has."""
_PART_OF_WEIGHT = 2.0
"""A row that is deleted with its parent is a part of it."""
_PLAIN_WEIGHT = 1.0
_LOOSE_WEIGHT = 0.5
"""A reference that may be emptied, or that nobody declared."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """Rows of units; `weight` is the damped number of calls."""

    units: int
    unit_of: IntArray
    """Per table."""
    used: IntArray
    """Units of all rows, each once per row."""
    written: BoolArray
    """Whether the row writes the unit, beside `used`."""
    starts: Offsets
    """Where each row begins, and the end."""
    weight: FloatArray
    """Per row."""
    distinction: FloatArray
    """Per unit: 1, and less for a hub, which everything uses."""
    references: FloatArray
    """Units × units, symmetric: foreign keys by kind, damped where many point to the same."""
    apart: BoolArray
    """Units × units: must not share a service."""
    hubs: Mapping[str, float]
    bulk_jobs: Mapping[str, float]
    """Of `smells`, which count less."""


def gather_evidence(facts: Facts, used: Touches) -> Evidence:
    """All the evidence that the facts hold."""
    unit_of = _units(facts, used)
    count = int(unit_of.max()) + 1
    hubs, bulk = hub_tables(facts, used), bulk_jobs(facts, used)
    row, unit, written, weight = _used_rows(facts, used, unit_of, bulk)
    key = row * count + unit
    order = np.argsort(key, kind="stable")
    first = np.ones(len(order), dtype=bool)
    first[1:] = key[order][1:] != key[order][:-1]
    at = np.flatnonzero(first)
    return Evidence(
        units=count,
        unit_of=unit_of,
        used=unit[order][at].astype(np.int32),
        written=np.logical_or.reduceat(written[order], at) if len(at) else np.zeros(0, dtype=bool),
        starts=np.searchsorted(row[order][at], np.arange(len(weight) + 1)),
        weight=weight,
        distinction=_distinction(facts, hubs, unit_of, count),
        references=_references(facts, unit_of, count),
        apart=_apart(facts, unit_of, count),
        hubs=hubs,
        bulk_jobs=bulk,
    )


def unplaced_tables(facts: Facts, used: Touches) -> tuple[int, ...]:
    """Tables of which nothing is known: nobody uses them, and nothing binds them to another table."""
    known = np.zeros(len(facts.tables), dtype=bool)
    known[used.table] = True
    for key in facts.foreign_keys:
        known[[key.source, key.target]] |= key.source != key.target
    for bound in (*facts.must_link, *facts.cannot_link, *(sorted(tables) for tables, _ in facts.joins)):
        known[list(bound)] |= len(bound) > 1
    return tuple(np.flatnonzero(~known).tolist())


def _units(facts: Facts, used: Touches) -> IntArray:
    """Tables that must be linked get the same number; so do those of which nothing is known."""
    groups = (*facts.must_link, unplaced_tables(facts, used))
    return np.unique(linked(len(facts.tables), groups), return_inverse=True)[1].astype(np.int32)


def _used_rows(
    facts: Facts, used: Touches, unit_of: IntArray, bulk: Mapping[str, float]
) -> tuple[Offsets, Offsets, BoolArray, FloatArray]:
    """Row, unit and mode per use, and the weight per row."""
    unit, transactions = unit_of[used.table].astype(np.int64), len(used.transaction_weight)
    number = np.diff(facts.functionality_starts)
    several = number > 1
    telling = _telling(facts, bulk)
    of_transaction = telling / np.sqrt(np.maximum(number, 1))
    whole_weight = (used.functionality_weight * telling * _share_of_single_tables(facts, used))[several]
    of_several = several[used.functionality]
    whole_row = transactions + np.cumsum(several) - 1
    joined = [(table, number) for number, (tables, _) in enumerate(facts.joins) for table in sorted(tables)]
    table = np.array([table for table, _ in joined], dtype=np.int64)
    join = np.array([number for _, number in joined], dtype=np.int64)
    rows = transactions + int(several.sum())
    joins_weight = damped_calls(np.array([calls for _, calls in facts.joins]))
    return (
        np.concatenate([used.transaction, whole_row[used.functionality[of_several]], rows + join]),
        np.concatenate([unit, unit[of_several], unit_of[table]]),
        np.concatenate([used.written, used.written[of_several], np.zeros(len(table), dtype=bool)]),
        np.concatenate(
            [used.transaction_weight * of_transaction[facts.functionality_of_transaction], whole_weight, joins_weight]
        ),
    )


def _telling(facts: Facts, bulk: Mapping[str, float]) -> FloatArray:
    """Per functionality: 1, and for a bulk job that uses the share s of all tables (2 − 2 s)²."""
    return _faded(np.array([bulk.get(name, 0.5) for name in facts.functionalities]))


def _distinction(facts: Facts, hubs: Mapping[str, float], unit_of: IntArray, count: int) -> FloatArray:
    """Per unit: 1, and for one whose tables are all hubs, used by the share s of all functionalities, (2 − 2 s)²."""
    result: FloatArray = np.zeros(count)
    np.maximum.at(result, unit_of, _faded(np.array([hubs.get(name, 0.5) for name in facts.tables])))
    return result


def _faded(shares: FloatArray) -> FloatArray:
    result: FloatArray = np.maximum((2 - 2 * shares) ** 2, _LEAST_TELLING)
    return result


def _share_of_single_tables(facts: Facts, used: Touches) -> FloatArray:
    """Per functionality, the share of its transactions that use one table only."""
    first = np.ones(len(used.table), dtype=bool)
    first[1:] = (used.transaction[1:] != used.transaction[:-1]) | (used.table[1:] != used.table[:-1])
    tables = np.bincount(used.transaction[first], minlength=len(used.transaction_weight))
    transactions = np.diff(facts.functionality_starts)
    single = np.bincount(facts.functionality_of_transaction, weights=tables == 1, minlength=len(transactions))
    share: FloatArray = single / np.maximum(transactions, 1)
    return share


def _references(facts: Facts, unit_of: IntArray, count: int) -> FloatArray:
    result: FloatArray = np.zeros((count, count))
    pairs = [(int(unit_of[key.source]), int(unit_of[key.target]), key) for key in facts.foreign_keys]
    pairs = [(source, target, key) for source, target, key in pairs if source != target]
    pointed_at = np.bincount([target for _, target, key in pairs if not key.identifying], minlength=count)
    parents = Counter(source for source, _, key in pairs if key.identifying)
    for source, target, key in pairs:
        if key.identifying:
            result[source, target] += _IDENTIFYING_WEIGHT / parents[source]
            continue
        weight = _PLAIN_WEIGHT
        if key.on_delete == "CASCADE":
            weight = _PART_OF_WEIGHT
        elif key.inferred or key.on_delete.startswith("SET"):
            weight = _LOOSE_WEIGHT
        result[source, target] += weight / np.sqrt(pointed_at[target])
    return result + result.T


def _apart(facts: Facts, unit_of: IntArray, count: int) -> BoolArray:
    result = np.zeros((count, count), dtype=bool)
    for group in facts.cannot_link:
        units = unit_of[list(group)]
        result[np.ix_(units, units)] = True
    np.fill_diagonal(result, False)
    return result
