"""`strangler plan diff`: what is no longer as a plan says."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from commands.context import Context
from commands.output import json_option, print_json, print_rows, service_argument, stderr, stdout
from commands.plan_facts import facts_option, seen_in
from commands.plan_reality import picture_of, revisions, running_move
from migration_plans.drift.baseline_file import load_baseline
from migration_plans.drift.boundary import dependent_drift, foreign_key_drift
from migration_plans.drift.drift import Drift
from migration_plans.drift.legacy_tables import legacy_table_drift
from migration_plans.drift.picture import Baseline
from migration_plans.drift.running import owner_drift, route_drift, stopped_drift
from migration_plans.drift.service_tables import revision_drift, service_table_drift
from migration_plans.drift.traffic import Seen, traffic_drift
from migration_plans.phases import Phase
from migration_plans.plan import Plan
from strangler.errors import PromiseBroken
from strangler.settings import Settings


@click.command("diff")
@service_argument
@facts_option
@click.option(
    "--migrations",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Alembic's folder of the service. Without it, the only one beside the plan.",
)
@json_option
@click.pass_obj
def diff(
    context: Context, service: str | None, facts_path: Path | None, migrations: Path | None, as_json: bool
) -> None:
    """What is no longer as the plan says: schemas, foreign keys, dependents, the running move, routes, traffic.

    `plan check` says whether the plan may run; this says what changed since it was written. Types, keys and
    definitions are held against the baseline beside the plan, which `plan accept` writes. Exit code 0: nothing
    changed; 1: something did. Changes nothing.

    \b
    Example: strangler plan diff catalog --facts facts.json
    """
    name = context.service(service)
    plan, path = context.plan(name), context.settings.plan_path(name)
    baseline = load_baseline(path, plan.move)
    seen = seen_in(facts_path, plan)
    drifts = list(found_drift(context.settings, plan, baseline, seen=seen, migrations=migrations))
    if as_json:
        taken = baseline.taken_at.isoformat() if baseline else None
        print_json({"move": plan.move, "baseline": taken, "drifts": [asdict(drift) for drift in drifts]})
    else:
        _show(plan, baseline, drifts)
    if drifts:
        raise PromiseBroken(
            thing=f"plan {plan.move}",
            reason=f"{_count(drifts)} since it was written",
            mend="mend them or the plan; `strangler plan accept` then keeps what is there as known",
        )


def found_drift(
    settings: Settings,
    plan: Plan,
    baseline: Baseline | None,
    *,
    seen: dict[str, Seen] | None = None,
    migrations: Path | None = None,
) -> Iterator[Drift]:
    """All of it, in the order in which to look at it. A completed move's tables may have left the monolith."""
    running = running_move(settings, plan)
    if running.phase is not Phase.COMPLETED:
        before = baseline.legacy if baseline else None
        now = picture_of(settings.legacy.database, tuple(plan.tables), before)
        yield from legacy_table_drift(plan, before, now, followed=running.followed)
        yield from foreign_key_drift(plan, before, now)
        yield from dependent_drift(plan, before, now, functionalities=seen or ())
    service_dsn = settings.service(plan.service).database
    then = baseline.service if baseline else None
    yield from service_table_drift(plan, then, picture_of(service_dsn, plan.target_tables), followed=running.followed)
    if found := revisions(service_dsn, settings.plan_path(plan.service), migrations):
        yield from revision_drift(found)
    yield from owner_drift(plan, running.phase, running.owners)
    yield from stopped_drift(running.stopped)
    yield from route_drift(plan, running.phase, running.published)
    if seen is not None:
        known = baseline.writes_on_both_sides if baseline else None
        yield from traffic_drift(plan, seen, known or ())


def _show(plan: Plan, baseline: Baseline | None, drifts: list[Drift]) -> None:
    since = f"since {baseline.taken_at:%Y-%m-%d %H:%M}" if baseline else "held against the plan alone"
    if baseline is None:
        stderr.print(
            "no baseline: changed types, keys and definitions are not seen; `strangler plan accept` writes one"
        )
    if not drifts:
        stdout.print(f"{plan.move}: nothing changed, {since}", markup=False)
        return
    for area, count in Counter(drift.area for drift in drifts).items():
        print_rows(
            ("", "object", "plan says", "reality", "mend"),
            [
                (drift.kind, drift.object, drift.plan, drift.reality, drift.mend)
                for drift in drifts
                if drift.area == area
            ],
            title=f"{area}: {count}",
        )
    stdout.print(f"{_count(drifts)}, {since}", markup=False)


def _count(drifts: Sequence[Drift]) -> str:
    return f"{len(drifts)} difference{'' if len(drifts) == 1 else 's'}"
