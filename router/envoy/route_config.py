"""The table's rules as one Envoy route configuration, in the order in which they are tried. Pure.

A read: forced → pinned → inspected sample → sticky share → without key. A write: its owner's cluster, or, while the
gate is armed, the cluster that the gate names; a write that the gate has not spoken for is answered 503 and goes
nowhere. What no rule matches: legacy.
"""

import re
from typing import Any

from router.routes import WHOLE, MoveRoutes, RouteRule, RouteTable, Side, StickyKey
from router.wire import (
    CONTROL_HEADER,
    FORCE_HEADER,
    GATE_CLUSTER,
    INSPECTION_CLUSTER,
    LEGACY_CLUSTER,
    MOVE_HEADER,
    OWNER_HEADER,
    ROUTE_CONFIG,
    RULE_HEADER,
    SIDE_HEADER,
    VERSION_HEADER,
    check_path,
    force_value,
    read_cluster,
    write_cluster,
)

Json = dict[str, Any]

ROUTE_TIMEOUT = "30s"
GATED_TIMEOUT = "65s"
CHECK_TIMEOUT = "62s"
"""For one question to the gate, its restarts included: above the 60 s for which a gate holds."""

RETRY_POLICY: Json = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 3,
    "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.050s"},
}
"""Only where the backend cannot have seen the request, so it is safe for any method (X65)."""
MAX_BACK_OFF_S = 0.05

CHECK_RETRY_POLICY: Json = {
    "retry_on": "connect-failure,refused-stream,reset",
    "num_retries": 100,
    "retry_back_off": {"base_interval": "0.050s", "max_interval": "0.500s"},
}
"""A question to the gate may be asked again: a gate that restarts costs time, no request."""

PROXY_HEADERS = ("x-envoy-internal", "x-envoy-external-address", "te")
"""What Envoy would add to a request, or let through although it is between two hops."""

SIDES: tuple[Side, ...] = ("legacy", "service")

_PER_TRY_HEADER = "x-envoy-upstream-rq-per-try-timeout-ms"
_NO_PER_TRY_TIMEOUT_MS = "600000"
"""Envoy divides the time for a question by the number of attempts, and would ask again, and again, what the gate is
only holding. A limit for one attempt that is above that for all is ignored, and switches this off."""

_PER_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"


def render_routes(table: RouteTable) -> Json:
    """The RouteConfiguration resource."""
    routes = [route for move, rule in table.ordered_rules for route in _rule_routes(table, move, rule)]
    unmatched = _to_cluster(LEGACY_CLUSTER, "legacy", timeout="0s")
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTE_CONFIG,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [*routes, {"name": "unmatched", "match": {"prefix": "/"}, **unmatched}],
            }
        ],
        "request_headers_to_remove": [FORCE_HEADER, OWNER_HEADER, *PROXY_HEADERS],
        "response_headers_to_add": [_set_header(VERSION_HEADER, str(table.version))],
    }


def _rule_routes(table: RouteTable, move: MoveRoutes, rule: RouteRule) -> list[Json]:
    steps = _write_steps(move) if rule.kind == "write" else _read_steps(table, move, rule)
    return [
        {"name": f"{move.move}/{rule.id}/{step}", "match": _match(rule, conditions), **action}
        for step, conditions, action in steps
    ]


def _match(rule: RouteRule, conditions: Json) -> Json:
    methods = "|".join(re.escape(method) for method in rule.effective_methods)
    return {
        "safe_regex": {"regex": rule.path_regex},
        **conditions,
        "headers": [_header_matches(":method", methods), *conditions.get("headers", [])],
    }


def _write_steps(move: MoveRoutes) -> list[tuple[str, Json, Json]]:
    if not move.gate_armed:
        owner = move.write_owner
        return [("owner", {}, _to_cluster(write_cluster(move.move, owner), owner))]
    steps = []
    for side in SIDES:
        answered = {"headers": [_header_is(OWNER_HEADER, side)]}
        action = _to_cluster(write_cluster(move.move, side), side, timeout=GATED_TIMEOUT)
        steps.append((f"gated-{side}", answered, action | _asks_gate(move)))
    unanswered = {"direct_response": {"status": 503, "body": {"inline_string": "the write gate named no owner\n"}}}
    return [*steps, ("gated", {}, unanswered | _asks_gate(move))]


