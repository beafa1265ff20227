"""A recorded run as one that can be played again: values of answers that later requests used become places. Pure.

A record is of one state of the data; played to another, an order gets another number. So a value in a request that an
earlier answer held first is taken from that answer anew. Two rules keep apart what is equal by chance: what a client
used before any answer held it was not learned from an answer; and a small number counts only where its name says so,
`order_id` or `/orders/7` for the `id` of an order.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from migration_plans.gather.plays import Play

HIDDEN: Final = re.compile(r"hidden-[0-9a-f]{16}(?:@example\.invalid)?")
"""Stands in a record for a secret, the same for the same."""

_MAX_LEAVES: Final = 10_000
_MAX_ITEMS: Final = 1000
_MAX_NAMES: Final = 8
"""Under which one value is remembered."""
_MAX_DEPTH: Final = 20
_LARGE: Final = 1_000_000
"""Numbers from here on are not equal by chance."""
_OPAQUE: Final = re.compile(
    r"""
      [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}
    | (?=[^\s]*\d)[\w.~+/=:-]{8,512}
    | [A-Za-z0-9_=-]{16,512}
    """,
    re.VERBOSE,
)
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ID_WORDS: Final = frozenset({"id", "pk", "uuid", "number", "no", "nr", "key", "ref", "code"})
_CREDENTIALS: Final = re.compile(r"(?P<scheme>\w+ )?(?P<value>\S+)")
_SCALAR: Final = (str, int)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A recorded request, and what of its answer later requests may have used."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str | None
    template: str | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    """`json`, `inputs` (hidden fields of a page), `cookies`, `location`, each if there was one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A value in an answer."""

    exchange: int
    place: str
    value: str | int
    name: str
    is_plain_id: bool
    """The id of the very thing that a write answered with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Use:
    """A value in a request."""

    value: str
    name: str
    called: str
    """What a saved value is called after."""
    in_path: bool = False


def linked(exchanges: Sequence[Exchange]) -> list[Play]:
    """The same requests with places, and what to save for them."""
    return _Linker().plays(exchanges)


class _Linker:
    def __init__(self) -> None:
        self._sources: dict[str, list[_Source]] = defaultdict(list)
        self._typed: set[tuple[str, str]] = set()
        self._saved: dict[tuple[int, str], str] = {}
        self._names: set[str] = {"dollar"}
        self._resources: set[str] = set()

    def plays(self, exchanges: Sequence[Exchange]) -> list[Play]:
        self._resources = {name for one in exchanges for name in _resources(one.path)}
        asked = []
        for number, one in enumerate(exchanges):
            rewriting = _Rewriting(self)
            asked.append((one, rewriting.of(one)))
            for source in _sources(number, one):
                self._hold(source)
        saves: dict[int, dict[str, str]] = defaultdict(dict)
        for (number, place), name in self._saved.items():
            saves[number][name] = place
        return [
            Play(
                method=one.method,
                path=path,
                headers=headers,
                body=body,
                named=one.template,
                save=saves[number],
                recorded=defaults,
            )
            for number, (one, (path, headers, body, defaults)) in enumerate(asked)
        ]

    def _hold(self, source: _Source) -> None:
        value = str(source.value)
        held = self._sources[value]
        is_known = any(one.name == source.name for one in held) or (value, _typed_as(value, source.name)) in self._typed
        if not is_known and len(held) < _MAX_NAMES:
            held.append(source)

    def place_of(self, use: _Use) -> tuple[str, str | int] | None:
        """The name under which the value is saved, and the value that the record has."""
        found = self._source_of(use)
        if found is None:
            self._typed.add((use.value, _typed_as(use.value, use.name)))
            return None
        key = found.exchange, found.place
        if key not in self._saved:
            self._saved[key] = self._new_name(use.called)
        return self._saved[key], found.value

    def _source_of(self, use: _Use) -> _Source | None:
        """The first that is called alike, or the only one there is, of a write whose name no ids follow in any path (a
        checkout answers with an order's)."""
        held = self._sources.get(use.value, [])
        for source in held:
            if not _is_small(use.value) or (use.name and use.name == source.name):
                return source
        if use.in_path and len(held) == 1 and held[0].is_plain_id and held[0].name not in self._resources:
            return held[0]
        return None

    def _new_name(self, called: str) -> str:
        base = re.sub(r"\W+", "_", called).strip("_").lower() or "value"
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name


