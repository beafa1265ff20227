"""What the gate is told, and what it tells: values and their JSON. Pure."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from router.errors import BadTable
from router.rules import Side

GateWord = Literal["open", "closed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GateState(_Frozen):
    """One move's gate: `open` answers each write with `owner`, `closed` holds it. `version` grows by one a change."""

    version: int = Field(ge=1)
    state: GateWord
    owner: Side


class GateStates(_Frozen):
    """The content of the state file."""

    moves: dict[str, GateState] = Field(default_factory=dict)


class HoldTimes(_Frozen):
    """How long requests were held, in milliseconds."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Closure(_Frozen):
    """One time that the gate was closed, or did not know better. `open_after_ms` is None while it lasts."""

    version: int
    closed_at: str
    open_after_ms: float | None
    released_to: Side | None
    released: int
    refused: int
    left: int
    hold_ms: HoldTimes


class GateMoveStatus(_Frozen):
    """`version` is the one in force (0: the gate knows nothing of this move and holds its writes).

    `admitted` counts all writes let through, `held_total` those that had to wait, `released` those that waited and
    went on, `refused` those turned away because too many waited or one waited too long, `left` those whose client went.
    `hold_ms` is of the last closure that ended.
    """

    version: int
    state: GateWord
    owner: Side | None
    held_now: int
    oldest_held_ms: float
    held_total: int
    admitted: int
    released: int
    refused: int
    left: int
    hold_ms: HoldTimes
    closures: tuple[Closure, ...]


class GateStatus(_Frozen):
    """`file_error` says why the state file cannot be believed; all writes are held while it is set."""

    pid: int
    file_error: str | None
    moves: dict[str, GateMoveStatus]


def parse_states(raw: bytes, where: str) -> GateStates:
    """The content of a state file, or `BadTable`."""
    try:
        return GateStates.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "content"
        raise BadTable(
            thing=f"{where}: {key}",
            reason=first["msg"],
            mend="the gate holds all writes meanwhile; write the state again with `strangler route gate`",
        ) from None


def hold_times(held_s: list[float]) -> HoldTimes:
    """Summary of hold times given in seconds (nearest rank)."""
    if not held_s:
        return HoldTimes()
    ordered = sorted(held_s)

    def rank(percent: int) -> float:
        return round(ordered[-(-len(ordered) * percent // 100) - 1] * 1000, 3)

    return HoldTimes(count=len(ordered), p50=rank(50), p99=rank(99), max=rank(100))
