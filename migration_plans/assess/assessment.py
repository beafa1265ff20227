"""The whole assessment: from facts to services, sagas and an order. Pure.

`assess` decides; `Assessment.as_dict` is the document that `strangler assess --json` prints (docs/assess.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from migration_plans.assess.boundaries import Boundaries, find_boundaries
from migration_plans.assess.complexity import complexities
from migration_plans.assess.evidence import unplaced_tables
from migration_plans.assess.facts import Facts, IntArray
from migration_plans.assess.naming import name_services
from migration_plans.assess.objective import Costs, Workload, workload, worst_costs
from migration_plans.assess.order import Extraction, extraction_order
from migration_plans.assess.sagas import Saga, find_sagas
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.smells import bulk_jobs, hub_tables
from migration_plans.assess.stability import Standing, standings
from migration_plans.assess.touches import Touches, touches
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
    used: Touches
    chosen: Cut
    alternatives: tuple[Cut, ...]
    standings: Mapping[str, Standing]
    what_if: tuple[Move, ...]
    hubs: Mapping[str, float]
    bulk_jobs: Mapping[str, float]
    order: tuple[Extraction, ...]
    complexity: Mapping[str, int]
    """By functionality, only where it is not 0."""

    def sagas(self) -> Iterator[Saga]:
        """Found while they are asked for: there may be very many."""
        return find_sagas(self.facts, self.chosen.services)

    def as_dict(self) -> dict[str, Any]:
        """The documented shape, whole."""
        return {key: list(value) if isinstance(value, Iterator) else value for key, value in self.document()}

    def document(self) -> Iterator[tuple[str, Any]]:
        """The documented shape, key by key; what may be very long is an iterator."""
        services, tables = self.chosen.services, self.facts.tables
        yield "services", _tables_by_service(services, tables)
        yield (
            "alternatives",
            [
                {"services": _tables_by_service(cut.services, tables), "metrics": _metrics(cut)}
                for cut in self.alternatives
            ],
        )
        yield "stability", {table: round(standing.stability, 4) for table, standing in self.standings.items()}
        yield "contested", {table: standing.rival for table, standing in self.standings.items() if standing.contested}
        yield "unplaced", [tables[table] for table in unplaced_tables(self.facts, self.used)]
        yield "what_if", [_move(move) for move in self.what_if]
        yield "hubs", dict(self.hubs)
        yield "bulk_jobs", dict(self.bulk_jobs)
        yield "order", [step.service for step in self.order]
        yield "extractions", [_extraction(step) for step in self.order]
        yield "sagas", map(_saga, self.sagas())
        yield "cut_foreign_keys", _cut_foreign_keys(self.facts, services)
        yield "joins", _cut_joins(self.facts, services)
        functionalities = len(self.facts.functionalities)
        yield (
            "metrics",
            {
                **_metrics(self.chosen),
                "tables": len(tables),
                "functionalities": functionalities,
                "distributed_functionalities": len(self.complexity),
                "complexity_mean": round(sum(self.complexity.values()) / max(functionalities, 1), 3),
                "complexity_max": max(self.complexity.values(), default=0),
            },
        )
        yield "complexity", dict(self.complexity)


def assess(facts: Facts, *, seed: int = 0) -> Assessment:
    """Deterministic for equal facts and seed."""
    used = touches(facts)
    found = find_boundaries(facts, used, seed=seed)
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
        used=used,
        chosen=chosen,
        alternatives=tuple(cut for cut, _ in cuts.values()),
        standings=standing,
        hubs=hub_tables(facts, used),
        bulk_jobs=bulk_jobs(facts, used),
        what_if=contested_moves(facts, used, chosen.services, standing, worst),
        order=extraction_order(work, chosen.services, worst),
        complexity={
            name: int(value) for name, value in zip(facts.functionalities, values.tolist(), strict=True) if value
        },
    )


def _cut(
    facts: Facts, used: Touches, found: Boundaries, count: int, of_table: IntArray, worst: Costs
) -> tuple[Cut, Workload]:
    uses = np.bincount(used.table, minlength=len(facts.tables))
    services = name_services(facts.tables, of_table, found.consensus, uses, unplaced_tables(facts, used))
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


def _move(move: Move) -> dict[str, Any]:
    changes = _rounded({"burden": move.burden, "sagas": move.sagas, "hops": move.hops})
    return {"table": move.table, "from": move.source, "to": move.target, **changes}


def _extraction(step: Extraction) -> dict[str, Any]:
    return {
        "service": step.service,
        "benefit": round(step.benefit, 6),
        "cost": round(step.cost, 6),
        "worthwhile": step.worthwhile,
        "state": _rounded(asdict(step.state)),
    }


def _cut_foreign_keys(facts: Facts, services: ServiceMap) -> list[dict[str, Any]]:
    return [
        {
            "from": facts.tables[key.source],
            "to": facts.tables[key.target],
            "columns": list(key.columns),
            "on_delete": key.on_delete,
            "from_service": _service(services, key.source),
            "to_service": _service(services, key.target),
        }
        for key in facts.foreign_keys
        if services.of_table[key.source] != services.of_table[key.target]
    ]


def _cut_joins(facts: Facts, services: ServiceMap) -> list[dict[str, Any]]:
    return [
        {
            "tables": [facts.tables[table] for table in sorted(joined)],
            "services": sorted({_service(services, table) for table in joined}),
            "calls": calls,
        }
        for joined, calls in facts.joins
        if len({int(services.of_table[table]) for table in joined}) > 1
    ]


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
