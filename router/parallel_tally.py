"""Many records folded into few additions, and the arithmetic of the latency histogram. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import log

from router.parallel_values import TRUNCATED, WALKED, NotCompared, Observation, PairedSample, Record

BUCKET_GROWTH = 1.05
"""Each histogram bucket is 5 % wide: the error of a percentile is at most 2.5 %."""
_LEAST = 1e-3


@dataclass(kw_only=True)
class DifferenceTally:
    """Additions to one row of differences."""

    n: int = 0
    siblings: int = 0
    first_seen: datetime
    last_seen: datetime


@dataclass(kw_only=True)
class Tally:
    """The sum of a batch of records, keyed as the tables are."""

    counts: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)
    latency: Counter[tuple[str, int, str, int]] = field(default_factory=Counter)
    differences: dict[tuple[str, int, str, str, str, str], DifferenceTally] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    paired: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counter)


def minute_of(at: datetime) -> int:
    """Minutes since 1970, UTC."""
    return int(at.timestamp()) // 60


def tally(records: Iterable[Record]) -> Tally:
    """Add up a batch."""
    total = Tally()
    for record in records:
        if isinstance(record, Observation):
            _add_observation(total, record)
        elif isinstance(record, NotCompared):
            total.counts[record.move, minute_of(record.at), record.endpoint, f"{record.kind}:{record.reason}"] += 1
        else:
            _add_paired(total, record)
    return total


def _add_observation(total: Tally, seen: Observation) -> None:
    minute = minute_of(seen.at)
    names = [seen.pair_name]
    if seen.truncated:
        names.append(TRUNCATED)
    if seen.reached is not None:
        names.append(WALKED)
        total.reached.update(seen.reached)
    for name in names:
        total.counts[seen.move, minute, seen.endpoint, name] += 1
    total.excused.update(seen.excused)
    if seen.control_ms is not None and seen.candidate_ms is not None:
        ratio = seen.candidate_ms / max(seen.control_ms, _LEAST)
        for series, value in (("control", seen.control_ms), ("candidate", seen.candidate_ms), ("ratio", ratio)):
            total.latency[seen.move, minute, series, bucket_of(value)] += 1
    keys = {(item.outcome.path, item.outcome.kind.value, item.classification.value) for item in seen.differences}
    for path, kind, classification in keys:
        row = total.differences.setdefault(
            (seen.move, minute, seen.endpoint, path, kind, classification),
            DifferenceTally(first_seen=seen.at, last_seen=seen.at),
        )
        row.n += 1
        row.siblings += len(keys) - 1
        row.first_seen, row.last_seen = min(row.first_seen, seen.at), max(row.last_seen, seen.at)


def _add_paired(total: Tally, sample: PairedSample) -> None:
    total.counts[sample.move, minute_of(sample.at), sample.endpoint, "paired"] += 1
    for path, kind in sample.against_candidate - sample.against_itself:
        total.paired[sample.move, sample.endpoint, path, kind, "candidate_only"] += 1
    for path, kind in sample.against_itself - sample.against_candidate:
        total.paired[sample.move, sample.endpoint, path, kind, "control_only"] += 1


def bucket_of(value: float) -> int:
    return round(log(max(value, _LEAST)) / log(BUCKET_GROWTH))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The value below which `share` of the histogram lies, or None for an empty one."""
    wanted = share * sum(buckets.values())
    seen = 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return float(round(BUCKET_GROWTH**bucket, 3))
    return None
