"""Requests that were recorded: HAR, or JSON lines with method, path and times. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from migration_plans.errors import LogUnreadable

MARKER: Final = "strangler request"
"""Begins the comment of a statement that marks where a recorded request begins and ends in the server's log."""

OURS: Final = "/* strangler gather */"
"""Begins every statement of gathering itself, so that none is taken for the monolith's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRequest:
    """One request that was answered."""

    method: str
    path: str
    """With its query, without scheme and host."""
    start: float
    """Seconds since 1970."""
    end: float
    status: int = 0
    """0: not known."""
    template: str | None = None
    """The path's template where the record says it."""
    marker: str | None = None
    """Names the marks in the server's log between which the request ran alone."""
    trace: str | None = None
    """The trace id of its traceparent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


def requests_of(text: str, *, thing: str) -> list[RecordedRequest]:
    """Requests of a HAR document or of JSON lines, by time. Raises `LogUnreadable`, naming `thing`."""
    stripped = text.lstrip()
    if stripped.startswith("{"):
        try:
            document = json.loads(stripped)
        except json.JSONDecodeError:
            document = None
        if isinstance(document, dict) and isinstance(document.get("log"), dict):
            return sorted(_har(document["log"], thing), key=lambda request: request.start)
    return sorted(_lines(text.splitlines(), thing), key=lambda request: request.start)


def _har(log: Mapping[str, Any], thing: str) -> Iterator[RecordedRequest]:
    for number, entry in enumerate(log.get("entries", ()), start=1):
        try:
            asked, started = entry["request"], datetime.fromisoformat(entry["startedDateTime"]).timestamp()
            headers = {one["name"].lower(): one["value"] for one in asked.get("headers", ())}
            yield RecordedRequest(
                method=asked["method"].upper(),
                path=_local(asked["url"]),
                start=started,
                end=started + max(0.0, float(entry["time"])) / 1000,
                status=int(entry.get("response", {}).get("status", 0)),
                trace=trace_id(headers.get("traceparent")),
                headers=headers,
                body=(asked.get("postData") or {}).get("text"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(f"{thing}: entry {number}", error) from None


def _lines(lines: Iterable[str], thing: str) -> Iterator[RecordedRequest]:
    """One object a line: `method`, `path`, and `start`/`end` or `t`/`ms`. Lines of another `type` are passed over."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if entry.get("type", "request") != "request":
                continue
            start = float(entry["start"] if "start" in entry else entry["t"])
            end = float(entry["end"]) if "end" in entry else start + float(entry["ms"]) / 1000
            headers = {str(name).lower(): str(value) for name, value in (entry.get("headers") or {}).items()}
            yield RecordedRequest(
                method=str(entry["method"]).upper(),
                path=_local(str(entry["path"])),
                start=start,
                end=end,
                status=int(entry.get("status") or 0),
                template=entry.get("template"),
                marker=entry.get("marker"),
                trace=trace_id(entry.get("traceparent") or headers.get("traceparent")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _bad(f"{thing}: line {number}", error) from None


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id of a W3C traceparent `00-trace-span-flags`."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else None


def _local(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _bad(thing: str, error: Exception) -> LogUnreadable:
    reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)[:120]
    return LogUnreadable(
        thing=thing,
        reason=reason,
        mend='give a HAR document, or JSON lines {"method", "path", "start", "end"} with times in seconds since 1970',
    )
