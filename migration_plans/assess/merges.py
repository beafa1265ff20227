"""Services that had better stay one: their transactions must stay together, and merging costs less than sagas. Pure."""

from dataclasses import dataclass

import numpy as np

from migration_plans.assess.objective import Costs, Workload
from migration_plans.assess.service_map import ServiceMap

_TRIED_MOST = 200
"""Sets of services, those with the most sagas first; each is tried on the whole workload."""
_MERGED_MOST = 4
"""Services; to merge more of them is to keep the monolith."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Services that some transactions write, and what changes when they become one: below 0 is less."""

    services: tuple[str, ...]
    sagas: float
    hops: float
    foreign_keys: float
    joins: float
    burden: float
    concentration: float
    advised: bool
    reason: str


def find_merges(work: Workload, services: ServiceMap, worst: Costs) -> tuple[Merge, ...]:
    """For every set of services that a transaction writes, and nothing else: merged, it stays whole. The best first."""
    home = np.arange(len(services.names))
    before = work.costs(home)
    heaviest = np.argsort(-work.written.weight, kind="stable").tolist()
    sets = [np.flatnonzero(work.written.members[row]).tolist() for row in heaviest]
    result: list[Merge] = []
    for members in [members for members in sets if len(members) <= _MERGED_MOST][:_TRIED_MOST]:
        merged = home.copy()
        merged[members] = members[0]
        after = work.costs(np.unique(merged, return_inverse=True)[1])
        burden = after.burden(worst) - before.burden(worst)
        concentration = after.concentration - before.concentration
        advised = -burden > concentration
        result.append(
            Merge(
                services=tuple(services.names[member] for member in members),
                sagas=after.sagas - before.sagas,
                hops=after.hops - before.hops,
                foreign_keys=after.foreign_keys - before.foreign_keys,
                joins=after.joins - before.joins,
                burden=burden,
                concentration=concentration,
                advised=advised,
                reason=f"the burden falls by {-burden:.3f} and concentration rises by {concentration:.3f}: "
                + ("keep the transactions whole" if advised else "a saga costs less than services that cannot part"),
            )
        )
    return tuple(sorted(result, key=lambda merge: (merge.burden + merge.concentration, merge.services)))
