"""What one move asks of the router: its endpoints, its sticky key, and how far its traffic has come. Pure.

Shares are counted in millionths of keys or requests, so 0.01 % is 100.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from router.errors import BadRoute

Side = Literal["legacy", "service"]
Kind = Literal["read", "write"]

WHOLE = 1_000_000
"""All keys, or all requests, in millionths."""

MAX_PINS = 1000

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+")
_PIN_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, kw_only=True)
class RouteRule:
    """One endpoint that moves: methods and a template such as `/api/products/{id}` (a parameter is one segment).

    `kind` says what the endpoint does, not what its method is called: a `GET` that writes is a write, a
    `POST /search` is a read. A read of `GET` answers `HEAD` too. A trailing slash is the same endpoint.
    """

    id: str
    methods: tuple[str, ...]
    path: str
    kind: Kind

    def __post_init__(self) -> None:
        if not self.id:
            raise BadRoute(thing=f"rule for {self.path!r}", reason="it has no id", mend="give it a short name")
        if not self.methods:
            raise BadRoute(thing=self._thing, reason="it names no method", mend="list the methods, such as [GET]")
        for method in self.methods:
            if not _TOKEN.fullmatch(method) or method != method.upper():
                raise BadRoute(
                    thing=self._thing, reason=f"{method!r} is not a method", mend="write methods in capitals, as GET"
                )
        if len(set(self.methods)) != len(self.methods):
            raise BadRoute(thing=self._thing, reason="a method stands there twice", mend="name each method once")
        if self.kind not in ("read", "write"):
            raise BadRoute(thing=self._thing, reason=f"kind {self.kind!r} is unknown", mend="write read or write")
        self._check_template()

    def _check_template(self) -> None:
        if not self.path.startswith("/") or (self.path != "/" and self.path.endswith("/")):
            raise BadRoute(
                thing=self._thing,
                reason=f"{self.path!r} does not start with a slash, or ends with one",
                mend="write templates as /api/products/{id}; the trailing slash is covered anyway",
            )
        for segment in self.segments:
            is_dots = segment in (".", "..")
            if is_dots or not (_PARAMETER.fullmatch(segment) or _LITERAL.fullmatch(segment)):
                raise BadRoute(
                    thing=self._thing,
                    reason=f"segment {segment!r} of {self.path!r} is neither a literal nor one {{parameter}}",
                    mend="a parameter fills its segment; escape other characters as %XX with capitals, no query",
                )
        names = [segment for segment in self.segments if _PARAMETER.fullmatch(segment)]
        if len(set(names)) != len(names):
            raise BadRoute(thing=self._thing, reason="a parameter stands there twice", mend="name each one differently")

    @property
    def _thing(self) -> str:
        return f"rule {self.id!r}"

    @property
    def segments(self) -> tuple[str, ...]:
        return () if self.path == "/" else tuple(self.path[1:].split("/"))

    @property
    def effective_methods(self) -> tuple[str, ...]:
        """The methods as matched: `HEAD` goes wherever a read's `GET` goes."""
        if self.kind == "read" and "GET" in self.methods and "HEAD" not in self.methods:
            return (*self.methods, "HEAD")
        return self.methods

    @property
    def shape(self) -> tuple[str, ...]:
        """The template with its parameters' names forgotten: equal shapes match the same paths."""
        return tuple("{}" if _PARAMETER.fullmatch(segment) else segment for segment in self.segments)

    @property
    def precedence(self) -> tuple[tuple[tuple[int, str], ...], str]:
        """Sort key: at the first segment in which two templates differ, the literal goes first."""
        return tuple((int(segment == "{}"), segment) for segment in self.shape), self.id

    @property
    def path_regex(self) -> str:
        """RE2 and Python syntax, for a full match of a normalised path."""
        parts = ["/[^/]+" if segment == "{}" else "/" + re.escape(segment) for segment in self.shape]
        return "".join(parts) + "/?"

    def matches(self, method: str, path: str) -> bool:
        """Whether a request with this normalised path is for this endpoint."""
        return method in self.effective_methods and re.fullmatch(self.path_regex, path) is not None


