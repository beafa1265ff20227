"""In which order to extract the services: every state on the way is evaluated, the monolith being one service. Pure."""

from dataclasses import dataclass

import numpy as np

from migration_plans.assess.facts import Offsets
from migration_plans.assess.naming import UNPLACED
from migration_plans.assess.objective import Costs, Workload
from migration_plans.assess.service_map import ServiceMap

_LEAST_COST = 1e-6
"""Of the burden: an extraction that costs nothing is not infinitely better than another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extraction:
    """One step. What is left after the last one is the last service: it has neither cost nor benefit."""

    service: str
    benefit: float
    """By how much the tables become less concentrated."""
    cost: float
    """By how much the burden grows; below 0 it shrinks, because an earlier cut is healed."""
    worthwhile: bool
    """Otherwise a shared database is the better choice for now."""
    state: Costs
    """Once it is extracted."""

    @property
    def ratio(self) -> float:
        """Benefit ÷ cost."""
        return self.benefit / max(self.cost, _LEAST_COST)


def extraction_order(work: Workload, services: ServiceMap, worst: Costs) -> tuple[Extraction, ...]:
    """The best ratio first, computed anew after each step; tables of which nothing is known stay to the last."""
    left = list(range(len(services.names)))
    group_of: Offsets = np.zeros(len(left), dtype=np.int64)
    before = work.costs(group_of)
    result: list[Extraction] = []
    while len(left) > 1:
        tried = [(_try(work, services, group_of, before, worst, service), service) for service in left]
        best, service = max(tried, key=lambda step: (step[0].service != UNPLACED, step[0].ratio, -step[1]))
        left.remove(service)
        group_of[service] = len(result) + 1
        before = best.state
        result.append(best)
    last = services.names[left[0]]
    return (*result, Extraction(service=last, benefit=0.0, cost=0.0, worthwhile=True, state=before))


def _try(
    work: Workload, services: ServiceMap, group_of: Offsets, before: Costs, worst: Costs, service: int
) -> Extraction:
    after_of = group_of.copy()
    after_of[service] = int(group_of.max()) + 1
    after = work.costs(after_of)
    benefit = before.concentration - after.concentration
    cost = after.burden(worst) - before.burden(worst)
    return Extraction(
        service=services.names[service], benefit=benefit, cost=cost, worthwhile=benefit > cost, state=after
    )
