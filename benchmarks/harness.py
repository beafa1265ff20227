"""Runs ours and the reference in turn, and says what came of it."""

import importlib
import pkgutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks import cases
from benchmarks.goals import Better, Goal, ratio

RUNS = 5
LONG_RUN_S = 60.0
"""A run that takes longer is not repeated."""

Measure = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Two things to measure, in `unit`. Both may be run any number of times, in turn.

    `notes` is called after the last run: what a reader of the numbers has to know besides them.
    """

    ours: Measure
    reference: Measure
    unit: str
    notes: Callable[[], Sequence[str]] = tuple


OpenCase = Callable[[float], AbstractContextManager[Case]]
"""From a factor for all sizes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """What each run gave, in order."""

    ours: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkResult:
    """One entry of `results.json`: medians, and the ratio to the goal."""

    name: str
    ours: float
    reference: float
    ratio: float
    unit: str
    better: Better
    goal: float
    met: bool
    runs: int
    machine: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_cases() -> list[str]:
    """Names of the benchmarks that are there."""
    return sorted(module.name for module in pkgutil.iter_modules(cases.__path__))


def load_case(name: str) -> OpenCase:
    """How the named case is opened. Its module is imported only now: it may need a part that is not installed."""
    opened: OpenCase = importlib.import_module(f"{cases.__name__}.{name}").open_case
    return opened


def run_in_turn(case: Case, *, monotonic: Callable[[], float], said: Callable[[str], None], runs: int = RUNS) -> Runs:
    """Ours, the reference, ours, the reference…; ends early after a round with a run longer than `LONG_RUN_S`."""
    ours: list[float] = []
    reference: list[float] = []
    while len(ours) < runs:
        longest_s = 0.0
        for measure, values in ((case.ours, ours), (case.reference, reference)):
            began = monotonic()
            values.append(measure())
            longest_s = max(longest_s, monotonic() - began)
        said(f"run {len(ours)}: ours {ours[-1]:,.4g}, reference {reference[-1]:,.4g} {case.unit}")
        if longest_s > LONG_RUN_S:
            break
    return Runs(ours=tuple(ours), reference=tuple(reference))


def judge(name: str, goal: Goal, runs: Runs, *, unit: str, machine: str) -> BenchmarkResult:
    """Medians, their ratio, and whether it reaches the goal."""
    ours, reference = statistics.median(runs.ours), statistics.median(runs.reference)
    reached = ratio(ours, reference, goal.better)
    return BenchmarkResult(
        name=name,
        ours=_rounded(ours),
        reference=_rounded(reference),
        ratio=_rounded(reached),
        unit=unit,
        better=goal.better,
        goal=goal.ratio,
        met=reached >= goal.ratio,
        runs=len(runs.ours),
        machine=machine,
    )


def merged(
    before: Sequence[Mapping[str, Any]], results: Sequence[BenchmarkResult], *, keep_others: bool
) -> list[dict[str, Any]]:
    """Entries of the new file, by name. `keep_others`: those that were not run now stay as they are."""
    entries = {str(entry["name"]): dict(entry) for entry in before} if keep_others else {}
    entries |= {result.name: result.as_dict() for result in results}
    return [entries[name] for name in sorted(entries)]


def _rounded(value: float) -> float:
    """Four digits: more than a measurement on a shared machine can tell."""
    return float(f"{value:.4g}")
