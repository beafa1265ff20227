"""The route table: who serves, and which requests move. Pure, frozen, checked on construction as a whole."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import urlsplit

from router.errors import BadRoute, CollidingRoutes, UnknownMove, UnservedRoute
from router.rules import WHOLE, Kind, MoveRoutes, Pin, RouteRule, Side, StickyKey, check_name, check_unique

__all__ = ["WHOLE", "Backend", "Kind", "MoveRoutes", "Pin", "RouteRule", "RouteTable", "Side", "StickyKey"]

MAX_RULES = 2000

_SECRET = re.compile(r"[\x21-\x7e]{8,}")


@dataclass(frozen=True, kw_only=True)
class Backend:
    """An HTTP server that answers requests: `http://host:port` or `https://host:port`."""

    name: str
    url: str

    def __post_init__(self) -> None:
        check_name(self.name, what="backend")
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_bare or port == 0:
            raise BadRoute(
                thing=f"backend {self.name!r}",
                reason="its url is not http://host:port or https://host:port without path or user",
                mend="write for instance http://127.0.0.1:8000",
            )

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.is_tls else 80)

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.url).scheme == "https"


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    """Everything the data plane is told. What no rule matches goes to legacy.

    `version` grows by one with each saved change. `force_token` authenticates `x-strangler-force`; None: the header
    has no effect.
    """

    version: int
    legacy: Backend
    services: tuple[Backend, ...] = ()
    inspection: Backend | None = None
    gate: Backend | None = None
    force_token: str | None = field(default=None, repr=False)
    moves: tuple[MoveRoutes, ...] = ()

    def __post_init__(self) -> None:
        if self.version < 0:
            raise BadRoute(thing="route table", reason="its version is negative", mend="start at 0")
        if self.force_token is not None and not _SECRET.fullmatch(self.force_token):
            raise BadRoute(
                thing="force token",
                reason="it is shorter than 8 characters or has spaces",
                mend="use a long random token, or leave it out",
            )
        check_unique("service", [service.name for service in self.services])
        check_unique("move", [move.move for move in self.moves])
        for service in self.services:
            if service.name.startswith("writes-"):
                raise BadRoute(
                    thing=f"service {service.name!r}", reason="the prefix writes- is taken", mend="name it otherwise"
                )
        for move in self.moves:
            self._check_served(move)
        self._check_collisions()

    def _check_served(self, move: MoveRoutes) -> None:
        names = {service.name for service in self.services}
        if move.service not in names:
            raise UnservedRoute(
                thing=f"routes of move {move.move!r}",
                reason=f"nobody serves them: service {move.service!r} has no backend",
                mend=f"add it with its url; known: {', '.join(sorted(names)) or '(none)'}",
            )
        if move.inspect_share and self.inspection is None:
            raise UnservedRoute(
                thing=f"inspect_share of move {move.move!r}",
                reason="there is no inspection plane",
                mend="start one and name its url, or set the share to 0",
            )
        if move.gate_armed and self.gate is None:
            raise UnservedRoute(
                thing=f"gate of move {move.move!r}", reason="there is no gate", mend="start one and name its url"
            )

    def _check_collisions(self) -> None:
        if sum(len(move.rules) for move in self.moves) > MAX_RULES:
            raise BadRoute(thing="route table", reason=f"more than {MAX_RULES} rules", mend="move fewer at a time")
        seen: dict[tuple[str, tuple[str, ...]], str] = {}
        for move, rule in self.ordered_rules:
            for method in rule.effective_methods:
                label = f"{move.move}/{rule.id}"
                other = seen.setdefault((method, rule.shape), label)
                if other != label:
                    raise CollidingRoutes(
                        thing=f"rules {other} and {label}",
                        reason=f"both claim {method} {rule.path}",
                        mend="keep one of the two",
                    )

    @cached_property
    def ordered_rules(self) -> tuple[tuple[MoveRoutes, RouteRule], ...]:
        """All rules, the more specific template first: the order in which they are tried."""
        pairs = [(move, rule) for move in self.moves for rule in move.rules]
        return tuple(sorted(pairs, key=lambda pair: (pair[1].precedence, pair[0].move)))

    def move(self, name: str) -> MoveRoutes:
        """The named move, or `UnknownMove`."""
        for move in self.moves:
            if move.move == name:
                return move
        known = ", ".join(move.move for move in self.moves) or "(none)"
        raise UnknownMove(
            thing=f"move {name!r}", reason="it is not in the route table", mend=f"install its routes; known: {known}"
        )

    def with_move(self, move: MoveRoutes) -> "RouteTable":
        """This table with `move` added, or put in place of the one of that name."""
        others = [other for other in self.moves if other.move != move.move]
        return replace(self, moves=tuple(sorted([*others, move], key=lambda each: each.move)))

    def without_move(self, name: str) -> "RouteTable":
        """This table without the move; its requests go to legacy."""
        return replace(self, moves=tuple(move for move in self.moves if move.move != name))
