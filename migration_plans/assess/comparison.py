"""What one cut costs beside another, in figures that a person can follow. Pure."""

from dataclasses import asdict, dataclass

import numpy as np

from migration_plans.assess.complexity import complexities
from migration_plans.assess.facts import Facts
from migration_plans.assess.objective import workload, worst_costs
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.touches import touches


@dataclass(frozen=True, kw_only=True, slots=True)
class CutFigures:
    """Counts, not weighed by calls; `burden` and `concentration` as in `objective`."""

    services: int
    sagas: int
    """Transactions that write in more than one service."""
    compensations: int
    """Services that those write besides the last."""
    hops: int
    """Services that functionalities use besides their first."""
    foreign_keys: int
    joins: int
    complexity: int
    """Sum over all functionalities (INESC-ID, ICSA 2020)."""
    burden: float
    concentration: float


def cut_figures(facts: Facts, services: ServiceMap) -> CutFigures:
    """Of one cut."""
    used, count = touches(facts), len(services.names)
    service = services.of_table[used.table].astype(np.int64)
    written = np.unique(used.transaction[used.written] * count + service[used.written]) // count
    besides = np.maximum(np.bincount(written, minlength=1) - 1, 0)
    visited = np.unique(used.functionality * count + service) // count
    costs = workload(facts, used, services).costs(np.arange(count))
    return CutFigures(
        services=count,
        sagas=int((besides > 0).sum()),
        compensations=int(besides.sum()),
        hops=int(np.maximum(np.bincount(visited, minlength=1) - 1, 0).sum()),
        foreign_keys=int(costs.foreign_keys),
        joins=int(costs.joins),
        complexity=int(complexities(facts, services.of_table).sum()),
        burden=costs.burden(worst_costs(facts, used)),
        concentration=costs.concentration,
    )


def changes(before: CutFigures, after: CutFigures) -> dict[str, float]:
    """After − before, by figure: below 0 is less."""
    old, new = asdict(before), asdict(after)
    return {name: round(new[name] - old[name], 4) for name in old}
