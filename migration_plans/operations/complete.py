"""service_owned → completed: the reverse stream ends. The only step without an immediate way back."""

from migration_plans.operations.copy import follow
from migration_plans.phases import PhaseEvent
from migration_plans.run import Run, note


def complete(run: Run) -> None:
    """Let the legacy copy catch up a last time, then drop both streams. The legacy fence stays raised for good."""
    run.refuse_if_open()
    run.refuse_if_ending("complete")
    run.check(PhaseEvent.COMPLETE)
    if run.progress().ending is None:
        follow(run, "reverse")
        position = run.parts.streams.emit_barrier("reverse")
        run.parts.streams.wait_applied("reverse", position, run.plan.cutover.catch_up_timeout_s)
        note(run, "ending", verb="complete")
    run.parts.streams.deprovision(empty_target=False)
    run.advance(PhaseEvent.COMPLETE)