def _asks_gate(move: MoveRoutes) -> Json:
    service = {
        "server_uri": {"uri": f"http://{GATE_CLUSTER}", "cluster": GATE_CLUSTER, "timeout": CHECK_TIMEOUT},
        "path_override": check_path(move.move),
        "authorization_request": {"headers_to_add": [{"key": _PER_TRY_HEADER, "value": _NO_PER_TRY_TIMEOUT_MS}]},
        "authorization_response": {"allowed_upstream_headers": {"patterns": [{"exact": OWNER_HEADER}]}},
        "retry_policy": CHECK_RETRY_POLICY,
    }
    settings = {"@type": _PER_ROUTE, "check_settings": {"http_service": service}}
    return {"typed_per_filter_config": {"envoy.filters.http.ext_authz": settings}}


def _read_steps(table: RouteTable, move: MoveRoutes, rule: RouteRule) -> list[tuple[str, Json, Json]]:
    has_key = _key_matches(move.sticky, ".+")
    steps: list[tuple[str, Json, Json]] = []
    if table.force_token is not None:
        for side in SIDES:
            forced = {"headers": [_header_is(FORCE_HEADER, force_value(table.force_token, side))]}
            steps.append((f"forced-{side}", forced, _to_cluster(read_cluster(move, side), side)))
    for side in SIDES:
        if keys := [re.escape(pin.key) for pin in move.pins if pin.side == side]:
            pinned = _key_matches(move.sticky, "|".join(keys))
            steps.append((f"pinned-{side}", pinned, _to_cluster(read_cluster(move, side), side)))
    if move.inspect_share:
        fraction = {"default_value": {"numerator": move.inspect_share, "denominator": "MILLION"}}
        sample, told = {"runtime_fraction": fraction}, _told_to_inspection(move, rule)
        to_inspection = _to_cluster(INSPECTION_CLUSTER, "inspection")
        keyless_told = [*told, _set_header(CONTROL_HEADER, move.keyless_reads)]
        keyed = _split(move, inspected=True) | {"request_headers_to_add": told}
        steps.append(("inspected", sample | has_key, keyed))
        steps.append(("inspected-keyless", sample, to_inspection | {"request_headers_to_add": keyless_told}))
    steps.append(("sticky", has_key, _split(move, inspected=False)))
    keyless = move.keyless_reads
    return [*steps, ("keyless", {}, _to_cluster(read_cluster(move, keyless), keyless))]


def _split(move: MoveRoutes, *, inspected: bool) -> Json:
    """Service first: a key's bucket, hash modulo 1,000,000, is on the service side when below the share."""
    shares: tuple[tuple[Side, int], ...] = (("service", move.read_share), ("legacy", WHOLE - move.read_share))
    clusters = []
    for side, weight in shares:
        if weight:
            target = INSPECTION_CLUSTER if inspected else read_cluster(move, side)
            cluster: Json = {"name": target, "weight": weight, **_stamp("inspection" if inspected else side)}
            if inspected:
                cluster["request_headers_to_add"] = [_set_header(CONTROL_HEADER, side)]
            clusters.append(cluster)
    policy = {"clusters": clusters, "use_hash_policy": True}
    return {
        "route": {"weighted_clusters": policy, "hash_policy": [_hash_policy(move.sticky)], **_limits(ROUTE_TIMEOUT)}
    }


def _told_to_inspection(move: MoveRoutes, rule: RouteRule) -> list[Json]:
    template = rule.path.replace("%", "%%")
    return [_set_header(MOVE_HEADER, move.move), _set_header(RULE_HEADER, template)]


def _to_cluster(cluster: str, side: str, timeout: str = ROUTE_TIMEOUT) -> Json:
    return {"route": {"cluster": cluster, **_limits(timeout)}, **_stamp(side)}


def _limits(timeout: str) -> Json:
    return {"timeout": timeout, "retry_policy": RETRY_POLICY}


def _stamp(side: str) -> Json:
    return {"response_headers_to_add": [_set_header(SIDE_HEADER, side)]}


def _set_header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _header_is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _header_matches(name: str, regex: str) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}}


def _key_matches(sticky: StickyKey, regex: str) -> Json:
    if sticky.header is not None:
        return {"headers": [_header_matches(sticky.header, regex)]}
    return {"cookies": [{"name": sticky.cookie, "string_match": {"safe_regex": {"regex": regex}}}]}


def _hash_policy(sticky: StickyKey) -> Json:
    if sticky.header is not None:
        return {"header": {"header_name": sticky.header}}
    return {"cookie": {"name": sticky.cookie}}
