"""prepared → copying → following: the initial copy in chunks while the stream runs, then a first full verification."""

from migration_plans.errors import SidesDiffer
from migration_plans.gates import stream_gate
from migration_plans.phases import Phase, PhaseEvent
from migration_plans.ports import Direction, LagSeen, Proof, direction_from
from migration_plans.progress import proof_to_dict
from migration_plans.run import Run, note
from strangler.errors import Refused

_POLL_S = 0.5
_WORKER_START_S = 60.0
_CANARY_S = 60.0


def copy(run: Run) -> None:
    """Request the copy, wait for it, catch up, verify."""
    if run.progress().phase is Phase.PREPARED:
        run.parts.streams.request_copy()
        run.advance(PhaseEvent.START_COPY)
    if run.progress().phase is not Phase.COPYING:
        return
    began = run.parts.clock.monotonic()
    idle_since = began

    def finished() -> bool:
        nonlocal idle_since
        seen = run.parts.streams.copy_progress()
        run.narrator.progress(f"copying, {seen.rows:,} rows", seen.tables_done, seen.tables)
        lag = run.parts.streams.lag("forward")
        if lag.error is not None:
            _refuse_stream(lag)
        if lag.state not in ("idle", "absent", "silent"):
            idle_since = run.parts.clock.monotonic()
        elif run.parts.clock.monotonic() - idle_since > _WORKER_START_S:
            _refuse_stream(lag)
        return seen.done

    run.wait_until(finished, every_s=_POLL_S)
    seen = run.parts.streams.copy_progress()
    note(run, "copy", rows=seen.rows, seconds=seen.seconds or run.parts.clock.monotonic() - began)
    run.narrator.say(f"copied {seen.rows:,} rows in {seen.seconds:.1f} s while the stream ran")
    follow(run, "forward")
    verify(run, "forward")
    run.advance(PhaseEvent.COPY_DONE)


def follow(run: Run, direction: Direction) -> None:
    """Wait until the stream has caught up. The canary makes an idle stream show where it stands."""

    def near() -> bool:
        run.parts.streams.exercise(direction, _CANARY_S)
        lag = run.parts.streams.lag(direction)
        if lag.error is not None:
            _refuse_stream(lag)
        run.narrator.progress(f"catching up, {lag.bytes:,} bytes behind", 0, 0)
        return stream_gate(lag, run.plan.cutover).passes

    run.wait_until(near, every_s=_POLL_S)


def compare(run: Run, direction: Direction | None = None) -> Proof:
    """Compare every row and journal the proof, whatever it says. Direction: from the owner unless given."""
    pair = run.parts.ownership()
    chosen = direction or direction_from(pair.owner if pair is not None else "legacy")
    run.narrator.say(f"verifying every row, {chosen}")
    proof = run.parts.streams.verify(chosen)
    note(run, "proof", **proof_to_dict(proof))
    return proof


def verify(run: Run, direction: Direction) -> Proof:
    """`compare`, and raise `SidesDiffer` when the sides do."""
    proof = compare(run, direction)
    if not proof.equal:
        raise SidesDiffer(
            thing=f"{run.plan.move} {direction}",
            reason=f"{proof.difference_count} rows differ after re-checking those in flight",
            mend=f"`strangler verify {run.plan.move}` lists them by key",
        )
    run.narrator.say(f"verified {proof.rows:,} rows equal at {proof.position} in {proof.seconds:.1f} s")
    return proof


def _refuse_stream(lag: LagSeen) -> None:
    raise Refused(
        thing=f"stream {lag.direction}",
        reason=lag.error or f"no worker is running (state {lag.state})",
        mend="start `strangler cdc stream`, or mend what stopped it; then run the command again",
    )
