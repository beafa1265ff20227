"""What the data plane will do with a request, as a pure function of the table and the request.

Envoy decides by the rendered table (`router.envoy.render`); this predicts it exactly, so that a person, a test or a
report can ask "who would answer this, and why" without sending it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import xxhash

from router.paths import normalise
from router.routes import WHOLE, MoveRoutes, RouteRule, RouteTable, Side, StickyKey
from router.wire import (
    FORCE_HEADER,
    INSPECTION_CLUSTER,
    LEGACY_CLUSTER,
    force_value,
    read_cluster,
    write_cluster,
)

Reason = Literal["unmatched", "forced", "pinned", "inspected", "sticky", "keyless", "gated", "owner"]


@dataclass(frozen=True, kw_only=True)
class RequestFacts:
    """A request as it comes from the client.

    `path` is the raw target, with query. `headers` has lower-case names. `gate_owner` is what the gate answered for
    an armed write (None: it has not answered yet). `inspect_draw` is the random number, in millionths, that is set
    against `inspect_share` (None: not drawn into the sample).
    """

    method: str
    path: str
    headers: Mapping[str, str]
    gate_owner: Side | None = None
    inspect_draw: int | None = None


@dataclass(frozen=True, kw_only=True)
class RouteDecision:
    """`backend` is the name of the cluster that answers, or None while the gate has not said."""

    backend: str | None
    reason: Reason
    rule: RouteRule | None = None


def decide(table: RouteTable, facts: RequestFacts) -> RouteDecision:
    """Forced > pinned > inspected > sticky share for reads; gate or owner for writes; legacy for all else."""
    path = normalise(facts.path)
    for move, rule in table.ordered_rules:
        if rule.matches(facts.method, path):
            if rule.kind == "write":
                return _decide_write(move, rule, facts)
            return _decide_read(table, move, rule, facts)
    return RouteDecision(backend=LEGACY_CLUSTER, reason="unmatched")


def _decide_write(move: MoveRoutes, rule: RouteRule, facts: RequestFacts) -> RouteDecision:
    if not move.gate_armed:
        return RouteDecision(backend=write_cluster(move.move, move.write_owner), reason="owner", rule=rule)
    backend = None if facts.gate_owner is None else write_cluster(move.move, facts.gate_owner)
    return RouteDecision(backend=backend, reason="gated", rule=rule)


def _decide_read(table: RouteTable, move: MoveRoutes, rule: RouteRule, facts: RequestFacts) -> RouteDecision:
    forced = forced_side(table, facts.headers)
    if forced is not None:
        return RouteDecision(backend=read_cluster(move, forced), reason="forced", rule=rule)
    key = sticky_key(move.sticky, facts.headers)
    for pin in move.pins:
        if pin.key == key:
            return RouteDecision(backend=read_cluster(move, pin.side), reason="pinned", rule=rule)
    if facts.inspect_draw is not None and facts.inspect_draw < move.inspect_share:
        return RouteDecision(backend=INSPECTION_CLUSTER, reason="inspected", rule=rule)
    if key is None:
        return RouteDecision(backend=read_cluster(move, move.keyless_reads), reason="keyless", rule=rule)
    return RouteDecision(backend=read_cluster(move, sticky_side(move, key)), reason="sticky", rule=rule)


def sticky_side(move: MoveRoutes, key: str) -> Side:
    """The side of a sticky key under the current share: a pure function of both, the same in every proxy."""
    return "service" if bucket(key) < move.read_share else "legacy"


def bucket(key: str) -> int:
    """The key's fixed place among the 1,000,000 buckets, as Envoy computes it (XXH64 with seed 0)."""
    return xxhash.xxh64_intdigest(key.encode("latin-1", "replace"), 0) % WHOLE


def forced_side(table: RouteTable, headers: Mapping[str, str]) -> Side | None:
    """The side that an authenticated operator asks for; None for no header, a forged one, or no token configured."""
    given = headers.get(FORCE_HEADER)
    if given is None or table.force_token is None:
        return None
    sides: tuple[Side, ...] = ("legacy", "service")
    return next((side for side in sides if given == force_value(table.force_token, side)), None)


def sticky_key(sticky: StickyKey, headers: Mapping[str, str]) -> str | None:
    """The request's key, or None when it has none (or an empty one)."""
    if sticky.header is not None:
        return headers.get(sticky.header) or None
    for part in headers.get("cookie", "").split(";"):
        name, equals, value = part.partition("=")
        if equals and name.strip() == sticky.cookie:
            return value.strip().removeprefix('"').removesuffix('"') or None
    return None
