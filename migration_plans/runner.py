"""Takes a move forward, phase by phase, up to a chosen one. Re-running converges: each operation skips what is done."""

from migration_plans.operations.copy import copy
from migration_plans.operations.prepare import prepare
from migration_plans.operations.ramp import ramp
from migration_plans.operations.shadow import shadow
from migration_plans.operations.transfers import cut_over, settle
from migration_plans.phases import Phase
from migration_plans.run import Run

FORWARD: tuple[Phase, ...] = (
    Phase.PREPARED,
    Phase.COPYING,
    Phase.FOLLOWING,
    Phase.SHADOWING,
    Phase.READS_RAMPING,
    Phase.SERVICE_OWNED,
)
"""The phases that `advance_to` accepts, in order."""


def advance_to(run: Run, until: Phase, *, hold_s: float | None = None) -> None:
    """Advance until the move has reached `until` (READS_RAMPING: with all of the plan's shares taken)."""
    settle(run)
    run.refuse_if_ending()
    goal = FORWARD.index(until)
    prepare(run)
    if goal >= FORWARD.index(Phase.COPYING):
        copy(run)
    if goal >= FORWARD.index(Phase.SHADOWING):
        shadow(run)
    if goal >= FORWARD.index(Phase.READS_RAMPING):
        ramp(run, hold_s=hold_s)
    if goal >= FORWARD.index(Phase.SERVICE_OWNED) and run.progress().phase is Phase.READS_RAMPING:
        cut_over(run)
