"""The affinity graph: how strongly each two units belong together, in several defensible readings. Pure.

No single reading is right for every system, so boundaries are what many readings agree on (`boundaries`). Each is
taken from a part of the rows, so that a boundary that hangs on a few functionalities is seen to be weak. To make that
cheap, rows are dealt into groups and every group's products are kept; a reading adds some of them up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from migration_plans.assess.evidence import Evidence
from migration_plans.assess.facts import FloatArray, Offsets

_SMALL_ROW = 32
"""Units; a row up to here is added pair by pair."""
_PAIRS_AT_ONCE = 1_000_000
_ROWS_AT_ONCE = 1024
"""Dense rows in memory."""
_REFERENCE_SHARE = 0.4
"""Of the graph's mass that foreign keys get where they weigh as much as there are units."""


Spread = Literal["unit", "row"]
Rarity = Literal["root", "log", "log+1"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How rows become edges.

    `spread`: what a row of k units gives: 1 to each unit, shared among the k − 1 others, or 1 in all, shared among its
    pairs. Both damp bulk jobs, the second more.
    `rarity`: how much a unit counts that is in many rows: by log(rows ÷ its rows), by the root of that, or by one more
    than that. All damp hubs; what at least half of the functionalities use is damped besides (`Evidence.distinction`).
    `writes`: what two units written together gain besides.
    """

    spread: Spread
    rarity: Rarity
    writes: float


READINGS = tuple(
    Reading(spread=spread, rarity=rarity, writes=writes)
    for spread, rarity, writes in product(get_args(Spread), get_args(Rarity), (0.0, 1.0, 3.0))
)


class AffinityParts:
    """Products of each group of rows, from which readings are added up."""

    def __init__(self, evidence: Evidence, *, groups: int, rng: np.random.Generator) -> None:
        self.groups = groups
        self._evidence = evidence
        units = evidence.units
        self._together = {
            (spread, mode): np.zeros((groups, units, units), dtype=np.float32)
            for spread in ("unit", "row")
            for mode in ("used", "written")
        }
        self._frequency = np.zeros((groups, units))
        self._rows = np.zeros(groups)
        size = np.diff(evidence.starts)
        telling = rng.permutation(np.flatnonzero(size > 1))
        for group in range(groups):
            members = np.sort(telling[group::groups])
            self._add(group, members)

    def _add(self, group: int, rows: Offsets) -> None:
        """Pair by pair for small rows, as dense matrices for the few that touch very much."""
        size = np.diff(self._evidence.starts)[rows]
        small = rows[size <= _SMALL_ROW]
        pairs = np.cumsum(np.diff(self._evidence.starts)[small] ** 2)
        for part in np.split(
            small, np.searchsorted(pairs, np.arange(_PAIRS_AT_ONCE, pairs[-1:].sum(), _PAIRS_AT_ONCE))
        ):
            self._add_pairs(group, part)
        large = rows[size > _SMALL_ROW]
        for begin in range(0, len(large), _ROWS_AT_ONCE):
            self._add_dense(group, large[begin : begin + _ROWS_AT_ONCE])
        weight = self._evidence.weight[rows]
        at = _positions(self._evidence.starts, rows)
        self._frequency[group] += np.bincount(
            self._evidence.used[at], weights=np.repeat(weight, size), minlength=self._evidence.units
        )
        self._rows[group] += weight.sum()

    def _add_pairs(self, group: int, rows: Offsets) -> None:
        evidence, units = self._evidence, self._evidence.units
        size = np.diff(evidence.starts)[rows]
        flat: list[Offsets] = []
        both_written: list[npt.NDArray[np.bool_]] = []
        of_row: list[Offsets] = []
        for width in np.unique(size).tolist():
            alike = np.flatnonzero(size == width)
            at = evidence.starts[rows[alike], None] + np.arange(width)
            used, written = evidence.used[at].astype(np.int64), evidence.written[at]
            flat.append((used[:, :, None] * units + used[:, None, :]).ravel())
            both_written.append((written[:, :, None] & written[:, None, :]).ravel())
            of_row.append(np.repeat(alike, width * width))
        if not flat:
            return
        cell, row, writes = np.concatenate(flat), np.concatenate(of_row), np.concatenate(both_written)
        for spread, given in _given(size, evidence.weight[rows]):
            for mode, counted in (("used", slice(None)), ("written", writes)):
                summed = np.bincount(cell[counted], weights=given[row[counted]], minlength=units * units)
                self._together[spread, mode][group] += summed.reshape(units, units)

    def _add_dense(self, group: int, rows: Offsets) -> None:
        evidence = self._evidence
        size = np.diff(evidence.starts)[rows]
        at = _positions(evidence.starts, rows)
        row = np.repeat(np.arange(len(rows)), size)
        used = np.zeros((len(rows), evidence.units), dtype=np.float32)
        used[row, evidence.used[at]] = 1
        written = np.zeros_like(used)
        written[row, evidence.used[at]] = evidence.written[at]
        for spread, given in _given(size, evidence.weight[rows]):
            share = given.astype(np.float32)[:, None]
            self._together[spread, "used"][group] += (used * share).T @ used
            self._together[spread, "written"][group] += (written * share).T @ written

    def affinity(self, reading: Reading, groups: Sequence[int]) -> FloatArray:
        """Units × units, symmetric, zero on the diagonal, sum 1 (0 when nothing is known)."""
        chosen = list(groups)
        result = self._together[reading.spread, "used"][chosen].sum(axis=0, dtype=np.float64)
        if reading.writes:
            written = self._together[reading.spread, "written"][chosen].sum(axis=0, dtype=np.float64)
            result += reading.writes * written
        rows, frequency = self._rows[chosen].sum(), self._frequency[chosen].sum(axis=0)
        rarity = np.maximum(np.log((rows + 1) / (frequency + 1)), 0)
        if reading.rarity == "root":
            rarity = np.sqrt(rarity)
        elif reading.rarity == "log+1":
            rarity += 1
        rarity *= self._evidence.distinction
        result *= rarity[:, None]
        result *= rarity[None, :]
        np.fill_diagonal(result, 0)
        return _scaled(self._with_references(_scaled(result)))

    def _with_references(self, affinity: FloatArray) -> FloatArray:
        evidence = self._evidence
        if not evidence.references.any():
            return affinity
        per_unit = evidence.references.sum() / 2 / evidence.units
        share = _REFERENCE_SHARE * min(1.0, per_unit) if affinity.any() else 1.0
        mixed: FloatArray = (1 - share) * affinity + share * _scaled(evidence.references)
        return mixed


def _given(size: Offsets, weight: FloatArray) -> tuple[tuple[Spread, FloatArray], ...]:
    """What each pair of a row gets, by spread."""
    return ("unit", weight / (size - 1)), ("row", 2 * weight / (size * (size - 1.0)))


def _positions(starts: Offsets, rows: Offsets) -> Offsets:
    """Of all that lies in these rows, one after another."""
    size = np.diff(starts)[rows]
    before = np.cumsum(size) - size
    positions: Offsets = np.arange(int(size.sum())) + np.repeat(starts[rows] - before, size)
    return positions


def _scaled(matrix: FloatArray) -> FloatArray:
    total = matrix.sum()
    return matrix / total if total else matrix
