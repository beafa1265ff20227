"""The whole assessment: from facts to services, sagas and an order. Pure.

`assess` decides; `Assessment.as_dict` is the document that `strangler assess --json` prints (docs/assess.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from migration_plans.assess.boundaries import Boundaries, find_boundaries
from migration_plans.assess.complexity import complexities
from migration_plans.assess.contention import hot_locks
from migration_plans.assess.coupling import (
    chatty_functionalities,
    crossing_code,
    reference_tables,
    role_services,
    shared_writers,
    split_proposals,
)
from migration_plans.assess.datastores import advise_datastores
from migration_plans.assess.decisions import Decisions
from migration_plans.assess.entries import (
    extraction_entry,
    key_entry,
    merge_entry,
    move_entry,
    read_entry,
    rounded,
    saga_entry,
    tables_by_service,
)
from migration_plans.assess.evidence import unplaced_tables
from migration_plans.assess.facts import Facts, IntArray
from migration_plans.assess.join_treatments import treat_joins, treat_queries
from migration_plans.assess.key_treatments import treat_keys
from migration_plans.assess.merges import Merge, find_merges
from migration_plans.assess.naming import name_services
from migration_plans.assess.objective import Costs, Workload, workload, worst_costs
from migration_plans.assess.order import Extraction, extraction_order
from migration_plans.assess.sagas import Saga, find_sagas
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.stability import Standing, standings
from migration_plans.assess.touches import Touches, touches
from migration_plans.assess.usage import Usage, usage
from migration_plans.assess.what_if import Move, contested_moves

_ALTERNATIVES_MOST = 8
_UNDECIDED = Decisions()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """One decomposition and what it costs."""

    services: ServiceMap
    costs: Costs
    burden: float
    modularity: float | None
    """None for a cut that a person made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """What is proposed for one monolith. A person decides."""

    facts: Facts
    used: Touches
    usage: Usage
    chosen: Cut
    alternatives: tuple[Cut, ...]
    standings: Mapping[str, Standing]
    what_if: tuple[Move, ...]
    hubs: Mapping[str, float]
    bulk_jobs: Mapping[str, float]
    merges: tuple[Merge, ...]
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
        yield "services", tables_by_service(services, tables)
        yield (
            "alternatives",
            [
                {"services": tables_by_service(cut.services, tables), "metrics": _metrics(cut)}
                for cut in self.alternatives
            ],
        )
        yield "stability", {table: round(standing.stability, 4) for table, standing in self.standings.items()}
        yield "contested", {table: standing.rival for table, standing in self.standings.items() if standing.contested}
        yield "unplaced", [tables[table] for table in unplaced_tables(self.facts, self.used)]
        yield "what_if", [move_entry(move) for move in self.what_if]
        yield "hubs", dict(self.hubs)
        yield "bulk_jobs", dict(self.bulk_jobs)
        yield "order", [step.service for step in self.order]
        yield "extractions", [extraction_entry(step) for step in self.order]
        yield "sagas", (saga_entry(saga, is_bulk=saga.functionality in self.bulk_jobs) for saga in self.sagas())
        yield "merges", [merge_entry(merge) for merge in self.merges]
        yield "cut_foreign_keys", (key_entry(key, self.facts, services) for key in treat_keys(self.usage))
        yield "joins", (read_entry(read, self.facts, services) for read in treat_joins(self.usage))
        yield "queries", (read_entry(read, self.facts, services) for read in treat_queries(self.usage))
        yield "datastores", [asdict(advice) for advice in advise_datastores(self.usage)]
        yield (
            "coupling",
            {
                "shared_writers": list(map(asdict, shared_writers(self.usage))),
                "hot_locks": list(map(asdict, hot_locks(self.usage))),
                "stored_code": list(map(asdict, crossing_code(self.usage))),
                "reference_tables": list(map(asdict, reference_tables(self.usage))),
                "wide_tables": list(map(asdict, split_proposals(self.usage))),
                "roles": list(map(asdict, role_services(self.usage))),
                "chatty": list(map(asdict, chatty_functionalities(self.usage))),
            },
        )
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


def assess(facts: Facts, *, seed: int = 0, decisions: Decisions = _UNDECIDED) -> Assessment:
    """Deterministic for equal facts and seed. A person's own cut is assessed as it is; pins bind what is proposed.

    Raises `BoundariesInvalid` for decisions that do not fit the facts.
    """
    decisions.check(facts)
    facts = decisions.pinned(facts)
    used = touches(facts)
    found = find_boundaries(facts, used, seed=seed)
    worst = worst_costs(facts, used)
    cuts = {
        count: _cut(facts, used, found, count, labels.astype(np.int32), worst)
        for count, labels in found.by_count.items()
        if abs(count - found.preferred) <= _ALTERNATIVES_MOST // 2
    }
    if decisions.services:
        chosen, work = _decided(facts, used, decisions.service_map(facts), worst)
    else:
        chosen, work = cuts.pop(found.preferred)
        chosen = replace(chosen, services=decisions.named(facts, chosen.services))
    values = complexities(facts, chosen.services.of_table)
    standing = standings(facts.tables, chosen.services, found.consensus)
    return Assessment(
        facts=facts,
        used=used,
        usage=usage(facts, used, chosen.services, found.bulk_jobs),
        chosen=chosen,
        alternatives=tuple(cut for cut, _ in cuts.values()),
        standings=standing,
        hubs=found.hubs,
        bulk_jobs=found.bulk_jobs,
        merges=find_merges(work, chosen.services, worst),
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


def _decided(facts: Facts, used: Touches, services: ServiceMap, worst: Costs) -> tuple[Cut, Workload]:
    """A person's cut. What its modularity would be over the runs was not measured: it is not compared by that."""
    work = workload(facts, used, services)
    costs = work.costs(np.arange(len(services.names)))
    return Cut(services=services, costs=costs, burden=costs.burden(worst), modularity=None), work


def _metrics(cut: Cut) -> dict[str, Any]:
    return {
        "services": len(cut.services.names),
        "burden": round(cut.burden, 4),
        "modularity": None if cut.modularity is None else round(cut.modularity, 4),
        **rounded(asdict(cut.costs)),
    }
