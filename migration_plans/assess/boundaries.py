"""Where services could be cut: what many readings of the facts agree on, for several numbers of services. Pure.

1. Ensemble: each run takes one reading of the affinity (`affinity.READINGS`), 80 % of the rows and a resolution around
   1, and finds communities.
2. Consensus: how often each two units were together; its average linkage gives one nested cut per number of services.
3. Number: the smallest whose modularity is, over the runs, less than half a standard deviation behind the best.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from migration_plans.assess.affinity import READINGS, AffinityParts
from migration_plans.assess.clustering import Labels, communities, contracted, cuts, linkage, modularity
from migration_plans.assess.evidence import Evidence, gather_evidence
from migration_plans.assess.facts import Facts, FloatArray

_GROUPS = 10
_TAKEN = 8
"""Groups of rows per run."""
_RESOLUTIONS = (0.7, 1.4)
"""Drawn log-uniformly between: one octave around the neutral 1."""
_SMALL_UNITS = 150
_RUNS_SMALL, _RUNS_LARGE = 12 * len(READINGS), 3 * len(READINGS)
"""Of the ensemble; large systems have more rows, so that single runs differ less."""
_AS_GOOD_DEVIATIONS = 0.5
"""Fewer services are preferred while modularity is no farther behind the best than this many standard deviations."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Boundaries:
    """Cuts by number of services, labels per table; `preferred` is one of the numbers."""

    preferred: int
    by_count: Mapping[int, Labels]
    modularity: Mapping[int, float]
    """Mean over the runs, by number of services."""
    consensus: FloatArray
    """Tables × tables: the share of runs that put the two together."""


def find_boundaries(facts: Facts, *, seed: int) -> Boundaries:
    """Deterministic for equal facts and seed."""
    evidence = gather_evidence(facts)
    rng = np.random.default_rng(seed)
    parts = AffinityParts(evidence, groups=_GROUPS, rng=rng)
    most = min(evidence.units, max(12, evidence.units // 5))
    together, runs = _ensemble(evidence, parts, rng)
    merges = linkage(together, evidence.apart)
    by_count = cuts(merges, evidence.units, most)
    if not by_count:
        by_count = {
            evidence.units - len(merges): cuts(merges, evidence.units, evidence.units)[evidence.units - len(merges)]
        }
    scores = _modularities(parts, runs, by_count)
    counts = sorted(by_count)
    return Boundaries(
        preferred=counts[_smallest_as_good(scores)],
        by_count={count: by_count[count][evidence.unit_of] for count in counts},
        modularity=dict(zip(counts, scores.mean(axis=0).tolist(), strict=True)),
        consensus=together[np.ix_(evidence.unit_of, evidence.unit_of)],
    )


_Run = tuple[int, list[int]]
"""A reading, and the groups of rows taken."""


def _ensemble(evidence: Evidence, parts: AffinityParts, rng: np.random.Generator) -> tuple[FloatArray, list[_Run]]:
    together = np.zeros((evidence.units, evidence.units))
    runs: list[_Run] = []
    for number in range(_RUNS_SMALL if evidence.units <= _SMALL_UNITS else _RUNS_LARGE):
        taken = sorted(rng.choice(parts.groups, _TAKEN, replace=False).tolist())
        runs.append((number % len(READINGS), taken))
        affinity = parts.affinity(READINGS[number % len(READINGS)], taken)
        resolution = float(np.exp(rng.uniform(*np.log(_RESOLUTIONS))))
        found = communities(affinity, resolution=resolution, rng=rng)
        together += found[:, None] == found[None, :]
    return together / len(runs), runs


def _modularities(parts: AffinityParts, runs: list[_Run], by_count: Mapping[int, Labels]) -> FloatArray:
    """Runs × numbers of services, rising."""
    counts = sorted(by_count)
    finest = by_count[counts[-1]]
    result = np.zeros((len(runs), len(counts)))
    within = [by_count[count][np.unique(finest, return_index=True)[1]] for count in counts]
    for number, (reading, taken) in enumerate(runs):
        fine = contracted(parts.affinity(READINGS[reading], taken), finest, counts[-1])
        result[number] = [
            modularity(contracted(fine, labels, count)) for labels, count in zip(within, counts, strict=True)
        ]
    return result


def _smallest_as_good(scores: FloatArray) -> int:
    best = int(scores.mean(axis=0).argmax())
    for column in range(best):
        behind = scores[:, best] - scores[:, column]
        if behind.mean() <= _AS_GOOD_DEVIATIONS * behind.std():
            return column
    return best
