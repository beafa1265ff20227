"""Joins the three siblings: a `Run` over the real stream, the real routes and both databases."""

from collections.abc import Iterator
from contextlib import contextmanager

from commands.context import Context
from commands.layout import Layout
from commands.streams import MoveStreams
from commands.traffic import MoveTraffic, open_traffic
from migration_plans.ownership import OwnershipLedger
from migration_plans.plan import Plan
from migration_plans.run import Narrator, Run
from migration_plans.runner_lock import exclusive
from migration_plans.transfer import Parts
from strangler.clock import SystemClock
from strangler.journal import Journal
from strangler.settings import Settings


@contextmanager
def opened_run(settings: Settings, plan: Plan, narrator: Narrator) -> Iterator[Run]:
    """A run for reading. Take `exclusive_run` for anything that changes something."""
    layout = Layout.of(settings)
    clock = SystemClock()
    service = settings.service(plan.service)
    legacy_ledger = OwnershipLedger(
        side="legacy", dsn=settings.legacy.database, move=plan.move, tables=tuple(plan.tables)
    )
    service_ledger = OwnershipLedger(side="service", dsn=service.database, move=plan.move, tables=plan.target_tables)
    with open_traffic(settings) as traffic, MoveStreams(settings, plan, clock) as streams:
        parts = Parts(
            plan=plan,
            streams=streams,
            traffic=MoveTraffic(settings, plan, traffic),
            legacy=legacy_ledger,
            service=service_ledger,
            journal=Journal(layout.journal(plan.move), clock),
            clock=clock,
        )
        try:
            yield Run(parts=parts, folder=layout.move(plan.move), narrator=narrator)
        finally:
            legacy_ledger.close()
            service_ledger.close()


@contextmanager
def exclusive_run(context: Context, service: str | None, narrator: Narrator) -> Iterator[Run]:
    """A run for changing things: no other command works on the move meanwhile."""
    name = context.service(service)
    settings = context.settings
    with (
        opened_run(settings, context.plan(name), narrator) as opened,
        exclusive(folder=opened.folder, dsn=settings.legacy.database, move=opened.plan.move),
    ):
        yield opened
