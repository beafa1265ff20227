"""Does a row say what the client was told? Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from demo.audit_ledger import Expectation

Kind = Literal["lost", "duplicated", "diverged"]
WriteAt = Callable[[int], Mapping[str, Any]]
"""From a line's offset to its `write`."""

State = Mapping[str, Any] | None
"""Columns that must have these values, or None: there must be no row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong with one row."""

    kind: Kind
    detail: str


def accepted_states(expectation: Expectation, write_at: WriteAt) -> list[State] | None:
    """The states that the ledger allows, most likely first; None: it allows any."""
    before = _known_state(expectation, write_at)
    if expectation.unknown is None:
        return None if before is _ANY else [before]
    unknown = write_at(expectation.unknown)
    if before is _ANY:
        return None if "id" in unknown["key"] or unknown["entity"] == "product_category" else [unknown["values"], None]
    if unknown["op"] == "delete":
        return [before, None]
    return [before, _after(before, unknown)]


def judge(accepted: list[State] | None, row: Mapping[str, Any] | None) -> Fault | None:
    """None when the row is as one of the accepted states says."""
    if accepted is None or any(_fits(state, row) for state in accepted):
        return None
    states = [state for state in accepted if state is not None]
    if row is None:
        return Fault(kind="lost", detail="the row is missing")
    if not states:
        return Fault(kind="lost", detail="the row was deleted, yet is there")
    versions = [state["version"] for state in states if "version" in state]
    if versions and row["version"] < min(versions):
        return Fault(kind="lost", detail=f"version {row['version']}, acknowledged was {min(versions)}")
    if versions and row["version"] > max(versions):
        return Fault(kind="duplicated", detail=f"version {row['version']}, acknowledged was {max(versions)}")
    return Fault(kind="diverged", detail=_difference(states[0], row))


_ANY: Mapping[str, Any] = {"": "any state"}


def _known_state(expectation: Expectation, write_at: WriteAt) -> State:
    """What the acknowledged writes alone say."""
    closed = expectation.closed_by
    closing = {} if closed is None else {"valid_to": write_at(closed)["values"]["valid_from"]}
    if expectation.acknowledged is None:
        return closing or _ANY
    last = write_at(expectation.acknowledged)
    if last["op"] == "delete":
        return None
    state = {**last["values"], **closing}
    if expectation.maybe_closed:
        del state["valid_to"]
    return state


def _after(before: State, unknown: Mapping[str, Any]) -> State:
    state = {name: value for name, value in (before or {}).items() if name != "updated_at"}
    if "version" in state:
        state["version"] += 1
    return {**state, **(unknown["values"] or {})}


def _fits(state: State, row: Mapping[str, Any] | None) -> bool:
    if state is None or row is None:
        return state is None and row is None
    return all(row[name] == value for name, value in state.items())


def _difference(state: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    parts = [
        f"{name} is {_short(row[name])}, acknowledged was {_short(value)}"
        for name, value in state.items()
        if row[name] != value
    ]
    return "; ".join(parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
