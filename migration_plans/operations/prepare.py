"""planned → prepared: slots, publications, ownership, fences, routes. Legacy is not slowed or changed for its users."""

from migration_plans.operations.abort import refuse_unless_legacy_owns
from migration_plans.phases import Phase, PhaseEvent
from migration_plans.run import Run
from strangler.errors import BadInput


def prepare(run: Run) -> None:
    """Make everything that a move needs, after a preflight that touches nothing."""
    if run.progress().phase is not Phase.PLANNED:
        return
    refuse_unless_legacy_owns(run)
    preflight(run)
    run.narrator.say("preparing: slots, publications, ownership and fences in both databases")
    run.parts.legacy.install(owner="legacy")
    run.parts.service.install(owner="legacy")
    run.parts.streams.provision()
    run.parts.traffic.install()
    run.advance(PhaseEvent.PREPARE)


def preflight(run: Run) -> None:
    """Raise the first thing that stands in the way. Changes nothing anywhere."""
    problems = run.parts.streams.preflight()
    if problems:
        thing, reason, mend = problems[0]
        more = f" (and {len(problems) - 1} more: `strangler plan check`)" if len(problems) > 1 else ""
        raise BadInput(thing=thing, reason=reason + more, mend=mend)
