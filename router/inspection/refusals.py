"""Which requests are never asked twice, and why. Pure."""

from collections.abc import Collection

SAFE_METHODS = ("GET", "HEAD")
SHADOW_HEADER = "x-shadow"


def request_refusal(
    method: str, headers: Collection[tuple[str, str]], endpoint: str, unsafe_endpoints: Collection[str]
) -> str | None:
    """The reason why this request must not go to the candidate as well, or None."""
    values = {name.lower(): value for name, value in headers}
    if SHADOW_HEADER in values:
        return "already-shadow"
    if method not in SAFE_METHODS:
        return "method-not-safe"
    if "upgrade" in values or "upgrade" in values.get("connection", "").lower():
        return "upgrade"
    if values.get("content-length", "0").strip() not in ("", "0") or "transfer-encoding" in values:
        return "request-body"
    if "if-none-match" in values or "if-modified-since" in values:
        return "conditional"
    if endpoint in unsafe_endpoints:
        return "declared-unsafe"
    return None


def response_refusal(content_type: str) -> str | None:
    """The reason why this answer cannot be compared, known from its headers."""
    return "event-stream" if content_type.lower().startswith("text/event-stream") else None
