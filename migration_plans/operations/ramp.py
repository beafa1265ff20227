"""shadowing → reads_ramping: reads move to the service share by share; writes stay with legacy."""

from migration_plans.errors import GateHeld
from migration_plans.gates import Verdict, parallel_run_gate, stream_gate
from migration_plans.phases import Phase, PhaseEvent
from migration_plans.run import Run, note

_POLL_S = 0.25


def ramp(run: Run, *, hold_s: float | None = None) -> None:
    """Go through the plan's shares that are still ahead, holding each and watching the gates meanwhile."""
    if run.progress().phase is Phase.SHADOWING:
        run.advance(PhaseEvent.START_RAMP)
    if run.progress().phase is not Phase.READS_RAMPING:
        return
    for percent in run.plan.ramp.reads_percent:
        if percent > run.progress().read_percent:
            _take_share(run, percent, run.plan.ramp.hold_s if hold_s is None else hold_s)
    run.parts.traffic.set_inspect_percent(0)


def _take_share(run: Run, percent: float, hold_s: float) -> None:
    run.parts.traffic.set_read_percent(percent)
    note(run, "reads", percent=percent)
    run.narrator.say(f"the service answers {percent:g} % of clients' reads")
    until = run.parts.clock.monotonic() + hold_s

    def held() -> bool:
        passes = _watch(run)
        left_s = until - run.parts.clock.monotonic()
        run.narrator.progress(f"holding at {percent:g} %", hold_s - max(0.0, left_s), hold_s)
        return left_s <= 0 and passes

    run.wait_until(held, every_s=_POLL_S)


def _watch(run: Run) -> bool:
    """Whether both gates pass, which a share needs to end. A failing one sends all reads back to legacy at once."""
    decisions = (
        stream_gate(run.parts.streams.lag("forward"), run.plan.cutover),
        parallel_run_gate(run.parts.traffic.parallel_run(), run.plan.shadow),
    )
    for decision in decisions:
        if decision.verdict is Verdict.FAIL:
            run.record(decision)
            reads_back(run)
            raise GateHeld(
                thing=f"ramp of {run.plan.move}",
                reason=f"{decision.gate}: {decision.reason}; all reads went back to legacy",
                mend=decision.mend,
            )
    return all(decision.passes for decision in decisions)


def reads_back(run: Run) -> None:
    """All reads and samples to legacy, in one step; the stream goes on."""
    note(run, "reads", percent=0.0)
    run.parts.traffic.set_read_percent(0)
    run.parts.traffic.set_inspect_percent(0)
    run.advance(PhaseEvent.BACK)
