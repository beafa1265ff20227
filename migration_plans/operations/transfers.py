"""cut over, roll back, and settle what a killed runner left."""

from dataclasses import replace

from migration_plans.operations.abort import abort
from migration_plans.operations.copy import follow, verify
from migration_plans.operations.ramp import reads_back
from migration_plans.phases import Phase, PhaseEvent
from migration_plans.ports import Proof
from migration_plans.run import Run
from migration_plans.transfer import Operation, Transfer, TransferResult
from strangler.errors import Refused, TooBusy


def cut_over(run: Run) -> TransferResult | None:
    """reads_ramping → service_owned, with a fresh proof and all reads on the service. None when it already owns."""
    if (landed := settle(run)) is not None:
        return landed
    run.refuse_if_ending()
    progress = run.progress()
    if progress.phase is Phase.SERVICE_OWNED:
        run.narrator.say("the service owns already")
        return None
    run.check(PhaseEvent.BEGIN_CUTOVER)
    if progress.read_percent < 100:
        raise Refused(
            thing=f"cutover of {run.plan.move}",
            reason=f"the service answers only {progress.read_percent:g} % of reads: clients would read stale rows",
            mend=f"run `strangler run {run.plan.move}` until reads are at 100 %",
        )
    follow(run, "forward")
    return _transfer(run, "cutover", verify(run, "forward"))


def roll_back(run: Run) -> TransferResult | None:
    """One command back from any phase. Returns the transfer's result when ownership had to be handed back."""
    if run.progress().phase is Phase.ROLLING_BACK and (landed := settle(run)) is not None:
        return landed
    settle(run)
    run.refuse_if_ending("abort")
    phase = run.progress().phase
    if phase is Phase.SERVICE_OWNED:
        follow(run, "reverse")
        return _transfer(run, "rollback", verify(run, "reverse"))
    if phase in (Phase.SHADOWING, Phase.READS_RAMPING):
        reads_back(run)
    elif phase in (Phase.PREPARED, Phase.COPYING, Phase.FOLLOWING):
        abort(run)
    else:
        run.check(PhaseEvent.BEGIN_ROLLBACK)
    return None


def settle(run: Run) -> TransferResult | None:
    """Land an interrupted transfer on the owner that the databases name. A no-op when none is open."""
    opened = run.progress().open_operation
    phase = run.progress().phase
    if opened is None and phase not in (Phase.CUTTING_OVER, Phase.ROLLING_BACK):
        return None
    operation: Operation = "cutover" if phase is Phase.CUTTING_OVER else "rollback"
    transfer = Transfer(run.parts, operation=operation, attempt=run.progress().attempts)
    landed = transfer.settle("settled after an interruption")
    run.advance(PhaseEvent.UNDONE if landed is None else PhaseEvent.FLIPPED)
    owner = transfer.giver if landed is None else transfer.taker
    run.narrator.say(f"settled the interrupted {operation}: {owner} owns")
    return landed


def _transfer(run: Run, operation: Operation, proof: Proof) -> TransferResult:
    """Hand over. What only the load of the moment defeats is undone, and tried again as often as the plan says."""
    plan = run.plan.cutover
    longest_s = 0.0
    for attempt in range(1, plan.attempts + 1):
        transfer = Transfer(run.parts, operation=operation, attempt=run.progress().attempts + 1)
        try:
            result = _attempt(run, transfer, proof)
            return replace(result, undone_attempts=attempt - 1, undone_hold_ms=longest_s * 1000)
        except TooBusy as busy:
            longest_s = max(longest_s, transfer.held_s)
            if attempt == plan.attempts:
                raise
            run.narrator.say(f"attempt {attempt} of {plan.attempts} undone: {busy.reason}; again in {plan.pause_s:g} s")
            run.parts.clock.sleep(plan.pause_s)
    raise AssertionError("a plan has at least one attempt")


def _attempt(run: Run, transfer: Transfer, proof: Proof) -> TransferResult:
    run.advance(PhaseEvent.BEGIN_CUTOVER if transfer.operation == "cutover" else PhaseEvent.BEGIN_ROLLBACK)
    try:
        result = transfer.run(proof)
    except BaseException:
        ended = run.progress()
        if ended.open_operation is None:
            run.advance(PhaseEvent.FLIPPED if ended.last_outcome == "finished" else PhaseEvent.UNDONE)
        raise
    run.advance(PhaseEvent.FLIPPED)
    run.narrator.say(
        f"{transfer.operation}: {result.owner} owns since epoch {result.epoch}; held {result.held_requests} requests, "
        f"longest {result.hold_max_ms:.0f} ms"
    )
    return result
