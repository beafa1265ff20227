"""Which endpoint is a path of: templates that are known, or inferred from the paths themselves. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

_FOLDED_FROM: Final = 20
"""Distinct last words at one place from which on they are taken for values, and not for endpoints."""
_VALUE: Final = re.compile(
    r"""
      \d+
    | [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}     # UUID
    | (?=[0-9a-fA-F]*\d)[0-9a-fA-F]{10,}                         # hash
    | \d{4}-\d\d(?:-\d\d)?(?:T.*)?                                # day
    | [^/@\s]+@[^/@\s]+                                           # e-mail
    | (?=.*\d)(?=.*[-_.:~A-Z])(?!v\d)[\w.:~+=-]{5,}               # SKU-123, ab_12, 12.5
    | [A-Za-z0-9_=-]{22,}                                         # token
    """,
    re.VERBOSE,
)
_PARAMETER: Final = re.compile(r"<(?:[^<>:]+:)?(?P<angle>\w+)>|\{(?P<brace>\w+)(?::[^{}]*)?\}|:(?P<colon>\w+)")


def unified(template: str) -> str:
    """`/a/<int:order_id>`, `/a/{order_id}` and `/a/:order_id` in one form: `/a/{order_id}`; no slash at the end."""
    braced = _PARAMETER.sub(lambda m: "{%s}" % (m["angle"] or m["brace"] or m["colon"]), template)
    return braced.rstrip("/") or "/"


def shape_of(template: str) -> str:
    """The template without the names of its parameters: equal for templates that match the same paths."""
    return re.sub(r"\{\w+\}", "{}", unified(template))


class Templates:
    """Names endpoints: `METHOD /path/{parameter}`."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known`: endpoints, `METHOD /template`, as the code or an API description has them."""
        self._known: dict[tuple[str, int], list[tuple[re.Pattern[str], str]]] = defaultdict(list)
        self._folded: dict[tuple[str, tuple[str, ...]], bool] = {}
        for endpoint in known:
            method, _, template = endpoint.partition(" ")
            template = unified(template)
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            self._known[method.upper(), template.count("/")].append((re.compile(pattern), template))
        for templates in self._known.values():
            # `/stock/low` before `/stock/{id}`.
            templates.sort(key=lambda item: item[1].count("{"))

    def learn(self, requests: Iterable[tuple[str, str]]) -> None:
        """Look at all (method, path): a place with very many last words holds values."""
        words: dict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
        for method, path in requests:
            segments = _inferred(_segments(path))
            if segments and segments[-1] != "{id}":
                words[method.upper(), tuple(segments[:-1])].add(segments[-1])
        self._folded = {place: True for place, seen in words.items() if len(seen) >= _FOLDED_FROM}

    def endpoint(self, method: str, path: str) -> str:
        """The endpoint that a request of this path is for. Query and fragment do not count."""
        method = method.upper()
        plain = "/" + "/".join(_segments(path))
        for pattern, template in self._known.get((method, plain.count("/")), ()):
            if pattern.fullmatch(plain):
                return f"{method} {template}"
        segments = _inferred(_segments(path))
        if segments and (method, tuple(segments[:-1])) in self._folded:
            segments[-1] = "{id}"
        return f"{method} /{'/'.join(segments)}"


def _segments(path: str) -> list[str]:
    return [unquote(segment).replace("/", "%2F") for segment in urlsplit(path).path.split("/") if segment]


def _inferred(segments: list[str]) -> list[str]:
    return ["{id}" if _VALUE.fullmatch(segment) else segment for segment in segments]