@dataclass(frozen=True, kw_only=True)
class StickyKey:
    """What keeps a user on one side: the value of one request header, or of one cookie."""

    header: str | None = None
    cookie: str | None = None

    def __post_init__(self) -> None:
        name = self.header or self.cookie
        if (self.header is None) == (self.cookie is None) or not name or not _TOKEN.fullmatch(name):
            raise BadRoute(
                thing="sticky key",
                reason="it is not exactly one header or cookie name",
                mend='write header = "x-customer-id" or cookie = "session"',
            )
        if self.header is not None and self.header != self.header.lower():
            raise BadRoute(
                thing=f"sticky key {self.header!r}", reason="it has capitals", mend="write header names in lower case"
            )


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One sticky key whose reads always go to `side`, whatever the share."""

    key: str
    side: Side

    def __post_init__(self) -> None:
        if not _PIN_KEY.fullmatch(self.key) or set(self.key) & set(';",') or self.side not in ("legacy", "service"):
            raise BadRoute(
                thing=f"pin {self.key!r}",
                reason='it is not a printable key without ; " and comma, pinned to legacy or service',
                mend='write {key = "42", side = "service"}',
            )


@dataclass(frozen=True, kw_only=True)
class MoveRoutes:
    """The endpoints of one move, and how far their traffic has moved.

    `read_share`: millionths of sticky keys whose reads go to the service; growing it moves nobody back.
    `inspect_share`: millionths of read requests, drawn at random, that pass through the inspection plane.
    `write_owner`: where writes go while the gate is not armed. `gate_armed`: each write asks the gate first.
    `keyless_reads`: where reads without the sticky key go; `service` only once all keys have moved.
    """

    move: str
    service: str
    rules: tuple[RouteRule, ...]
    sticky: StickyKey
    read_share: int = 0
    inspect_share: int = 0
    write_owner: Side = "legacy"
    gate_armed: bool = False
    keyless_reads: Side = "legacy"
    pins: tuple[Pin, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.move, self.service):
            check_name(name, what="move or service")
        check_unique(f"rule of move {self.move!r}", [rule.id for rule in self.rules])
        for label, share in (("read_share", self.read_share), ("inspect_share", self.inspect_share)):
            if isinstance(share, bool) or not 0 <= share <= WHOLE:
                raise BadRoute(
                    thing=f"{label} of move {self.move!r}",
                    reason=f"{share!r} is not between 0 and {WHOLE:,}",
                    mend="give millionths: 50_000 is 5 %",
                )
        if self.write_owner not in ("legacy", "service") or self.keyless_reads not in ("legacy", "service"):
            raise BadRoute(thing=f"move {self.move!r}", reason="unknown side", mend="sides are legacy and service")
        if self.keyless_reads == "service" and self.read_share != WHOLE:
            raise BadRoute(
                thing=f"keyless_reads of move {self.move!r}",
                reason="requests without the sticky key would be the canary",
                mend="move all keys first (read_share = 1_000_000)",
            )
        if len(self.pins) > MAX_PINS or len({pin.key for pin in self.pins}) != len(self.pins):
            raise BadRoute(
                thing=f"pins of move {self.move!r}",
                reason=f"a key is pinned twice, or there are more than {MAX_PINS}",
                mend="pin each key once; move many keys by raising read_share",
            )


def check_name(name: str, *, what: str) -> None:
    """Names become parts of cluster names, paths and statistics."""
    if not _NAME.fullmatch(name):
        raise BadRoute(
            thing=f"{what} {name!r}",
            reason="it is not a lower-case word",
            mend="use a-z, 0-9, _ and -, starting with a letter",
        )


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raise `BadRoute` for a name that stands there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadRoute(thing=f"{what} {name!r}", reason="it stands there twice", mend="keep one of the two")
        seen.add(name)