class _Rewriting:
    """Puts places into one request."""

    def __init__(self, linker: _Linker) -> None:
        self._linker = linker
        self._defaults: dict[str, Any] = {}

    def of(self, one: Exchange) -> tuple[str, dict[str, str], str | None, dict[str, Any]]:
        path = self._path(one.path)
        headers = {name: self._header(name, value) for name, value in one.headers.items()}
        body = None if one.body is None else self._body(one.body, one.headers.get("content-type", ""))
        return path, headers, body, self._defaults

    def _place(self, use: _Use) -> str | None:
        if not _can_link(use.value):
            return None
        found = self._linker.place_of(use)
        if found is None:
            return None
        name, value = found
        self._defaults[name] = value
        return f"${{{name}}}"

    def _literal(self, text: str) -> str:
        if "${" not in text:
            return text
        self._defaults["dollar"] = "$"
        return text.replace("${", "${dollar}{")

    def _path(self, target: str) -> str:
        path, mark, query = target.partition("?")
        segments, before = [], ""
        for segment in path.split("/"):
            plain = unquote(segment)
            name = _name(before)
            use = _Use(value=plain, name=name, called=f"{name or 'value'}_id", in_path=True)
            segments.append(self._place(use) or self._literal(segment))
            before = before if plain.isdigit() else plain
        return "/".join(segments) + mark + (self._form(query) if query else "")

    def _form(self, text: str) -> str:
        pairs = parse_qsl(text, keep_blank_values=True)
        places = [self._place(_Use(value=value, name=_name(name), called=name)) for name, value in pairs]
        if not any(places):
            return self._literal(text)
        return "&".join(
            f"{quote(name)}={place or quote(value)}" for (name, value), place in zip(pairs, places, strict=True)
        )

    def _header(self, name: str, value: str) -> str:
        if name == "cookie":
            pairs = [part.strip().partition("=") for part in value.split(";")]
            return "; ".join(
                f"{one}={self._place(_Use(value=held, name=one, called=one)) or self._literal(held)}"
                for one, _, held in pairs
            )
        match = _CREDENTIALS.fullmatch(value)
        if match is None:
            return self._literal(value)
        place = self._place(_Use(value=match["value"], name=_name(name.removeprefix("x-")), called=name))
        return self._literal(value) if place is None else f"{match['scheme'] or ''}{place}"

    def _body(self, body: str, content_type: str) -> str:
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            return self._form(body)
        try:
            tree = json.loads(body)
        except ValueError:
            return self._literal(body)
        placed = self._tree(tree, "")
        # As it was sent, where there is nothing to put in: numbers have more than one spelling.
        return self._literal(body) if placed == tree else json.dumps(placed, ensure_ascii=False)

    def _tree(self, node: Any, key: str, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            return node
        if isinstance(node, dict):
            parent = _name(key)
            return {
                one: self._tree(value, f"{parent}_{one}" if parent and one.lower() in _ID_WORDS else one, depth + 1)
                for one, value in node.items()
            }
        if isinstance(node, list):
            return [self._tree(value, key, depth + 1) for value in node]
        if isinstance(node, bool) or not isinstance(node, _SCALAR):
            return node
        place = self._place(_Use(value=str(node), name=_name(key), called=key))
        if place is None:
            return self._literal(node) if isinstance(node, str) else node
        return place


def _sources(number: int, one: Exchange) -> Iterator[_Source]:
    """Values of an answer that a later request may use."""
    about = _name(_last_word(one.path))
    is_write = one.method not in {"GET", "HEAD", "OPTIONS"}
    answer = one.answer
    for kind, held in (("cookie", answer.get("cookies")), ("input", answer.get("inputs"))):
        for name, value in (held or {}).items():
            if "." not in name and isinstance(value, str) and _can_link(value):
                yield _Source(exchange=number, place=f"@{kind}.{name}", value=value, name=name, is_plain_id=False)
    before = ""
    for position, segment in enumerate(urlsplit(str(answer.get("location") or "")).path.split("/")):
        if _can_link(segment):
            name = _name(before)
            yield _Source(
                exchange=number, place=f"@location.{position}", value=segment, name=name, is_plain_id=is_write
            )
        before = before if segment.isdigit() else segment
    for place, key, parent, value in _leaves(answer.get("json")):
        words = _words(key)
        is_id = bool(words) and words[-1] in _ID_WORDS
        yield _Source(
            exchange=number,
            place=place,
            value=value,
            name=_name(key) or _name(parent) or about,
            is_plain_id=is_write and is_id and len(words) == 1 and not parent,
        )


def _leaves(tree: Any) -> Iterator[tuple[str, str, str, str | int]]:
    """(place, key, key of what holds it, value) of values that can be linked."""
    waiting: list[tuple[str, str, str, Any, int]] = [("", "", "", tree, 0)]
    seen = 0
    while waiting and seen < _MAX_LEAVES:
        place, key, parent, node, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            continue
        if isinstance(node, dict):
            inside: Iterable[tuple[str, str, str, Any]] = [
                (f"{place}.{one}", one, key, value) for one, value in node.items() if one and "." not in one
            ]
        elif isinstance(node, list):
            inside = [(f"{place}.{n}", key, parent, value) for n, value in enumerate(node[:_MAX_ITEMS])]
        else:
            seen += 1
            if isinstance(node, _SCALAR) and not isinstance(node, bool) and place and _can_link(str(node)):
                yield place[1:], key, parent, node
            continue
        waiting.extend((*one, depth + 1) for one in reversed(list(inside)))


def _typed_as(value: str, name: str) -> str:
    """What a client knew by itself: a word whatever it is called, a small number under its name."""
    return name if _is_small(value) else ""


def _is_small(value: str) -> bool:
    return value.isdigit() and int(value) < _LARGE


def _can_link(value: str) -> bool:
    return bool(value) and ((value.isascii() and value.isdigit() and len(value) < 20) or bool(_OPAQUE.fullmatch(value)))


def _resources(path: str) -> Iterator[str]:
    """Words of a path that an id follows."""
    segments = urlsplit(path).path.split("/")
    for word, after in pairwise(segments):
        if not word.isdigit() and _can_link(after):
            yield _name(word)


def _last_word(path: str) -> str:
    """The last part of a path that is no number."""
    words = [word for word in urlsplit(path).path.split("/") if word and not word.isdigit()]
    return words[-1] if words else ""


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


def _name(name: str) -> str:
    """What a value is the id of: `order` for `order_id`, `orderId`, `orders`; nothing for a bare `id`."""
    words = _words(name)
    while words and words[-1] in _ID_WORDS:
        words.pop()
    if not words:
        return ""
    last = words[-1]
    if last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith("s") and not last.endswith("ss") and len(last) > 3:
        last = last[:-1]
    return "_".join([*words[:-1], last])
