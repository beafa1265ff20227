"""The whole assessment: from facts to services, sagas and an order. Pure.

`assess` decides; `Assessment.as_dict` is the document that `strangler assess --json` prints (docs/assess.md).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from migration_plans.assess.boundaries import Boundaries, find_boundaries
from migration_plans.assess.complexity import complexities
from migration_plans.assess.facts import Facts, IntArray
from migration_plans.assess.naming import name_services
from migration_plans.assess.objective import Costs, Touches, Workload, touches, workload, worst_costs
from migration_plans.assess.order import Extraction, extraction_order
from migration_plans.assess.sagas import Saga, find_sagas
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.stability import Standing, standings
from migration_plans.assess.what_if import Move, contested_moves

_ALTERNATIVES_MOST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One decomposition and what it costs."""

    services: ServiceMap
    costs: Costs
    burden: float
    modularity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """What is proposed for one monolith. A person decides."""

    facts: Facts
    chosen: Cut
    alternatives: tuple[Cut, ...]
    standings: Mapping[str, Standing]
    what_if: tuple[Move, ...]
    order: tuple[Extraction, ...]
    sagas: tuple[Saga, ...]
    complexity: Mapping[str, int]
    """By functionality, only where it is not 0."""

    def as_dict(self) -> dict[str, Any]:
        """The documented shape."""
        services, tables = self.chosen.services, self.facts.tables
        return {
            "services": _tables_by_service(services, tables),
            "alternatives": [
                {"services": _tables_by_service(cut.services, tables), "metrics": _metrics(cut)}
                for cut in self.alternatives
            ],
            "stability": {table: round(standing.stability, 4) for table, standing in self.standings.items()},
            "contested": {table: standing.rival for table, standing in self.standings.items() if standing.contested},
            "what_if": [
                {
                    "table": move.table,
                    "from": move.source,
                    "to": move.target,
                    **_rounded({"burden": move.burden, "sagas": move.sagas, "hops": move.hops}),
                }
                for move in self.what_if
            ],
            "order": [step.service for step in self.order],
            "extractions": [
                {
                    "service": step.service,
                    "benefit": round(step.benefit, 6),
                    "cost": round(step.cost, 6),
                    "worthwhile": step.worthwhile,
                    "state": _rounded(asdict(step.state)),
                }
                for step in self.order
            ],
            "sagas": [_saga(saga) for saga in self.sagas],
            "cut_foreign_keys": [
                {
                    "from": tables[key.source],
                    "to": tables[key.target],
                    "columns": list(key.columns),
                    "on_delete": key.on_delete,
                    "from_service": _service(services, key.source),
                    "to_service": _service(services, key.target),
                }
                for key in self.facts.foreign_keys
                if services.of_table[key.source] != services.of_table[key.target]
            ],
            "joins": [
                {
                    "tables": [tables[table] for table in sorted(joined)],
                    "services": sorted({_service(services, table) for table in joined}),
                    "calls": calls,
                }
                for joined, calls in self.facts.joins
                if len({int(services.of_table[table]) for table in joined}) > 1
            ],
            "metrics": {
                **_metrics(self.chosen),
                "tables": len(tables),
                "functionalities": len(self.facts.functionalities),
                "distributed_functionalities": len(self.complexity),
                "complexity_mean": round(sum(self.complexity.values()) / max(len(self.facts.functionalities), 1), 3),
                "complexity_max": max(self.complexity.values(), default=0),
            },
            "complexity": dict(self.complexity),
        }


def assess(facts: Facts, *, seed: int = 0) -> Assessment:
    """Deterministic for equal facts and seed."""
    found = find_boundaries(facts, seed=seed)
    used = touches(facts)
    worst = worst_costs(facts, used)
    cuts = {
        count: _cut(facts, used, found, count, labels.astype(np.int32), worst)
        for count, labels in found.by_count.items()
        if abs(count - found.preferred) <= _ALTERNATIVES_MOST // 2
    }
    chosen, work = cuts.pop(found.preferred)
    values = complexities(facts, chosen.services.of_table)
    standing = standings(facts.tables, chosen.services, found.consensus)
    return Assessment(
        facts=facts,
        chosen=chosen,
        alternatives=tuple(cut for cut, _ in cuts.values()),
        standings=standing,
        what_if=contested_moves(facts, used, chosen.services, standing, worst),
        order=extraction_order(work, chosen.services, worst),
        sagas=tuple(find_sagas(facts, chosen.services)),
        complexity={
            name: int(value) for name, value in zip(facts.functionalities, values.tolist(), strict=True) if value
        },
    )


def _cut(
    facts: Facts, used: Touches, found: Boundaries, count: int, of_table: IntArray, worst: Costs
) -> tuple[Cut, Workload]:
    services = name_services(facts.tables, of_table, found.consensus)
    work = workload(facts, used, services)
    costs = work.costs(np.arange(len(services.names)))
    cut = Cut(services=services, costs=costs, burden=costs.burden(worst), modularity=found.modularity[count])
    return cut, work


def _tables_by_service(services: ServiceMap, tables: tuple[str, ...]) -> dict[str, list[str]]:
    return {name: [tables[table] for table in services.tables(number)] for number, name in enumerate(services.names)}


def _service(services: ServiceMap, table: int) -> str:
    return services.names[int(services.of_table[table])]


def _metrics(cut: Cut) -> dict[str, Any]:
    return {
        "services": len(cut.services.names),
        "burden": round(cut.burden, 4),
        "modularity": round(cut.modularity, 4),
        **_rounded(asdict(cut.costs)),
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def _saga(saga: Saga) -> dict[str, Any]:
    return {
        "functionality": saga.functionality,
        "transaction": saga.transaction,
        "calls": saga.calls,
        "services": [step.service for step in saga.steps],
        "steps": [
            {
                "service": step.service,
                "kind": step.kind,
                "reads": list(step.reads),
                "writes": list(step.writes),
                "compensation": step.compensation,
            }
            for step in saga.steps
        ],
        "pivot": next(step.service for step in saga.steps if step.kind == "pivot"),
        "compensations": [step.service for step in saga.steps if step.compensation],
    }
