"""Rows that looked different while the stream ran: late, or really different? (V3, V4)

One round reads the source row, waits until everything committed up to then is applied, reads the target row, and
reads the source row again. If the source row is still the same *version*, the target row must equal it: what is
different then is a real difference, and what changed in between is asked again in the next round.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from cdc.verify.reading import Both, Key, RowState
from cdc.verify.statements import Comparison

Kind = Literal["missing", "extra", "different"]
Outcome = Kind | Literal["equal", "moving"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """`different`: proven, by target key. `moving`: changed in every round."""

    different: Mapping[Key, Kind]
    moving: frozenset[Key]


def settle(
    both: Both, comparison: Comparison, keys: Collection[Key], *, wait_caught_up: Callable[[], None], rounds: int
) -> Settled:
    """Ask at most `rounds` times about those of `keys` (target keys) that are still open."""
    different: dict[Key, Kind] = {}
    open_keys = sorted(keys)
    seen: Mapping[Key, RowState] = {}
    for _ in range(rounds):
        if not open_keys:
            break
        before = both.source.states(comparison.source, open_keys)
        wait_caught_up()
        target = both.target.states(comparison.target, open_keys)
        after = both.source.states(comparison.source, open_keys)
        still_open: list[Key] = []
        for key in open_keys:
            outcome = judge(before.get(key), target.get(key), after.get(key), seen.get(key))
            if outcome == "moving":
                still_open.append(key)
            elif outcome != "equal":
                different[key] = outcome
        open_keys, seen = still_open, target
    return Settled(different=different, moving=frozenset(open_keys))


def judge(
    before: RowState | None, target: RowState | None, after: RowState | None, target_last_round: RowState | None
) -> Outcome:
    """What one round proves about one key. Pure.

    An absent source row has no version, so an insert and delete in between would go unseen; a surplus target row is
    therefore proven only when it is the very row of the round before, which outlived the wait.
    """
    if (before and before.hash) == (target and target.hash):
        return "equal"
    if before is None:
        stayed = target is not None and target_last_round is not None and target.version == target_last_round.version
        return "extra" if after is None and stayed else "moving"
    if after is None or after.version != before.version:
        return "moving"
    return "different" if target is not None else "missing"
