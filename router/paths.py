"""Paths as the proxy sees them: normalised before any rule is looked at. Pure.

One place decides what `//`, `%2e`, `%70`, `\\` and a trailing slash mean, so that no spelling of a path can get
round a rule (X62). `normalise` mirrors what Envoy is told to do; an integration test holds the two together.
"""

import re

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"%2[fF]|%5[cC]")


def normalise(target: str) -> str:
    """The path of a request target, without query, in the form that rules are matched on."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    path = _ESCAPED_SLASH.sub(lambda match: "/" if match.group().lower() == "%2f" else "\\", path)
    path = _ESCAPE.sub(_unescape, path).replace("\\", "/")
    return re.sub("/{2,}", "/", _without_dots(path))


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match.group(1), 16))
    return character if character in _UNRESERVED else match.group()


def _without_dots(path: str) -> str:
    """Resolve `.` and `..` segments (RFC 3986, 5.2.4); empty segments are still segments here."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for position, segment in enumerate(segments):
        is_last = position == len(segments) - 1
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
            continue
        if is_last:
            kept.append("")
    return "/" + "/".join(kept)
