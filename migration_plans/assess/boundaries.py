"""Where services could be cut: what many readings of the facts agree on, for several numbers of services. Pure.

1. Ensemble: each run takes one reading of the affinity (`affinity.READINGS`), 80 % of the rows and a resolution around
   1, and finds communities.
2. Consensus: how often each two units were together; its average linkage gives one nested cut per number of services.
3. Number: the smallest whose modularity is, over the runs, less than a quarter of a standard deviation behind the best;
   more where that makes a clear cut: modularity does not see services that are small beside the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migration_plans.assess.affinity import READINGS, AffinityParts
from migration_plans.assess.clustering import (
    Labels,
    Merge,
    communities,
    contracted,
    cuts,
    linkage,
    merged_modularities,
    silhouettes,
)
from migration_plans.assess.evidence import Evidence, gather_evidence
from migration_plans.assess.facts import Facts, FloatArray
from migration_plans.assess.touches import Touches

_SMALL_UNITS = 150
_GROUPS_SMALL, _GROUPS_LARGE = 60, 10
"""Of rows; what is kept of each is as large as the square of the units. Few groups make much of how they are dealt."""
_TAKEN = 0.8
"""Share of the groups per run."""
_RUNS_SMALL, _RUNS_LARGE = 30 * len(READINGS), 3 * len(READINGS)
"""Of the ensemble; large systems have more rows, so that single runs differ less. With a third of them, one seed in
eight finds fewer services in some recordings of the reference store."""
_RESOLUTIONS = (0.7, 1.4)
"""Drawn log-uniformly between: one octave around the neutral 1."""
_AS_GOOD_DEVIATIONS = 0.25
"""Fewer services are preferred while modularity is no farther behind the best than this many standard deviations."""
_CLEAR_SILHOUETTE = 0.8
"""Above 0.7 Kaufman and Rousseeuw speak of a strong structure; a consensus is sharper than single distances."""
_UNDOUBTED_SILHOUETTE = 0.9
"""From here on modularity counts by its root: its limit of resolution says more of it than of the cut."""
_MOST_SMALL, _MOST_PAIRS = 12, 200
"""Services: so many are considered however few the units, and while two units are left for each, so many."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Boundaries:
    """Cuts by number of services, labels per table; `preferred` is one of the numbers."""

    preferred: int
    by_count: Mapping[int, Labels]
    modularity: Mapping[int, float]
    """Mean over the runs, by number of services."""
    consensus: FloatArray
    """Tables × tables: the share of runs that put the two together."""
    hubs: Mapping[str, float]
    bulk_jobs: Mapping[str, float]
    """As `smells` found them."""


def find_boundaries(facts: Facts, used: Touches, *, seed: int) -> Boundaries:
    """Deterministic for equal facts and seed."""
    evidence = gather_evidence(facts, used)
    rng = np.random.default_rng(seed)
    small = evidence.units <= _SMALL_UNITS
    parts = AffinityParts(evidence, groups=_GROUPS_SMALL if small else _GROUPS_LARGE, rng=rng)
    most = min(evidence.units, max(_MOST_SMALL, min(evidence.units // 2, _MOST_PAIRS), evidence.units // 5))
    together, runs = _ensemble(evidence, parts, _RUNS_SMALL if small else _RUNS_LARGE, rng)
    merges = linkage(together, evidence.apart)
    by_count = cuts(merges, evidence.units, most)
    if not by_count:
        by_count = {
            evidence.units - len(merges): cuts(merges, evidence.units, evidence.units)[evidence.units - len(merges)]
        }
    left = _merges_left(merges, by_count)
    scores = _modularities(parts, runs, left, by_count)
    clarity = np.array(silhouettes(together, by_count[max(by_count)], left))[::-1]
    counts = sorted(by_count)
    alone = [int((np.bincount(by_count[count]) == 1).sum()) for count in counts]
    preferred = _smallest_as_good(scores)
    modularity = np.maximum(scores.mean(axis=0), 0)
    for counted, least in ((modularity, _CLEAR_SILHOUETTE), (np.sqrt(modularity), _UNDOUBTED_SILHOUETTE)):
        preferred = _clearer(preferred, counted, clarity, alone, least)
    return Boundaries(
        preferred=counts[preferred],
        by_count={count: by_count[count][evidence.unit_of] for count in counts},
        modularity=dict(zip(counts, scores.mean(axis=0).tolist(), strict=True)),
        consensus=together[np.ix_(evidence.unit_of, evidence.unit_of)],
        hubs=evidence.hubs,
        bulk_jobs=evidence.bulk_jobs,
    )


_Run = tuple[int, list[int]]
"""A reading, and the groups of rows taken."""


def _ensemble(
    evidence: Evidence, parts: AffinityParts, count: int, rng: np.random.Generator
) -> tuple[FloatArray, list[_Run]]:
    together = np.zeros((evidence.units, evidence.units))
    runs: list[_Run] = []
    for number in range(count):
        taken = sorted(rng.choice(parts.groups, round(_TAKEN * parts.groups), replace=False).tolist())
        runs.append((number % len(READINGS), taken))
        affinity = parts.affinity(READINGS[number % len(READINGS)], taken)
        resolution = float(np.exp(rng.uniform(*np.log(_RESOLUTIONS))))
        found = communities(affinity, resolution=resolution, rng=rng)
        together += found[:, None] == found[None, :]
    return together / len(runs), runs


def _merges_left(merges: list[Merge], by_count: Mapping[int, Labels]) -> list[Merge]:
    """Those after the finest cut, by its labels."""
    finest = by_count[max(by_count)]
    number_of = dict(zip(np.unique(finest, return_index=True)[1].tolist(), range(max(by_count)), strict=True))
    return [(number_of[first], number_of[second]) for first, second in merges[len(finest) - max(by_count) :]]


def _modularities(
    parts: AffinityParts, runs: list[_Run], left: list[Merge], by_count: Mapping[int, Labels]
) -> FloatArray:
    """Runs × numbers of services, rising."""
    finest = by_count[max(by_count)]
    result = [
        merged_modularities(contracted(parts.affinity(READINGS[reading], taken), finest, max(by_count)), left)
        for reading, taken in runs
    ]
    return np.array(result)[:, ::-1]


def _smallest_as_good(scores: FloatArray) -> int:
    best = int(scores.mean(axis=0).argmax())
    for column in range(best):
        behind = scores[:, best] - scores[:, column]
        if behind.mean() <= _AS_GOOD_DEVIATIONS * behind.std():
            return column
    return best


def _clearer(column: int, modularity: FloatArray, clarity: FloatArray, alone: Sequence[int], least: float) -> int:
    """This number, or a larger one that is clear (`least`) and gains more in clarity than it loses in modularity.

    Of the services that it adds, at most half may be units `alone`: to take out what is hard to place makes the rest
    clear, and is no service.
    """
    value = modularity * clarity
    better = [
        other
        for other in range(column + 1, len(value))
        if clarity[other] >= least
        and value[other] > value[column]
        and 2 * (alone[other] - alone[column]) <= other - column
    ]
    return max(better, key=lambda other: (value[other], -other), default=column)
