"""Everything that stands in the way of a move, found without changing anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from cdc.boundary import dependents, foreign_keys_across
from cdc.doctor import examine_source, examine_target
from cdc.errors import MappingInvalid
from cdc.events import TableName
from cdc.fitness import Finding
from cdc.link import Direction, stream_name
from cdc.mapping.check import check_mapping
from cdc.mapping.model import MoveMapping
from cdc.schema import reflect
from cdc.schema_changes.evolved import evolve
from cdc.schema_changes.store import accepted, load_met
from cdc.tables import ForeignKey
from commands.asked_paths import PathsOf, paths_of
from commands.mapping import move_mapping
from commands.served import unserved_routes
from commands.traffic import backends, move_routes
from migration_plans.errors import PlanInvalid
from migration_plans.lint import lint
from migration_plans.plan import Plan
from migration_plans.plan_file import load_plan
from strangler.errors import StranglerError
from strangler.settings import Settings

Problem = tuple[str, str, str]
"""(thing, reason, mend)"""


def preflight_problems(
    settings: Settings,
    plan: Plan,
    *,
    recorded: Mapping[str, Sequence[str]] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> list[Problem]:
    """Servers, mapping, crossing foreign keys and dependents, routes, lint; in the order in which to mend them.

    `recorded`: route id → paths that clients asked for. `note` is told what cannot be told and stops nothing.
    """
    others, _ = other_plans(settings, plan.service)
    findings = list(lint(plan, others))
    linted = [(finding.where, f"{finding.rule}: {finding.why}", finding.instead) for finding in findings]
    if not any(finding.where.startswith(("routes", "sticky")) for finding in findings):
        linted += _refused_by_the_router(settings, plan)
    try:
        mapping = move_mapping(plan)
    except MappingInvalid as error:
        return [(error.thing, error.reason, error.mend), *linted]
    paths = paths_of(settings.legacy.database, recorded or {})
    return [*_problems_in_databases(settings, plan, mapping, paths, note), *linted]


def other_plans(settings: Settings, service: str) -> tuple[list[Plan], list[StranglerError]]:
    """The plans of the other services in strangler.toml, and why some could not be read: they may be half written."""
    plans: list[Plan] = []
    unread: list[StranglerError] = []
    for name in settings.services:
        if name != service:
            try:
                plans.append(load_plan(settings.plan_path(name)))
            except PlanInvalid as error:
                unread.append(error)
    return plans, unread


def _problems_in_databases(
    settings: Settings, plan: Plan, mapping: MoveMapping, paths: PathsOf, note: Callable[[str], None]
) -> list[Problem]:
    legacy_dsn, service_dsn = settings.legacy.database, settings.service(plan.service).database
    unfit = list(_unfit_servers(plan, mapping, legacy_dsn, service_dsn))
    if any(finding.check == "connect" for _, finding in unfit):
        return [(f.thing, f.reason, f.mend) for _, f in unfit]
    mapping = evolve(mapping, accepted(load_met(service_dsn, stream_name(plan.move, "forward"))))
    legacy = reflect(legacy_dsn, mapping.source_tables)
    service = reflect(service_dsn, mapping.target_tables)
    mapped = [(p.thing, p.reason, p.mend) for p in check_mapping(mapping, legacy, service)]
    # A table that is not there is told once, in the words of the mapping.
    missing = {("forward", f"table {name}") for name in mapping.source_tables if name not in legacy.tables}
    missing |= {("reverse", f"table {name}") for name in mapping.target_tables if name not in service.tables}
    known = {thing for thing, _, _ in mapped}
    problems = [
        (f.thing, f.reason, f.mend)
        for outgoing, f in unfit
        if f.thing not in known and not (f.check == "table" and (outgoing, f.thing) in missing)
    ]
    unserved = unserved_routes(plan, settings, paths, note)
    return [*problems, *mapped, *_undecided(plan, mapping, legacy_dsn), *unserved]


def _refused_by_the_router(settings: Settings, plan: Plan) -> Iterator[Problem]:
    """What installing the routes would refuse, when slots and fences were made already."""
    try:
        backends(settings).with_move(move_routes(plan))
    except StranglerError as error:
        yield (error.thing, error.reason, error.mend)


def _unfit_servers(
    plan: Plan, mapping: MoveMapping, legacy_dsn: str, service_dsn: str
) -> Iterator[tuple[Direction, Finding]]:
    """With the direction of the stream that begins at the server: `forward` is the monolith's."""
    sides: tuple[tuple[str, Sequence[TableName], Direction], ...] = (
        (legacy_dsn, mapping.source_tables, "forward"),
        (service_dsn, mapping.target_tables, "reverse"),
    )
    for dsn, tables, outgoing in sides:
        findings = examine_source(dsn, tables, stream=stream_name(plan.move, outgoing))
        findings += examine_target(dsn, tables)
        yield from ((outgoing, finding) for finding in dict.fromkeys(findings) if not finding.ok)


_NO_WRITE = "ar"
"""Catalog letters of NO ACTION and RESTRICT."""


def _acts(key: ForeignKey) -> str:
    """When its action writes the referring table; empty when it never does."""
    events = (("ON DELETE", key.on_delete), ("ON UPDATE", key.on_update))
    return " and ".join(event for event, letter in events if letter not in _NO_WRITE)


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
        if crossing.direction == "out" and _acts(key) and key.name not in waived:
            yield (
                f"foreign key {key.name} ({key.table} → {key.ref_table})",
                f"has an {_acts(key)} action that writes {key.table} in the monolith: after the cutover the fence"
                f" refuses it, and with it every such change of {key.ref_table}",
                "make it NO ACTION and let the monolith's code see to the children first, or, where no such change is"
                f" ever made, add {{object: {key.name}, because: …}} under `waivers`",
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
