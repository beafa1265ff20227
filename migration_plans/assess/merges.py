"""Services that had better stay one: their transactions must stay together, and merging costs less than sagas. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from migration_plans.assess.objective import Costs, Workload
from migration_plans.assess.service_map import ServiceMap

_TRIED_MOST = 200
"""Pairs, those with the most sagas first; each is tried on the whole workload."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Two services that write in the same transactions, and what changes when they become one: below 0 is less."""

    services: tuple[str, str]
    sagas: float
    hops: float
    foreign_keys: float
    joins: float
    burden: float
    concentration: float
    advised: bool
    reason: str


def find_merges(work: Workload, services: ServiceMap, worst: Costs) -> tuple[Merge, ...]:
    """Pairs of which a merge makes some transaction whole, or gains more than it costs; the best first."""
    count = len(services.names)
    home = np.arange(count)
    before = work.costs(home)
    result: list[Merge] = []
    for first, second in _pairs(work):
        if count < 2:
            break
        merged = home.copy()
        merged[second] = first
        after = work.costs(np.unique(merged, return_inverse=True)[1])
        burden = after.burden(worst) - before.burden(worst)
        concentration = after.concentration - before.concentration
        advised = -burden > concentration
        saved = before.sagas - after.sagas
        reason = (
            f"the burden falls by {-burden:.3f} and concentration rises by {concentration:.3f} only: keep the "
            "transactions whole"
            if advised
            else f"the burden falls by {-burden:.3f}, but concentration rises by {concentration:.3f}: a saga is cheaper"
        )
        if not saved and not advised:
            continue
        result.append(
            Merge(
                services=(services.names[first], services.names[second]),
                sagas=after.sagas - before.sagas,
                hops=after.hops - before.hops,
                foreign_keys=after.foreign_keys - before.foreign_keys,
                joins=after.joins - before.joins,
                burden=burden,
                concentration=concentration,
                advised=advised,
                reason=reason,
            )
        )
    return tuple(sorted(result, key=lambda merge: (merge.burden + merge.concentration, merge.services)))


def _pairs(work: Workload) -> Iterable[tuple[int, int]]:
    weights: dict[tuple[int, int], float] = defaultdict(float)
    for members, weight in zip(work.written.members, work.written.weight.tolist(), strict=True):
        for pair in combinations(np.flatnonzero(members).tolist(), 2):
            weights[pair] += weight
    return sorted(weights, key=lambda pair: (-weights[pair], pair))[:_TRIED_MOST]
