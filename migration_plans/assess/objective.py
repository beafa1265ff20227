"""What a decomposition costs, and what it gains. Pure.

The burden is the mean of what is known of: calls to further services, sagas, their compensations, cut foreign keys and
cut joins; each as a share of what it would be with every table a service of its own. Concentration is the sum of the
services' squared shares of the tables. So one big service has a burden of 0 and a concentration of 1, and single
tables a burden of 1 and a concentration near 0: neither end wins by itself, as it does when only one is looked at.

Functionalities are weighed by the damped number of calls: a rare job that spans services has to be rebuilt just as a
frequent one has.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import Facts, FloatArray, Offsets
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.touches import Touches

BoolMatrix = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Of one decomposition. Weights are damped calls."""

    hops: float
    """Calls to further services, over all functionalities."""
    sagas: float
    """Transactions that write in more than one service."""
    compensations: float
    """Services written besides the last, over all transactions."""
    foreign_keys: float
    """That lead from one service to another."""
    joins: float
    """Of tables in more than one service."""
    concentration: float
    """1 for one service, 1 ÷ services for equal ones."""

    def burden(self, worst: "Costs") -> float:
        """From 0 to 1. `worst`: with every table a service of its own."""
        shares = [
            (self.hops, worst.hops),
            (self.sagas, worst.sagas),
            (self.compensations, worst.compensations),
            (self.foreign_keys, worst.foreign_keys),
            (self.joins, worst.joins),
        ]
        known = [part / whole for part, whole in shares if whole]
        return sum(known) / len(known) if known else 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Patterns:
    """Different sets of services, and the weight of all that have the same one. Rows × services."""

    members: BoolMatrix
    weight: FloatArray

    def spread(self, groups: BoolMatrix) -> Offsets:
        """Different groups per row. `groups`: services × groups, each service in one."""
        counts: Offsets = ((self.members.astype(np.float32) @ groups.astype(np.float32)) > 0).sum(axis=1)
        return counts


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Workload:
    """What goes on among services (or single tables), small enough to try many groupings of them."""

    visited: Patterns
    """By functionalities."""
    written: Patterns
    """By transactions."""
    joined: Patterns
    foreign_keys: FloatArray
    """Services × services: how many lead from one to the other."""
    sizes: FloatArray
    """Tables per service."""

    def costs(self, group_of: Offsets) -> Costs:
        """With these services grouped; numbers 0, 1, … per service."""
        groups = np.zeros((len(group_of), int(group_of.max()) + 1), dtype=bool)
        groups[np.arange(len(group_of)), group_of] = True
        written = self.written.spread(groups)
        across = group_of[:, None] != group_of[None, :]
        shares = np.bincount(group_of, weights=self.sizes) / self.sizes.sum()
        return Costs(
            hops=float(self.visited.weight @ np.maximum(self.visited.spread(groups) - 1, 0)),
            sagas=float(self.written.weight[written > 1].sum()),
            compensations=float(self.written.weight @ np.maximum(written - 1, 0)),
            foreign_keys=float(self.foreign_keys[across].sum()),
            joins=float(self.joined.weight[self.joined.spread(groups) > 1].sum()),
            concentration=float((shares**2).sum()),
        )


def worst_costs(facts: Facts, used: Touches) -> Costs:
    """With every table a service of its own."""
    visited = _sizes(used.functionality, used.table, len(used.functionality_weight), len(facts.tables))
    written = _sizes(
        used.transaction[used.written], used.table[used.written], len(used.transaction_weight), len(facts.tables)
    )
    return Costs(
        hops=float(used.functionality_weight @ np.maximum(visited - 1, 0)),
        sagas=float(used.transaction_weight[written > 1].sum()),
        compensations=float(used.transaction_weight @ np.maximum(written - 1, 0)),
        foreign_keys=float(sum(key.source != key.target for key in facts.foreign_keys)),
        joins=float(sum(len(tables) > 1 for tables, _ in facts.joins)),
        concentration=1 / len(facts.tables),
    )


def workload(facts: Facts, used: Touches, services: ServiceMap) -> Workload:
    """Of these services."""
    count = len(services.names)
    service = services.of_table[used.table].astype(np.int64)
    foreign_keys = np.zeros((count, count))
    for key in facts.foreign_keys:
        foreign_keys[services.of_table[key.source], services.of_table[key.target]] += 1
    joined = [(int(services.of_table[table]), row) for row, (tables, _) in enumerate(facts.joins) for table in tables]
    return Workload(
        visited=_patterns(used.functionality, service, used.functionality_weight, count),
        written=_patterns(used.transaction[used.written], service[used.written], used.transaction_weight, count),
        joined=_patterns(
            np.array([row for _, row in joined], dtype=np.int64),
            np.array([table for table, _ in joined], dtype=np.int64),
            np.ones(len(facts.joins)),
            count,
        ),
        foreign_keys=foreign_keys,
        sizes=np.bincount(services.of_table, minlength=count).astype(np.float64),
    )


def _sizes(row: Offsets, table: Offsets, rows: int, tables: int) -> Offsets:
    """Different tables per row."""
    return np.bincount(np.unique(row * tables + table) // tables, minlength=rows)


def _patterns(row: Offsets, service: Offsets, weight: FloatArray, services: int) -> Patterns:
    """Rows that use one service only cost nothing, however services are grouped: they are left out."""
    key = np.unique(row * services + service)
    row, service = np.divmod(key, services)
    several = np.bincount(row, minlength=len(weight)) > 1
    kept = several[row]
    number = np.cumsum(several) - 1
    members = np.zeros((int(several.sum()), services), dtype=bool)
    members[number[row[kept]], service[kept]] = True
    packed = np.packbits(members, axis=1)
    different, first, of_pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return Patterns(
        members=members[first],
        weight=np.bincount(of_pattern.reshape(-1), weights=weight[several], minlength=len(different)).astype(
            np.float64
        ),
    )
