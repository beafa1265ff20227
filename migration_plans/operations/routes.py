"""Set shares by hand, within what the phase allows."""

from migration_plans.gates import stream_gate
from migration_plans.phases import Phase
from migration_plans.run import Run, note
from strangler.errors import Refused

_MAY_READ = (Phase.READS_RAMPING, Phase.SERVICE_OWNED)
_MAY_INSPECT = (Phase.SHADOWING, Phase.READS_RAMPING)


def set_shares(run: Run, *, reads_percent: float | None, inspect_percent: float | None) -> None:
    """Lowering is always allowed while legacy owns; raising needs the phase and a live stream (C13)."""
    run.refuse_if_open()
    run.refuse_if_ending()
    phase = run.progress().phase
    if phase in (Phase.CUTTING_OVER, Phase.ROLLING_BACK):
        raise Refused(
            thing=f"{run.plan.move} in phase {phase}",
            reason="its routes belong to the transfer",
            mend=f"run `strangler resume {run.plan.move}` first",
        )
    if reads_percent is not None:
        _allow_reads(run, phase, reads_percent)
        run.parts.traffic.set_read_percent(reads_percent)
        note(run, "reads", percent=reads_percent)
    if inspect_percent is not None:
        if inspect_percent > 0 and phase not in _MAY_INSPECT:
            raise _too_early(run, phase, "compare reads", Phase.SHADOWING)
        run.parts.traffic.set_inspect_percent(inspect_percent)
    run.narrator.say(f"reads on the service: {run.progress().read_percent:g} %")


def _allow_reads(run: Run, phase: Phase, percent: float) -> None:
    if phase in (Phase.SERVICE_OWNED, Phase.COMPLETED) and percent < 100:
        raise Refused(
            thing=f"reads of {run.plan.move}",
            reason="the service owns the writes: reads on legacy would be behind"
            if phase is Phase.SERVICE_OWNED
            else "the legacy copy is not kept up to date any more",
            mend=f"`strangler rollback {run.plan.move}` brings reads and writes back together"
            if phase is Phase.SERVICE_OWNED
            else "plan a move in the other direction",
        )
    if percent <= run.progress().read_percent:
        return
    if phase not in _MAY_READ:
        raise _too_early(run, phase, "read from the service", Phase.READS_RAMPING)
    decision = stream_gate(run.parts.streams.lag("forward"), run.plan.cutover)
    if phase is Phase.READS_RAMPING and not decision.passes:
        raise Refused(thing=f"gate {decision.gate}", reason=decision.reason, mend=decision.mend)


def _too_early(run: Run, phase: Phase, what: str, needed: Phase) -> Refused:
    return Refused(
        thing=f"{run.plan.move} in phase {phase}",
        reason=f"too early to {what}",
        mend=f"`strangler run {run.plan.move} --until {needed}` gets there",
    )
