"""following → shadowing: a sampled parallel run of reads until its gate passes. Clients get the monolith's answer."""

from migration_plans.errors import GateHeld
from migration_plans.gates import GateDecision, Verdict, parallel_run_gate
from migration_plans.phases import Phase, PhaseEvent
from migration_plans.run import Run

_POLL_S = 0.5


def shadow(run: Run, *, timeout_s: float | None = None) -> GateDecision | None:
    """Sample, compare, and wait for a verdict; a FAIL stops the sampling's advance and raises `GateHeld`."""
    phase = run.progress().phase
    if phase is Phase.FOLLOWING:
        run.parts.traffic.reset_parallel_run()
        run.parts.traffic.set_inspect_percent(run.plan.shadow.sample_percent)
        run.advance(PhaseEvent.START_SHADOW)
    elif phase is not Phase.SHADOWING:
        return None
    decision: GateDecision | None = None

    def decided() -> bool:
        nonlocal decision
        seen = run.parts.traffic.parallel_run()
        decision = parallel_run_gate(seen, run.plan.shadow)
        run.narrator.progress(
            f"parallel run: {seen.compared} compared, {seen.confirmed} confirmed, {seen.raced} raced",
            min(seen.compared, run.plan.shadow.min_compared),
            run.plan.shadow.min_compared,
        )
        return decision.verdict in (Verdict.PASS, Verdict.FAIL)

    in_time = run.wait_until(decided, every_s=_POLL_S, timeout_s=timeout_s)
    assert decision is not None
    run.record(decision)
    if not in_time or not decision.passes:
        raise GateHeld(
            thing=f"parallel run of {run.plan.move}",
            reason=f"{decision.verdict}: {decision.reason}",
            mend=decision.mend,
        )
    run.narrator.say(f"parallel run passed: {decision.reason}")
    return decision
