"""`strangler plan accept`: the baseline that `plan diff` compares with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from commands.context import Context
from commands.output import json_option, print_json, service_argument, stderr, stdout
from commands.plan_diff import found_drift
from commands.plan_facts import facts_option, seen_in
from commands.plan_reality import picture_of
from migration_plans.drift.baseline_file import load_baseline, save_baseline
from migration_plans.drift.picture import Baseline
from migration_plans.drift.traffic import Seen, on_both_sides
from migration_plans.errors import PlanInvalid
from migration_plans.plan import Plan
from strangler.clock import Clock, SystemClock
from strangler.errors import Unreachable
from strangler.settings import Settings


@click.command("accept")
@service_argument
@facts_option
@json_option
@click.pass_obj
def accept(context: Context, service: str | None, facts_path: Path | None, as_json: bool) -> None:
    """Say that the plan knows the schemas as they are now: writes the baseline that `plan diff` compares with.

    \b
    Example: strangler plan accept catalog
    """
    name = context.service(service)
    plan, path = context.plan(name), context.settings.plan_path(name)
    before = _known(path, plan.move)
    seen = seen_in(facts_path, plan)
    baseline = taken_baseline(context.settings, plan, SystemClock(), seen=seen, before=before)
    left = list(found_drift(context.settings, plan, baseline, seen=seen)) if baseline.service else []
    written = save_baseline(path, baseline)
    if as_json:
        print_json({"written": str(written), "differences_left": len(left), **baseline.model_dump(mode="json")})
        return
    there, planned = len(baseline.legacy.tables), len(plan.tables)
    stdout.print(f"{written}: {there} of {planned} tables of the monolith", markup=False, soft_wrap=True)
    if baseline.service is None:
        stderr.print("the service's database does not have its tables yet: run this again once it is migrated")
    if left:
        objects = ", ".join(drift.object for drift in left[:5]) + (" …" if len(left) > 5 else "")
        stderr.print(f"the plan itself still says otherwise of {objects}: see `strangler plan diff`", markup=False)


def _known(plan_path: Path, move: str) -> Baseline | None:
    """The baseline so far; one that cannot be read is about to be replaced."""
    try:
        return load_baseline(plan_path, move)
    except PlanInvalid as error:
        stderr.print(f"{error.thing}: {error.reason}; it is written anew", markup=False)
        return None


def taken_baseline(
    settings: Settings, plan: Plan, clock: Clock, *, seen: Mapping[str, Seen] | None, before: Baseline | None
) -> Baseline:
    """What is there now, on both sides; without facts, what `before` knew of the traffic stays known.

    The service's database may not be there yet. Raises `DatabaseUnreachable` for the monolith's.
    """
    taken = first_baseline(settings.legacy.database, plan.move, tuple(plan.tables), clock, seen=seen)
    try:
        service = picture_of(settings.service(plan.service).database, plan.target_tables)
    except Unreachable:
        service = None
    known = before.writes_on_both_sides if before and seen is None else taken.writes_on_both_sides
    return taken.model_copy(
        update={"service": service if service and service.tables else None, "writes_on_both_sides": known}
    )


def first_baseline(
    legacy_dsn: str, move: str, tables: Sequence[str], clock: Clock, *, seen: Mapping[str, Seen] | None
) -> Baseline:
    """For a plan that is just being written: the monolith's side. Raises `DatabaseUnreachable`."""
    return Baseline(
        form=1,
        move=move,
        taken_at=clock.now(),
        legacy=picture_of(legacy_dsn, tables),
        writes_on_both_sides=None if seen is None else on_both_sides(tables, seen),
    )
