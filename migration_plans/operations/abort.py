"""Back to planned: everything that `prepare` made is dropped; legacy is as if the move had never been (O4)."""

from migration_plans.phases import PhaseEvent
from migration_plans.run import Run


def abort(run: Run) -> None:
    """Only while legacy owns. The rows that our copy brought into the service's database are removed again."""
    run.check(PhaseEvent.ABORT)
    run.parts.traffic.uninstall()
    run.parts.streams.deprovision(empty_target=True)
    run.parts.service.uninstall()
    run.parts.legacy.uninstall()
    run.unpause()
    run.advance(PhaseEvent.ABORT)
