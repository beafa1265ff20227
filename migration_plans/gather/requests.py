"""Requests that were recorded: HAR, or JSON lines with method, path and times. Pure."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from migration_plans.errors import LogUnreadable

MARKER: Final = "strangler request"
"""Begins the comment of a statement that marks where a recorded request begins and ends in the server's log."""

OURS: Final = "/* strangler gather */"
"""Begins every statement of gathering itself, so that none is taken for the monolith's."""

_SWITCHED: Final = 101
_TRACEPARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


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


def requests_of(
    lines: Iterable[str], *, thing: str, torn: Callable[[str], None] | None = None
) -> list[RecordedRequest]:
    """Requests of a HAR document or of JSON lines, by time; `lines` keep their ends. Raises `LogUnreadable`, naming
    `thing`.

    `torn` is told of a last line that is not whole, which is left out: the recorder was killed, or still writes.
    Without it such a line is an error like any other.
    """
    rest = iter(lines)
    first = next((line for line in rest if not line.isspace()), "")
    document = _document(first)
    if first.startswith("{") and document is None:
        # Neither a line of a record nor a document in one line: one over many lines, or no JSON at all.
        kept = [first, *rest]
        document, rest = _document("".join(kept)), iter(kept[1:])
    if isinstance(document, dict) and isinstance(document.get("log"), dict):
        return sorted(_har(document["log"], thing), key=lambda request: request.start)
    return sorted(requests_in(chain([first], rest), thing=thing, torn=torn), key=lambda request: request.start)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


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
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(f"{thing}: entry {number}", error) from None


def requests_in(
    lines: Iterable[str], *, thing: str, torn: Callable[[str], None] | None = None
) -> Iterator[RecordedRequest]:
    """One object a line: `method`, `path`, and `start`/`end`, or a start (`start`, `t`) and how long (`us`, `ms`).

    Lines keep their ends. Lines of another `type` are passed over, and so are connections that became something else
    than HTTP (status 101): what they do later is of no request. Otherwise as `requests_of`, in the order of the lines.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if torn is not None and not line.endswith("\n"):
                torn(f"{thing}: line {number}, the last, is not whole and was left out: its writer was ended")
                return
            raise _bad(f"{thing}: line {number}", error) from None
        try:
            if entry.get("type", "request") != "request" or entry.get("status") == _SWITCHED:
                continue
            yield _request(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _bad(f"{thing}: line {number}", error) from None


def _request(entry: Mapping[str, Any]) -> RecordedRequest:
    headers = {str(name).lower(): str(value) for name, value in (entry.get("headers") or {}).items()}
    start, end = _times(entry)
    return RecordedRequest(
        method=str(entry["method"]).upper(),
        path=_local(str(entry["path"])),
        start=start,
        end=end,
        status=int(entry.get("status") or 0),
        template=entry.get("template"),
        marker=entry.get("marker"),
        trace=trace_id(entry.get("traceparent") or headers.get("traceparent")),
    )


def _times(entry: Mapping[str, Any]) -> tuple[float, float]:
    start = float(entry["start"] if "start" in entry else entry["t"])
    if "end" in entry:
        end = float(entry["end"])
    elif entry.get("us") is not None:
        end = start + float(entry["us"]) / 1_000_000
    else:
        end = start + float(entry["ms"]) / 1000
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError("has a time that is no number")
    return start, end


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id of a W3C traceparent `00-trace-span-flags`; None when it is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match["trace"] if match is not None else None


def _local(url: str) -> str:
    if url.startswith("/"):
        return url.partition("#")[0]
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _bad(thing: str, error: Exception) -> LogUnreadable:
    reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)[:120]
    return LogUnreadable(
        thing=thing,
        reason=reason,
        mend='give a HAR document, or JSON lines {"method", "path", "start", "end"} with times in seconds since 1970',
    )
