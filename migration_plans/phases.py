"""The state machine of a move: one table, every edge and its way back explicit. Pure.

`TRANSITIONS` is the whole truth; `docs/phases.md` is generated from it and a test walks every (phase, event) pair.
"""

from collections.abc import Mapping
from enum import StrEnum

from migration_plans.errors import WrongPhase


class Phase(StrEnum):
    """Where a move stands. Who owns the tables follows from it (`OWNER`)."""

    PLANNED = "planned"
    PREPARED = "prepared"
    COPYING = "copying"
    FOLLOWING = "following"
    SHADOWING = "shadowing"
    READS_RAMPING = "reads_ramping"
    CUTTING_OVER = "cutting_over"
    SERVICE_OWNED = "service_owned"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"


class PhaseEvent(StrEnum):
    """What moves it on. `BACK` is the step down that loses nothing but progress."""

    PREPARE = "prepare"
    START_COPY = "start_copy"
    COPY_DONE = "copy_done"
    START_SHADOW = "start_shadow"
    START_RAMP = "start_ramp"
    BEGIN_CUTOVER = "begin_cutover"
    BEGIN_ROLLBACK = "begin_rollback"
    FLIPPED = "flipped"
    UNDONE = "undone"
    BACK = "back"
    ABORT = "abort"
    COMPLETE = "complete"


_P, _E = Phase, PhaseEvent

TRANSITIONS: Mapping[Phase, Mapping[PhaseEvent, Phase]] = {
    _P.PLANNED: {_E.PREPARE: _P.PREPARED},
    _P.PREPARED: {_E.START_COPY: _P.COPYING, _E.ABORT: _P.PLANNED},
    _P.COPYING: {_E.COPY_DONE: _P.FOLLOWING, _E.ABORT: _P.PLANNED},
    _P.FOLLOWING: {_E.START_SHADOW: _P.SHADOWING, _E.ABORT: _P.PLANNED},
    _P.SHADOWING: {_E.START_RAMP: _P.READS_RAMPING, _E.BACK: _P.FOLLOWING, _E.ABORT: _P.PLANNED},
    _P.READS_RAMPING: {_E.BEGIN_CUTOVER: _P.CUTTING_OVER, _E.BACK: _P.FOLLOWING, _E.ABORT: _P.PLANNED},
    _P.CUTTING_OVER: {_E.FLIPPED: _P.SERVICE_OWNED, _E.UNDONE: _P.READS_RAMPING},
    _P.SERVICE_OWNED: {_E.BEGIN_ROLLBACK: _P.ROLLING_BACK, _E.COMPLETE: _P.COMPLETED},
    _P.ROLLING_BACK: {_E.FLIPPED: _P.FOLLOWING, _E.UNDONE: _P.SERVICE_OWNED},
    _P.COMPLETED: {},
}

WAY_BACK: Mapping[Phase, str] = {
    _P.PLANNED: "nothing was touched",
    _P.PREPARED: "`strangler rollback` drops slots, publications and fences; legacy was never changed",
    _P.COPYING: "`strangler rollback` stops the copy and drops everything that `prepare` made",
    _P.FOLLOWING: "`strangler rollback` ends the stream and drops everything that `prepare` made",
    _P.SHADOWING: "`strangler rollback` stops the sampling; clients always got the monolith's answer",
    _P.READS_RAMPING: "`strangler rollback` sends all reads to the monolith, which owns the tables throughout",
    _P.CUTTING_OVER: "`strangler resume` lands on legacy before the flip, on the service after it",
    _P.SERVICE_OWNED: "`strangler rollback` hands ownership back; the legacy tables are a live copy",
    _P.ROLLING_BACK: "`strangler resume` lands on the service before the flip, on legacy after it",
    _P.COMPLETED: "none at once: the reverse stream has ended; plan a move in the other direction",
}


def next_phase(phase: Phase, event: PhaseEvent) -> Phase:
    """The phase after `event`. Raises `WrongPhase` when the table has no such edge."""
    target = TRANSITIONS[phase].get(event)
    if target is None:
        possible = ", ".join(TRANSITIONS[phase]) or "none"
        raise WrongPhase(
            thing=f"phase {phase}",
            reason=f"`{event}` is not possible here (possible: {possible})",
            mend="`strangler status` shows where the move stands and what comes next",
        )
    return target


def as_mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {_P.PLANNED}"]
    lines += [
        f"    {source} --> {target}: {event}"
        for source, edges in TRANSITIONS.items()
        for event, target in edges.items()
    ]
    return "\n".join([*lines, f"    {_P.COMPLETED} --> [*]"]) + "\n"
