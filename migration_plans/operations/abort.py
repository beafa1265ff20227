"""Back to planned: everything that `prepare` made is dropped; legacy is as if the move had never been (O4)."""

from migration_plans.phases import PhaseEvent
from migration_plans.run import Run, note
from strangler.errors import Refused


def abort(run: Run) -> None:
    """Only while legacy owns. The rows that our copy brought into the service's database are removed again."""
    run.check(PhaseEvent.ABORT)
    run.refuse_if_ending("abort")
    refuse_unless_legacy_owns(run)
    if run.progress().ending is None:
        note(run, "ending", verb="abort")
    run.parts.traffic.uninstall()
    run.parts.streams.deprovision(empty_target=True)
    run.parts.service.uninstall()
    run.parts.legacy.uninstall()
    run.unpause()
    run.advance(PhaseEvent.ABORT)


def refuse_unless_legacy_owns(run: Run) -> None:
    """Whatever the journal says: the legacy database itself must say so, or must never have heard of the move."""
    row = run.parts.legacy.read()
    if row is not None and row.owner != "legacy":
        raise Refused(
            thing=f"ownership of {run.plan.move}",
            reason=f"the legacy database says that the service owns since epoch {row.epoch}",
            mend="restore the state folder of the runner that moved it, or hand ownership back with "
            f"`strangler resume {run.plan.move}` and `strangler rollback {run.plan.move}`",
        )
