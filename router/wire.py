"""Names on the wire between client, proxy, gate and backends: headers, cluster names, gate paths. Pure."""

from router.rules import MoveRoutes, Side

FORCE_HEADER = "x-strangler-force"
"""Asked for by an operator: `<token> legacy` or `<token> service`. Never reaches a backend."""
OWNER_HEADER = "x-strangler-owner"
"""Set by the gate on an armed write, for the proxy's routing only. Never accepted from a client."""
CONTROL_HEADER = "x-strangler-control"
"""Told to the inspection plane: the side (`legacy` or `service`) that this request would have gone to."""
MOVE_HEADER = "x-strangler-move"
"""Told to the inspection plane: the move that the request's rule belongs to."""
RULE_HEADER = "x-strangler-rule"
"""Told to the inspection plane: the path template that matched."""
SIDE_HEADER = "x-strangler-side"
"""On each answer: `legacy`, `service` or `inspection`."""
VERSION_HEADER = "x-strangler-version"
"""On each answer: version of the route table that decided."""

INTERNAL_HEADERS = (OWNER_HEADER, CONTROL_HEADER, MOVE_HEADER, RULE_HEADER, SIDE_HEADER, VERSION_HEADER)
"""Removed from a client's request before anything looks at it."""

LEGACY_CLUSTER = "legacy"
INSPECTION_CLUSTER = "inspection"
GATE_CLUSTER = "gate"
ROUTE_CONFIG = "strangler"
"""Name of the one dynamic route configuration."""
STAT_PREFIX = "strangler"


def service_cluster(service: str) -> str:
    """Cluster of a service's reads."""
    return f"service-{service}"


def read_cluster(move: MoveRoutes, side: Side) -> str:
    return LEGACY_CLUSTER if side == "legacy" else service_cluster(move.service)


def write_cluster(move: str, side: Side) -> str:
    """A move's writes have clusters of their own, so that those in flight can be counted."""
    return f"{side}-writes-{move}"


def check_path(move: str) -> str:
    """What the proxy asks the gate, for one write of a move."""
    return f"/check/{move}"


def force_value(token: str, side: Side) -> str:
    """The whole value of `x-strangler-force`."""
    return f"{token} {side}"
