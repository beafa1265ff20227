"""service_owned → completed: the reverse stream ends. The only step without an immediate way back."""

from migration_plans.operations.copy import follow
from migration_plans.phases import PhaseEvent
from migration_plans.run import Run


def complete(run: Run) -> None:
    """Let the legacy copy catch up a last time, then drop both streams. The legacy fence stays raised for good."""
    run.refuse_if_open()
    run.check(PhaseEvent.COMPLETE)
    follow(run, "reverse")
    position = run.parts.streams.emit_barrier("reverse")
    run.parts.streams.wait_applied("reverse", position, run.plan.cutover.catch_up_timeout_s)
    run.parts.streams.deprovision(empty_target=False)
    run.advance(PhaseEvent.COMPLETE)
