"""Where a move stands: the fold of its journal. Pure.

Journal kinds written by the runner: `phase` {event, phase}; `step` {operation, attempt, step, name, state: intent|done,
seconds, …}; `operation` {operation, attempt, state: started|finished|undone, …}; `proof` {…Proof}; `reads` {percent};
`gate` {…GateDecision}; `copy` {rows, seconds}; `ending` {verb}.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from migration_plans.phases import Phase
from migration_plans.ports import Direction, Proof
from strangler.journal import JournalEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenOperation:
    """A transfer that was started and neither finished nor undone: somebody died in it, or is in it."""

    operation: str
    attempt: int
    last_step: int
    last_step_done: bool
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Everything the journal says about one move."""

    phase: Phase = Phase.PLANNED
    since: datetime | None = None
    read_percent: float = 0.0
    open_operation: OpenOperation | None = None
    attempts: int = 0
    proofs: Mapping[Direction, Proof] = field(default_factory=dict)
    last_outcome: Literal["finished", "undone"] | None = None
    """How the newest transfer ended, once it has."""
    ending: Literal["complete", "abort"] | None = None
    """The streams are being dropped: only the same verb may go on."""

    def proof(self, direction: Direction) -> Proof | None:
        return self.proofs.get(direction)


def fold(entries: Iterable[JournalEntry]) -> Progress:
    """Replay a journal."""
    progress = Progress()
    for entry in entries:
        progress = _apply(progress, entry)
    return progress


def _apply(progress: Progress, entry: JournalEntry) -> Progress:
    data = entry.data
    match entry.kind:
        case "phase":
            phase = Phase(data["phase"])
            fresh = Progress(since=entry.at, attempts=progress.attempts) if phase is Phase.PLANNED else progress
            ending = None if phase in (Phase.PLANNED, Phase.COMPLETED) else fresh.ending
            return replace(fresh, phase=phase, since=entry.at, ending=ending)
        case "operation":
            return _operation(progress, entry)
        case "step":
            return _step(progress, data)
        case "proof":
            proof = proof_from_dict(data)
            return replace(progress, proofs={**progress.proofs, proof.direction: proof})
        case "ending":
            return replace(progress, ending=data["verb"])
        case "reads":
            return replace(progress, read_percent=data["percent"])
        case _:
            return progress


def _operation(progress: Progress, entry: JournalEntry) -> Progress:
    if entry.data["state"] != "started":
        return replace(progress, open_operation=None, last_outcome=entry.data["state"])
    attempt = entry.data["attempt"]
    opened = OpenOperation(
        operation=entry.data["operation"], attempt=attempt, last_step=0, last_step_done=False, started_at=entry.at
    )
    return replace(progress, open_operation=opened, attempts=attempt)


def _step(progress: Progress, data: Mapping[str, Any]) -> Progress:
    opened = progress.open_operation
    if opened is None:
        return progress
    opened = replace(
        opened,
        last_step=data["step"],
        last_step_done=data["state"] == "done",
    )
    return replace(progress, open_operation=opened)


def proof_to_dict(proof: Proof) -> dict[str, Any]:
    """JSON form of a proof, for the journal and `--json`."""
    return {**asdict(proof), "at": proof.at.isoformat(), "detail": dict(proof.detail)}


def proof_from_dict(data: Mapping[str, Any]) -> Proof:
    """The inverse of `proof_to_dict`."""
    return Proof(**{**data, "at": datetime.fromisoformat(data["at"])})
