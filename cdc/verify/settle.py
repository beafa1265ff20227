"""Rows that looked different while the stream ran: late, or really different? (V3, V4)

One round reads the source row, waits until everything committed up to then is applied, reads the target row, and
reads the source row again. If the source row is still the same *version*, the target row should equal it. A
difference is proven when two rounds in a row see the very same two row versions: whatever either side was about to
do in the first round, it has had a whole further round to do. What changes in between is asked again.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from cdc.verify.bags import BagComparison
from cdc.verify.checksums import Key
from cdc.verify.reading import Both, RowState
from cdc.verify.statements import Comparison

Kind = Literal["missing", "extra", "different"]
Outcome = Kind | Literal["equal", "moving"]
_Sighting = tuple[Kind, RowState | None, RowState | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """`different`: proven, by target key. `moving`: changed in every round."""

    different: Mapping[Key, Kind]
    moving: frozenset[Key]


def settle(
    both: Both,
    comparison: Comparison | BagComparison,
    keys: Collection[Key],
    *,
    wait_caught_up: Callable[[], None],
    rounds: int,
) -> Settled:
    """Ask at most `rounds` (two or more) times about those of `keys` (target keys) that are still open."""
    different: dict[Key, Kind] = {}
    counted = isinstance(comparison, BagComparison)
    open_keys = sorted(keys)
    sightings: dict[Key, _Sighting] = {}
    for _ in range(rounds):
        if not open_keys:
            break
        before = both.source.states(comparison.source, open_keys)
        wait_caught_up()
        target = both.target.states(comparison.target, open_keys)
        after = both.source.states(comparison.source, open_keys)
        seen_now: dict[Key, _Sighting] = {}
        still_open: list[Key] = []
        for key in open_keys:
            outcome = judge(before.get(key), target.get(key), after.get(key))
            if outcome == "equal" and counted and _version(before.get(key)) != _version(after.get(key)):
                # One more that came meanwhile looks just like one that the target lacks.
                outcome = "moving"
            if outcome == "equal":
                continue
            if outcome != "moving":
                seen_now[key] = (outcome, before.get(key), target.get(key))
                if seen_now[key] == sightings.get(key):
                    different[key] = outcome
                    continue
            still_open.append(key)
        open_keys, sightings = still_open, seen_now
    return Settled(different=different, moving=frozenset(open_keys))


def judge(before: RowState | None, target: RowState | None, after: RowState | None) -> Outcome:
    """What one round shows about one key. Pure. An absent source row has no version: one round proves nothing of it."""
    if (before and before.hash) == (target and target.hash):
        return "equal"
    if _version(before) != _version(after):
        return "moving"
    return "extra" if before is None else "missing" if target is None else "different"


def _version(row: RowState | None) -> str | None:
    return None if row is None else row.version
