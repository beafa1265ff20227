"""The ledger: what the clients saw, one JSON object per line, so that an independent auditor can judge the databases.

First line::

    {"type": "start", "t": epoch s, "run": "…", "seed": 7, "profile": "steady", "writes_per_second": 200.0,
     "reads_per_second": 100.0, "base_url": "http://…"}

Then one line per *finished* request, in the order in which they finished (so, per key, in the order in which the
writes took place: a key never has two writes in flight)::

    {"type": "request", "seq": 12, "t": epoch s at send, "ms": 3.1, "late_ms": 3.4, "endpoint": "product.update",
     "kind": "read" | "write", "moving": true when it is a catalog endpoint, "method": "PATCH", "path": "/api/…",
     "status": 200 (0: transport error or timeout), "outcome": "ok" | "rejected" | "failed", "error": null | text,
     "side": value of the answer's header x-strangler-side or null, "request_id": "…", "write": {…}}

`ms` is the time of the request itself, `late_ms` the time from its scheduled start (so late_ms >= ms; their difference
is what the client was behind its schedule). `seq` counts requests as they are sent, from 1. `outcome`: `ok` is 2xx;
`rejected` is a legal business answer (409 credit_exceeded or out_of_stock); everything else is `failed`.

`write` is present on two kinds of lines of catalog writes, and absent from every other line.

1. **Acknowledged** (the answer was 2xx)::

    {"entity": "product" | "price" | "category" | "product_category", "op": "upsert" | "delete",
     "key": {…}, "values": {…} | null, "updates": n}

   `key` and `values` use the legacy column names. Exactly one row with this key and these values must exist (upsert),
   or none with this key (delete), unless a later line tells otherwise of the same key.

   ================  ============================  ==============================================================
   entity            key                           values of an upsert (JSON as in the API)
   ================  ============================  ==============================================================
   product           {"id", "sku"}                 id sku name descr category_id status tags attrs weight_grams
                                                   version created_at updated_at
   price             {"id", "reference"}           id product_id currency amount("12.34") reference valid_from
                                                   valid_to(null)
   category          {"id", "slug"}                id parent_id name slug position
   product_category  {"product_id",                product_id category_id rank
                     "category_id"}
   ================  ============================  ==============================================================

   The parts of a key are equivalent: `sku`, `reference` and `slug` are made by the client, unique, and never change.
   `updates` counts the acknowledged writes of this key in this run, this one included and creations too. For a product
   of which nothing was unknown, `version` must equal the `values.version` of its last acknowledged line.

   A price upsert may also have ``"closes": price id | null``: the price that it closed (its `valid_to` must now be
   this price's `valid_from`, unless that price was deleted), null when no price of that currency was open. It is
   absent when the client does not know.

2. **Unknown** (status 0 or 5xx: the write may or may not have taken place)::

    {"entity", "op", "key", "values": {columns as sent, only those that the request sets}, "updates": acknowledged
     so far, "unknown": true, "closes": as above}

   `key` lacks `id` when the row was to be created. The auditor accepts the state before it or the state after it, for
   this key and for the price in `closes`. A product of an unknown update may have its last known `version` or one more.
   The client writes no more to that key, nor, for a price or an assignment, to that product.

Requests with another 4xx changed nothing and have no `write`.

Last line, when the run ended by itself or by a signal::

    {"type": "stop", "t": epoch s, …the summary that is also printed: "requests", "ok", "rejected", "failed", "reads",
     "writes", "acknowledged_writes", "unknown_writes", "p50_ms", "p99_ms", "max_ms", "seconds", "by_endpoint": {…}}

Every line reaches the file within 200 ms of its request's end.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLUSH_INTERVAL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRequest:
    """A line of type `request`; field names are those of the ledger."""

    seq: int
    t: float
    ms: float
    late_ms: float
    endpoint: str
    kind: str
    moving: bool
    method: str
    path: str
    status: int
    outcome: str
    error: str | None
    side: str | None
    request_id: str
    write: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the line."""
        line: dict[str, Any] = {"type": "request"}
        line |= {name: getattr(self, name) for name in self.__slots__ if name != "write"}
        if self.write is not None:
            line["write"] = self.write
        return line


class Ledger:
    """Appends lines to a file; nothing is kept but the file's buffer. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; it reaches the file with the next `flush`."""
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Hand over all lines to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts for the summary."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[str] = field(default_factory=Counter)
    acknowledged_writes: int = 0
    unknown_writes: int = 0
    times_ms: list[float] = field(default_factory=list)

    def add(self, request: FinishedRequest) -> None:
        """Count one finished request."""
        self.outcomes[request.outcome] += 1
        self.kinds[request.kind] += 1
        self.endpoints[request.endpoint] += 1
        self.times_ms.append(request.ms)
        if request.write is not None:
            if request.write.get("unknown"):
                self.unknown_writes += 1
            else:
                self.acknowledged_writes += 1

    def summary(self, seconds: float) -> dict[str, Any]:
        """The summary of a run that took so many seconds."""
        times = sorted(self.times_ms)
        return {
            "requests": len(times),
            "ok": self.outcomes["ok"],
            "rejected": self.outcomes["rejected"],
            "failed": self.outcomes["failed"],
            "reads": self.kinds["read"],
            "writes": self.kinds["write"],
            "acknowledged_writes": self.acknowledged_writes,
            "unknown_writes": self.unknown_writes,
            "p50_ms": _quantile(times, 0.50),
            "p99_ms": _quantile(times, 0.99),
            "max_ms": _quantile(times, 1.0),
            "seconds": round(seconds, 3),
            "by_endpoint": dict(sorted(self.endpoints.items())),
        }


def _quantile(ordered: list[float], share: float) -> float | None:
    """Nearest rank; None of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
