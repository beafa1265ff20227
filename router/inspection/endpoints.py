"""A name for the endpoint of a request, so that a million ids make one counter. Pure."""

import re

_ID = re.compile(
    r"\d+\Z"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z"
    r"|[0-9a-fA-F]{16,}\Z"
    r"|(?=[^\d]*\d)[\w.~%+=-]{2,}\Z"
)
_VERSION = re.compile(r"v\d{1,3}\Z")
MAX_NAME_CHARS = 200
MAX_SEGMENTS = 12


def endpoint_name(method: str, path: str, rule: str = "") -> str:
    """`METHOD template`: the data plane's rule where it named one, else the path with id-like segments as `{id}`.

    Id-like is a segment with a digit in it, except a version such as `v2`; what is longer than `MAX_SEGMENTS` is cut.
    """
    template = rule or id_free(path)
    return f"{method} {template}"[:MAX_NAME_CHARS]


def id_free(path: str) -> str:
    """The path, without its query, with every id-like segment replaced by `{id}`."""
    segments = path.partition("?")[0].split("/")
    kept = [
        "{id}" if _ID.match(segment) and not _VERSION.match(segment) else segment for segment in segments[:MAX_SEGMENTS]
    ]
    return "/".join(kept) + ("/…" if len(segments) > MAX_SEGMENTS else "")
