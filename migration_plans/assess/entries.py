"""The documented JSON shapes of what an assessment holds (docs/assess.md). Pure."""

from dataclasses import asdict
from typing import Any

from migration_plans.assess.facts import Facts
from migration_plans.assess.join_treatments import TreatedRead
from migration_plans.assess.key_treatments import TreatedKey
from migration_plans.assess.merges import Merge
from migration_plans.assess.order import Extraction
from migration_plans.assess.sagas import Saga
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.what_if import Move


def tables_by_service(services: ServiceMap, tables: tuple[str, ...]) -> dict[str, list[str]]:
    """Service → names of its tables."""
    return {name: [tables[table] for table in services.tables(number)] for number, name in enumerate(services.names)}


def rounded(values: dict[str, float]) -> dict[str, float]:
    """To what is worth reading."""
    return {name: round(value, 4) for name, value in values.items()}


def move_entry(move: Move) -> dict[str, Any]:
    """One of `what_if`."""
    changes = rounded({"burden": move.burden, "sagas": move.sagas, "hops": move.hops})
    return {"table": move.table, "from": move.source, "to": move.target, **changes}


def extraction_entry(step: Extraction) -> dict[str, Any]:
    """One of `extractions`."""
    return {
        "service": step.service,
        "benefit": round(step.benefit, 6),
        "cost": round(step.cost, 6),
        "worthwhile": step.worthwhile,
        "state": rounded(asdict(step.state)),
    }


def key_entry(treated: TreatedKey, facts: Facts, services: ServiceMap) -> dict[str, Any]:
    """One of `cut_foreign_keys`."""
    key = treated.key
    return {
        "from": facts.tables[key.source],
        "to": facts.tables[key.target],
        "columns": list(key.columns),
        "on_delete": key.on_delete,
        "inferred": key.inferred,
        "from_service": services.names[int(services.of_table[key.source])],
        "to_service": services.names[int(services.of_table[key.target])],
        "treatment": treated.treatment,
        "reason": treated.reason,
        "lookup": treated.lookup,
        "todo": treated.todo,
    }


def read_entry(read: TreatedRead, facts: Facts, services: ServiceMap) -> dict[str, Any]:
    """One of `joins` or `queries`."""
    return {
        "kind": read.kind,
        "name": read.name,
        "tables": [facts.tables[table] for table in read.tables],
        "services": sorted({services.names[int(services.of_table[table])] for table in read.tables}),
        "home": services.names[read.home],
        "calls": read.calls,
        "treatment": read.treatment,
        "reason": read.reason,
    }


def saga_entry(saga: Saga, *, is_bulk: bool) -> dict[str, Any]:
    """One of `sagas`."""
    return {
        "functionality": saga.functionality,
        "transaction": saga.transaction,
        "calls": saga.calls,
        "bulk_job": is_bulk,
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
        "semantic_lock": saga.locked,
        "coordination": saga.coordination,
        "reason": saga.reason,
    }


def merge_entry(merge: Merge) -> dict[str, Any]:
    """One of `merges`."""
    changes = {name: getattr(merge, name) for name in ("sagas", "hops", "foreign_keys", "joins", "burden")}
    return {
        "services": list(merge.services),
        "advised": merge.advised,
        **rounded({**changes, "concentration": merge.concentration}),
        "reason": merge.reason,
    }
