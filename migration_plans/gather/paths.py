"""Which endpoint is a path of: templates that are known, or inferred from the paths themselves. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

_FOLDED_FROM: Final = 20
"""Distinct last words at one place from which on they are taken for values, and not for endpoints."""
_COUNTED_FROM: Final = 3
"""Words at one place that differ in the number at their end only (`u1`, `u2`, `u3`), from which on they are values."""
_NUMBERED: Final = re.compile(r"(?P<word>(?!v\d)[^\W\d][\w-]*?)(?P<number>\d+)")
_KEYED_FROM: Final = 3
"""Words of one length at one place that mix letters and digits (`2ng5iz`), from which on words like these are keys."""
_KEY: Final = re.compile(r"[a-z0-9]{5,}")
_MIXED: Final = re.compile(r"(?=.*\d)(?=.*[a-z])(?!v\d)[a-z0-9]{5,}")
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
    """`/a/<int:b>`, `/a/{b}` and `/a/:b` in one form: `/a/{b}`. A slash at the end stays."""
    return _PARAMETER.sub(lambda m: "{%s}" % (m["angle"] or m["brace"] or m["colon"]), template)


def path_of(target: str) -> str:
    """The path of a request's target or URL; `//a` is a path, and `a` no host."""
    return target.partition("?")[0].partition("#")[0] if target.startswith("/") else urlsplit(target).path


def as_read(method: str) -> str:
    """The method in capitals; HEAD asks what GET does."""
    method = method.upper()
    return "GET" if method == "HEAD" else method


def shape_of(template: str) -> str:
    """The template without the names of its parameters and a slash at its end: equal for those of one endpoint."""
    return re.sub(r"\{\w+\}", "{}", unified(template)).rstrip("/")


class Templates:
    """Names endpoints: `METHOD /path/{parameter}`."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        """`known`: endpoints, `METHOD /template`, as the code or an API description has them."""
        self._known: dict[tuple[str, int], list[tuple[re.Pattern[str], str]]] = defaultdict(list)
        self._known_slash: dict[str, bool] = {}
        self._folded: set[tuple[str, tuple[str, ...]]] = set()
        self._counted: set[tuple[str, tuple[str, ...], str]] = set()
        self._keyed: set[tuple[tuple[str, ...], int]] = set()
        self._common: set[str] = set()
        self._slashes: Counter[str] = Counter()
        for endpoint in known:
            method, _, template = endpoint.partition(" ")
            template = unified(template).rstrip("/")
            self._known_slash[shape_of(endpoint)] = endpoint.endswith("/")
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            self._known[method.upper(), template.count("/")].append((re.compile(pattern), template))
        for templates in self._known.values():
            # `/stock/low` before `/stock/{id}`.
            templates.sort(key=lambda item: item[1].count("{"))

    def learn(self, requests: Iterable[tuple[str, str]]) -> None:
        """Look at all (method, path): a place with very many last words holds values, and so does one with numbers.

        An endpoint's name ends with a slash where most of its paths do: a route of a plan has to match what is asked.
        """
        seen = {(as_read(method), path_of(path)) for method, path in requests}
        self._slashes = Counter()
        self._learn_places(seen)
        for method, path in seen:
            self._slashes[self._without_slash(method, path)] += 1 if path.endswith("/") else -1

    def _learn_places(self, requests: Iterable[tuple[str, str]]) -> None:
        different = {(method, tuple(_inferred(_segments(path)))) for method, path in requests}
        paths = [(method, list(segments)) for method, segments in different]
        self._counted, self._keyed = set(), set()
        self._common = _at_several_places(segments for _, segments in paths)
        for depth in range(max((len(segments) for _, segments in paths), default=0)):
            self._learn_keys([segments for _, segments in paths if depth < len(segments)], depth)
            numbers: dict[tuple[str, tuple[str, ...], str], set[str]] = defaultdict(set)
            for method, segments in paths:
                numbered = _NUMBERED.fullmatch(segments[depth]) if depth < len(segments) else None
                if numbered is not None:
                    numbers[method, tuple(segments[:depth]), numbered["word"]].add(numbered["number"])
            self._counted |= {place for place, seen in numbers.items() if len(seen) >= _COUNTED_FROM}
            for method, segments in paths:
                self._fold_counted(method, segments, depth)
        words: dict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
        for method, segments in paths:
            if segments and segments[-1] != "{id}":
                words[method, tuple(segments[:-1])].add(segments[-1])
        self._folded = {place for place, seen in words.items() if len(seen) >= _FOLDED_FROM}

    def _learn_keys(self, paths: list[list[str]], depth: int) -> None:
        mixed: dict[tuple[tuple[str, ...], int], set[str]] = defaultdict(set)
        for segments in paths:
            if _MIXED.fullmatch(segments[depth]):
                mixed[tuple(segments[:depth]), len(segments[depth])].add(segments[depth])
        self._keyed |= {place for place, seen in mixed.items() if len(seen) >= _KEYED_FROM}
        for segments in paths:
            self._fold_key(segments, depth)

    def _fold_key(self, segments: list[str], depth: int) -> None:
        """A key may have letters only; a word that is met at other places, too (`create`), is none."""
        word = segments[depth]
        if (tuple(segments[:depth]), len(word)) in self._keyed and _KEY.fullmatch(word) and word not in self._common:
            segments[depth] = "{id}"

    def _fold_counted(self, method: str, segments: list[str], depth: int) -> None:
        numbered = _NUMBERED.fullmatch(segments[depth]) if depth < len(segments) else None
        if numbered is not None and (method, tuple(segments[:depth]), numbered["word"]) in self._counted:
            segments[depth] = "{id}"

    def endpoint(self, method: str, path: str) -> str:
        """The endpoint that a request of this path is for. Query and fragment do not count."""
        name = self._without_slash(as_read(method), path)
        often = self._slashes[name]
        slashed = often > 0 or (often == 0 and self._known_slash.get(shape_of(name), path_of(path).endswith("/")))
        return f"{name}/" if slashed and not name.endswith("/") else name

    def _without_slash(self, method: str, path: str) -> str:
        plain = "/" + "/".join(_segments(path))
        for pattern, template in self._known.get((method, plain.count("/")), ()):
            if pattern.fullmatch(plain):
                return f"{method} {template}"
        segments = _inferred(_segments(path))
        if self._counted or self._keyed:
            for depth in range(len(segments)):
                self._fold_key(segments, depth)
                self._fold_counted(method, segments, depth)
        if segments and (method, tuple(segments[:-1])) in self._folded:
            segments[-1] = "{id}"
        return f"{method} /{'/'.join(segments)}"


def _segments(path: str) -> list[str]:
    """Without parameters of a segment (`;jsessionid=…`)."""
    plain = (segment.partition(";")[0] for segment in path_of(path).split("/"))
    return [unquote(segment).replace("/", "%2F") for segment in plain if segment]


def _at_several_places(paths: Iterable[list[str]]) -> set[str]:
    """Words that follow different words."""
    before: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for segments in paths:
        for depth, word in enumerate(segments):
            before[word].add(tuple(segments[:depth]))
    return {word for word, places in before.items() if len(places) > 1}


def _inferred(segments: list[str]) -> list[str]:
    return ["{id}" if _VALUE.fullmatch(segment) else segment for segment in segments]
