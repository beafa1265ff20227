"""Figures from the clients' ledger. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from demo.report import LatencyBucket, Requests

_BUCKET_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientView:
    """What the clients saw."""

    requests: Requests
    latency: tuple[LatencyBucket, ...]
    failures: tuple[str, ...]
    """The first few failed requests, one line each."""


def client_view(lines: Iterable[dict[str, Any]], *, started_at: float) -> ClientView:
    """`lines` of the ledger; `started_at` is the epoch second at which the demo began."""
    all_ms: list[float] = []
    buckets: dict[tuple[int, str], list[float]] = defaultdict(list)
    failed_in: dict[tuple[int, str], int] = defaultdict(int)
    failures: list[str] = []
    failed = 0
    for line in lines:
        if line["type"] != "request":
            continue
        all_ms.append(line["ms"])
        ended = line["t"] + line["ms"] / 1000 - started_at
        key = (int(max(0.0, ended) / _BUCKET_S), _kind(line))
        buckets[key].append(line["ms"])
        if line["outcome"] == "failed":
            failed += 1
            failed_in[key] += 1
            failures.append(f"{line['method']} {line['path']}: {line['status']} {line['error'] or ''}".strip())
    return ClientView(
        requests=Requests(
            total=len(all_ms), failed=failed, p50_ms=percentile(all_ms, 50), p99_ms=percentile(all_ms, 99)
        ),
        latency=tuple(
            LatencyBucket(
                at=number * _BUCKET_S,
                kind=kind,
                requests=len(values),
                failed=failed_in[number, kind],
                p50_ms=percentile(values, 50),
                p99_ms=percentile(values, 99),
            )
            for (number, kind), values in sorted(buckets.items())
        ),
        failures=tuple(failures[:10]),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def _kind(line: dict[str, Any]) -> str:
    if not line["moving"]:
        return "other endpoints"
    return "catalog writes" if line["kind"] == "write" else "catalog reads"
