"""The answer of `strangler status`, as one JSON-able value."""

from dataclasses import asdict
from typing import Any

from migration_plans.phases import TRANSITIONS, WAY_BACK, Phase
from migration_plans.ports import Direction
from migration_plans.run import Run
from strangler.errors import StranglerError

_NEXT = {
    Phase.PLANNED: "run",
    Phase.PREPARED: "run",
    Phase.COPYING: "run",
    Phase.FOLLOWING: "run",
    Phase.SHADOWING: "run",
    Phase.READS_RAMPING: "cutover",
    Phase.CUTTING_OVER: "resume",
    Phase.SERVICE_OWNED: "complete",
    Phase.ROLLING_BACK: "resume",
}


def move_status(run: Run) -> dict[str, Any]:
    """Journal, ownership rows, streams and proofs of one move. A part that does not answer is named, not hidden."""
    progress = run.progress()
    opened = progress.open_operation
    return {
        "move": run.plan.move,
        "phase": str(progress.phase),
        "since": progress.since.isoformat() if progress.since else None,
        "paused": run.paused(),
        "interrupted": asdict(opened) if opened else None,
        "reads_on_service_percent": progress.read_percent,
        "ownership": _ownership(run),
        "streams": {direction: _stream(run, direction) for direction in ("forward", "reverse")}
        if progress.phase not in (Phase.PLANNED, Phase.COMPLETED)
        else {},
        "proofs": {
            direction: {
                "equal": proof.equal,
                "rows": proof.rows,
                "position": proof.position,
                "age_s": (run.parts.clock.now() - proof.at).total_seconds(),
            }
            for direction, proof in progress.proofs.items()
        },
        "next": _next(run, progress.phase, interrupted=opened is not None),
        "possible": [str(event) for event in TRANSITIONS[progress.phase]],
        "way_back": WAY_BACK[progress.phase],
    }


def _next(run: Run, phase: Phase, *, interrupted: bool) -> str | None:
    if interrupted:
        return f"strangler resume {run.plan.move}"
    verb = _NEXT.get(phase)
    if phase is Phase.READS_RAMPING and run.progress().read_percent < 100:
        verb = "run"
    return f"strangler {verb} {run.plan.move}" if verb else None


def _ownership(run: Run) -> dict[str, Any]:
    try:
        pair = run.parts.ownership()
    except StranglerError as error:
        return error.as_dict()
    if pair is None:
        return {"owner": "legacy", "installed": False}
    return {
        "owner": pair.owner,
        "installed": True,
        "epoch": pair.epoch,
        "settled": pair.settled,
        "legacy_fenced": pair.legacy.fenced,
        "service_fenced": pair.service.fenced,
    }


def _stream(run: Run, direction: Direction) -> dict[str, Any]:
    try:
        lag = run.parts.streams.lag(direction)
    except StranglerError as error:
        return error.as_dict()
    return {key: value for key, value in asdict(lag).items() if key != "direction"}
