"""A sticky header that does not tell clients apart, or not for long."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan

_OF_EACH_REQUEST = frozenset(
    [
        "content-length",
        "date",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "idempotency-key",
        "range",
        "referer",
        "traceparent",
        "tracestate",
        "x-amzn-trace-id",
        "x-b3-spanid",
        "x-b3-traceid",
        "x-correlation-id",
        "x-request-id",
        "x-request-start",
    ]
)
_OF_ALL_CLIENTS = frozenset(
    [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-encoding",
        "content-type",
        "forwarded",
        "host",
        "origin",
        "pragma",
        "te",
        "user-agent",
        "via",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    ]
)
_COOKIES = "cookie"
"""All cookies as one text: it changes with any of them."""


def _find(plan: Plan) -> Iterable[str]:
    header = (plan.sticky.header or "").lower()
    unsteady = header in _OF_EACH_REQUEST or header in _OF_ALL_CLIENTS or header == _COOKIES
    return [f"sticky.header: {header}"] if unsteady or header.startswith("x-strangler-") else []


RULE = Rule(
    id="unsteady-sticky-key",
    refuses="a sticky header that does not tell clients apart, or not for long",
    why="it differs from request to request, or is the same for everybody: one client would see both sides in turn, "
    "or a share of 5 % would be everybody or nobody",
    instead="name a header or a cookie that is one client's own and stays: a customer number, a session",
    find=_find,
)
