"""Reading the parallel run's record back into a summary."""

import json
import sqlite3
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from router.noise import Classification, e_value, upper_bound
from router.parallel_tally import minute_of, percentile
from router.parallel_values import (
    COMPARED_NAMES,
    PAIR_NAMES,
    TRUNCATED,
    WALKED,
    DifferenceSummary,
    EndpointSummary,
    LatencySummary,
    ParallelRunSummary,
    severity,
)

MIN_WALKED_FOR_DEAD = 50
_SCOPE = "(:move IS NULL OR move = :move) AND minute >= :minute"
_OF_MOVE = "(:move IS NULL OR move = :move)"
_Scope = dict[str, Any]


def read_summary(
    database: sqlite3.Connection, *, move: str | None, since: datetime | None, confidence: float
) -> ParallelRunSummary:
    """One consistent summary; all reads see the same snapshot."""
    scope: _Scope = {"move": move, "minute": minute_of(since) if since else 0}
    database.execute("BEGIN")
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] == 0:
            return ParallelRunSummary(move=move, since=since, confidence=confidence)
        by_endpoint = _counts(database, scope)
        total: Counter[str] = sum(by_endpoint.values(), Counter())
        compared = sum(total[name] for name in COMPARED_NAMES)
        return ParallelRunSummary(
            move=move,
            since=since,
            compared=compared,
            **{name: total[name] for name in PAIR_NAMES},
            truncated=total[TRUNCATED],
            paired=total["paired"],
            dropped=_reasons(total, "dropped"),
            refused=_reasons(total, "refused"),
            confidence=confidence,
            upper_bound=_bound(total, confidence),
            endpoints=tuple(_endpoint(name, by_endpoint[name], confidence) for name in sorted(by_endpoint)),
            differences=_differences(database, scope),
            latency=_latency(database, scope),
            dead_masks=_dead_masks(database, total[WALKED]),
        )
    finally:
        database.execute("ROLLBACK")


def _counts(database: sqlite3.Connection, scope: _Scope) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    query = f"SELECT endpoint, name, sum(n) FROM tally WHERE {_SCOPE} GROUP BY endpoint, name"
    for endpoint, name, n in database.execute(query, scope):
        counts[endpoint][name] = n
    return counts


def _reasons(total: Counter[str], kind: str) -> dict[str, int]:
    return {name.removeprefix(f"{kind}:"): n for name, n in sorted(total.items()) if name.startswith(f"{kind}:")}


def _bound(counts: Counter[str], confidence: float) -> float:
    compared = sum(counts[name] for name in COMPARED_NAMES)
    return upper_bound(counts["confirmed"] + counts["unconfirmed"], compared, confidence)


def _endpoint(name: str, counts: Counter[str], confidence: float) -> EndpointSummary:
    return EndpointSummary(
        endpoint=name,
        compared=sum(counts[key] for key in COMPARED_NAMES),
        counts={key: counts[key] for key in PAIR_NAMES},
        upper_bound=_bound(counts, confidence),
    )


def _differences(database: sqlite3.Connection, scope: _Scope) -> tuple[DifferenceSummary, ...]:
    """Gravest first: confirmed before the rest, then by severity, then causes before consequences, then by count."""
    evidence = {
        key: e_value(candidate_only, control_only)
        for *names, candidate_only, control_only in database.execute(
            "SELECT endpoint, path, class, sum(candidate_only), sum(control_only) FROM paired"
            f" WHERE {_OF_MOVE} GROUP BY 1, 2, 3",
            scope,
        )
        for key in [tuple(names)]
    }
    examples = _examples(database, scope)
    query = (
        "SELECT endpoint, path, class, classification, sum(n), sum(siblings), min(first_seen), max(last_seen)"
        f" FROM difference WHERE {_SCOPE} GROUP BY 1, 2, 3, 4"
    )
    found = []
    for endpoint, path, kind, classification, n, siblings, first, last in database.execute(query, scope):
        example = examples.get((endpoint, path, kind), {})
        found.append(
            DifferenceSummary(
                endpoint=endpoint,
                path=path,
                kind=kind,
                classification=Classification(classification),
                severity=severity(path, kind),
                count=n,
                siblings_mean=round(siblings / n, 2),
                first_seen=datetime.fromisoformat(first),
                last_seen=datetime.fromisoformat(last),
                at=example.get("at", ""),
                control=example.get("control", ""),
                candidate=example.get("candidate", ""),
                e_value=evidence.get((endpoint, path, kind)),
            )
        )
    return tuple(sorted(found, key=_gravity))


_SEVERITIES = ("high", "medium", "low")
_CLASSIFICATIONS = tuple(Classification)


def _gravity(item: DifferenceSummary) -> tuple[object, ...]:
    return (
        _CLASSIFICATIONS.index(item.classification),
        _SEVERITIES.index(item.severity),
        item.siblings_mean,
        -item.count,
        item.endpoint,
        item.path,
        item.kind,
    )


def _examples(database: sqlite3.Connection, scope: _Scope) -> dict[tuple[str, str, str], dict[str, str]]:
    query = (
        f"SELECT endpoint, path, class, content, max(seen_as) FROM sample WHERE {_OF_MOVE} AND keep = 'last'"
        " GROUP BY endpoint, path, class"
    )
    return {
        (endpoint, path, kind): json.loads(content)
        for endpoint, path, kind, content, _ in database.execute(query, scope)
    }


def _latency(database: sqlite3.Connection, scope: _Scope) -> LatencySummary:
    histogram: dict[str, dict[int, int]] = defaultdict(dict)
    query = f"SELECT series, bucket, sum(n) FROM latency WHERE {_SCOPE} GROUP BY series, bucket"
    for series, bucket, n in database.execute(query, scope):
        histogram[series][bucket] = n
    return LatencySummary(
        control_p50_ms=percentile(histogram["control"], 0.5),
        control_p95_ms=percentile(histogram["control"], 0.95),
        candidate_p50_ms=percentile(histogram["candidate"], 0.5),
        candidate_p95_ms=percentile(histogram["candidate"], 0.95),
        ratio_p50=percentile(histogram["ratio"], 0.5),
        ratio_p95=percentile(histogram["ratio"], 0.95),
    )


def _dead_masks(database: sqlite3.Connection, walked: int) -> tuple[str, ...]:
    if walked < MIN_WALKED_FOR_DEAD:
        return ()
    query = "SELECT id FROM mask WHERE declared AND reached = 0 AND excused = 0 ORDER BY id"
    return tuple(name for (name,) in database.execute(query))


def samples(database: sqlite3.Connection, *, move: str | None, endpoint: str, path: str, kind: str) -> list[Any]:
    """The kept samples of one difference, oldest first, each once."""
    query = (
        f"SELECT DISTINCT seen_as, content FROM sample WHERE {_OF_MOVE}"
        " AND endpoint = :endpoint AND path = :path AND class = :class ORDER BY seen_as"
    )
    rows = database.execute(query, {"move": move, "endpoint": endpoint, "path": path, "class": kind})
    return [json.loads(content) for _, content in rows]
