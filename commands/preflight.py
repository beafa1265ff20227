"""Everything that stands in the way of a move, found without changing anything."""

from collections.abc import Iterator, Sequence

from cdc.boundary import dependents, foreign_keys_across
from cdc.doctor import examine_source, examine_target
from cdc.events import TableName
from cdc.link import Direction, stream_name
from cdc.mapping.check import check_mapping
from cdc.mapping.model import MoveMapping
from cdc.schema import reflect
from migration_plans.lint import lint
from migration_plans.plan import Plan

Problem = tuple[str, str, str]
"""(thing, reason, mend)"""


def preflight_problems(plan: Plan, mapping: MoveMapping, legacy_dsn: str, service_dsn: str) -> list[Problem]:
    """Servers, mapping, crossing foreign keys and dependents, lint; in the order in which to mend them."""
    problems = list(_unfit_servers(plan, mapping, legacy_dsn, service_dsn))
    if any(reason.startswith("does not answer") or "not reach" in reason for _, reason, _ in problems):
        return problems
    legacy = reflect(legacy_dsn, mapping.source_tables)
    service = reflect(service_dsn, mapping.target_tables)
    mapped = [(p.thing, p.reason, p.mend) for p in check_mapping(mapping, legacy, service)]
    known = {thing for thing, _, _ in mapped}
    problems = [problem for problem in problems if problem[0] not in known] + mapped
    problems += _undecided(plan, mapping, legacy_dsn)
    problems += [(f.where, f"{f.rule}: {f.why}", f.instead) for f in lint(plan)]
    return problems


def _unfit_servers(plan: Plan, mapping: MoveMapping, legacy_dsn: str, service_dsn: str) -> Iterator[Problem]:
    sides: tuple[tuple[str, Sequence[TableName], Direction], ...] = (
        (legacy_dsn, mapping.source_tables, "forward"),
        (service_dsn, mapping.target_tables, "reverse"),
    )
    for dsn, tables, outgoing in sides:
        findings = examine_source(dsn, tables, stream=stream_name(plan.move, outgoing))
        findings += examine_target(dsn, tables)
        yield from dict.fromkeys((f.thing, f.reason, f.mend) for f in findings if not f.ok)


def _undecided(plan: Plan, mapping: MoveMapping, legacy_dsn: str) -> Iterator[Problem]:
    decided = {decision.constraint for decision in plan.foreign_keys}
    waived = {waiver.object for waiver in plan.waivers}
    for crossing in foreign_keys_across(legacy_dsn, mapping.source_tables):
        key = crossing.key
        if key.name not in decided:
            yield (
                f"foreign key {key.name} ({key.table} → {key.ref_table})",
                "crosses the cut and the plan does not say what becomes of it",
                f"add {{constraint: {key.name}, decision: …, because: …}} under `foreign_keys`",
            )
    users: dict[tuple[str, str], list[str]] = {}
    for dependent in dependents(legacy_dsn, mapping.source_tables):
        users.setdefault((dependent.kind, dependent.name), []).append(str(dependent.table))
    for (kind, name), tables in users.items():
        if name not in waived:
            yield (
                f"{kind} {name}",
                f"uses {', '.join(tables)} in the monolith and the plan does not mention it",
                f"add {{object: {name}, because: …}} under `waivers`, or remove it",
            )
