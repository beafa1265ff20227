"""Comparison rules as one frozen value, and their index by path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from router.compare.masks import STRENGTH, Mask
from router.compare.paths import ANY_DEPTH, ANY_KEY, ELEMENT, parse_pattern


class ArrayOrder(StrEnum):
    """Whether the order of an array's elements is part of the answer."""

    ORDERED = "ordered"
    UNORDERED = "unordered"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayRule:
    """How the array at a path is aligned. `key` (composite allowed) joins elements; empty infers one."""

    path: str
    order: ArrayOrder = ArrayOrder.ORDERED
    key: tuple[str, ...] = ()
    endpoint: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MapRule:
    """Whether the object at a path is a map (ids as keys) or a record, where guessing would be wrong."""

    path: str
    is_map: bool
    endpoint: str = ""


class HeaderPolicy(StrEnum):
    """How one response header is compared."""

    EXACT = "exact"
    TOKENS = "tokens"
    """As a set of comma-separated, case-insensitive tokens."""
    PRESENT = "present"
    """Both have it or neither has; values are free."""
    IGNORE = "ignore"


VOLATILE_HEADERS = (
    "date", "age", "expires", "etag", "last-modified", "x-request-id", "x-correlation-id", "x-runtime",
    "traceparent", "x-trace-id",
)  # fmt: skip
TRANSPORT_HEADERS = (
    "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection", "content-length",
    "server", "via", "x-powered-by", "x-envoy-upstream-service-time", "x-strangler-side",
)  # fmt: skip

DEFAULT_HEADERS: Mapping[str, HeaderPolicy] = {
    **dict.fromkeys(VOLATILE_HEADERS, HeaderPolicy.PRESENT),
    **dict.fromkeys(TRANSPORT_HEADERS, HeaderPolicy.IGNORE),
    **dict.fromkeys(("vary", "allow", "cache-control"), HeaderPolicy.TOKENS),
}


@dataclass(frozen=True, kw_only=True)
class CompareRules:
    """Everything that decides what counts as a difference.

    Limits: `max_steps` nodes looked at in one comparison, `max_outcomes` differences reported, `max_assignment`
    elements a side that are paired by least distance, `max_depth` levels of nesting, `max_decoded_bytes` after gunzip.
    """

    masks: tuple[Mask, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    maps: tuple[MapRule, ...] = ()
    headers: Mapping[str, HeaderPolicy] = field(default_factory=dict)
    strict_numbers: bool = False
    null_is_missing: bool = False
    null_is_empty: bool = False
    normalise: Callable[[Any], Any] | None = None
    """Called on each parsed body before comparing; what it raises is a compare error."""
    max_steps: int = 200_000
    max_outcomes: int = 200
    max_assignment: int = 64
    max_depth: int = 150
    max_decoded_bytes: int = 8 << 20

    @cached_property
    def header_policies(self) -> Mapping[str, HeaderPolicy]:
        """By lower-case name, matched exactly; a name that is not listed is compared exactly."""
        return {**DEFAULT_HEADERS, **{name.lower(): policy for name, policy in self.headers.items()}}

    @cached_property
    def start(self) -> "RuleStates":
        """The rules in force at the root of the body."""
        root = RuleNode()
        for mask in self.masks:
            root.at(mask.path).masks.append(mask)
        for array in self.arrays:
            root.at(array.path).array = array
        for rule in self.maps:
            root.at(rule.path).is_map = rule.is_map
        if not (self.masks or self.arrays or self.maps):
            return ()
        return root.entered()

    def for_endpoint(self, endpoint: str) -> "CompareRules":
        """The rules that hold at one endpoint, as a value that names no endpoints."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("masks", "arrays", "maps"):
            values[name] = tuple(rule for rule in values[name] if rule.endpoint in ("", endpoint))
        return CompareRules(**values)


class RuleNode:
    """One step of the rules' path patterns, as a trie."""

    __slots__ = ("array", "children", "is_deep", "is_map", "masks")

    def __init__(self, *, is_deep: bool = False) -> None:
        self.children: dict[str, RuleNode] = {}
        self.masks: list[Mask] = []
        self.array: ArrayRule | None = None
        self.is_map: bool | None = None
        self.is_deep = is_deep

    def at(self, path: str) -> "RuleNode":
        node = self
        for step in parse_pattern(path):
            node = node.children.setdefault(step, RuleNode(is_deep=step == ANY_DEPTH))
        return node

    def entered(self) -> "RuleStates":
        """This node, and what `**` behind it already matches."""
        deep = self.children.get(ANY_DEPTH)
        return (self,) if deep is None else (self, *deep.entered())


RuleStates = tuple[RuleNode, ...]
"""The places in the rules that the path walked so far has reached."""


def into_key(states: RuleStates, key: str) -> RuleStates:
    """The states one object key further."""
    return _into(states, f".{key}", ANY_KEY) if states else ()


def into_element(states: RuleStates) -> RuleStates:
    """The states one array element further."""
    return _into(states, ELEMENT, ELEMENT) if states else ()


def _into(states: RuleStates, step: str, wildcard: str) -> RuleStates:
    reached: list[RuleNode] = []
    for node in states:
        if node.is_deep:
            reached.append(node)
        for name in dict.fromkeys((step, wildcard)):
            following = node.children.get(name)
            if following is not None:
                reached.extend(following.entered())
    return tuple(dict.fromkeys(reached))


def mask_in_force(states: RuleStates) -> Mask | None:
    """The strongest mask at this place."""
    masks = [mask for node in states for mask in node.masks]
    return min(masks, key=lambda mask: STRENGTH[mask.kind], default=None)


def array_rule(states: RuleStates) -> ArrayRule | None:
    return next((node.array for node in states if node.array is not None), None)


def declared_map(states: RuleStates) -> bool | None:
    """What a rule says about the object here: a map, a record, or nothing."""
    return next((node.is_map for node in states if node.is_map is not None), None)
