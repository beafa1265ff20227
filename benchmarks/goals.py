"""Every benchmark by name: which way is better, and the ratio that is the goal. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """`ratio`: the floor of `ratio(ours, reference, better)`. `what`: ours, against which reference."""

    better: Better
    ratio: float
    what: str

    def __post_init__(self) -> None:
        assert self.ratio > 0, "a ratio is positive"


GOALS: Mapping[str, Goal] = {
    "capture_vs_debezium": Goal(better="higher", ratio=3, what="slot to durable log, against Debezium's engine"),
    "capture_vs_raw": Goal(better="higher", ratio=0.6, what="slot to durable log, against receiving without decoding"),
    "replicate_vs_native_bulk": Goal(better="higher", ratio=0.5, what="commit to target in bulk, against PostgreSQL's"),
    "replicate_small_tps_lag": Goal(better="lower", ratio=1, what="p99 lag at 5,000 single-row tps, against 250 ms"),
    "kafka_vs_bare_client": Goal(better="higher", ratio=0.8, what="through Kafka, against a bare client pair"),
    "big_transaction_memory": Goal(better="lower", ratio=1, what="peak memory of 1 M rows in one, against 300 MB"),
    "copy_vs_psql": Goal(better="higher", ratio=0.9, what="our copy, against a pipe of two COPY"),
    "copy_mapped_vs_psql": Goal(better="higher", ratio=0.5, what="our mapped copy, against an unmapped pipe of COPY"),
    "verify_vs_copy": Goal(better="higher", ratio=5, what="verifying a table, against our copy of it"),
    "verify_vs_reladiff": Goal(better="higher", ratio=3, what="finding differences, against reladiff"),
    "route_vs_plain_envoy": Goal(better="higher", ratio=0.95, what="our routes, against a hand-written static config"),
    "route_shadow_vs_plain_envoy": Goal(better="higher", ratio=0.85, what="the same with 10 % shadowed"),
    "route_vs_mitmproxy": Goal(better="higher", ratio=20, what="our data plane, against mitmproxy in reverse mode"),
    "compare_pairs": Goal(better="higher", ratio=1, what="pairs compared a second on one core, against 5,000"),
    "cutover_hold_p99": Goal(better="lower", ratio=1, what="p99 hold over the closures, against 500 ms"),
    "assess_scale": Goal(better="lower", ratio=1, what="assessing 1,000 tables, against 60 s"),
}


def ratio(ours: float, reference: float, better: Better) -> float:
    """Above 1 is ahead, whichever way is better."""
    return ours / reference if better == "higher" else reference / ours
