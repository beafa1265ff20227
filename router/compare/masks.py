"""Masks: what a declared rule forgives. Each forgives as little as it can; none forgives a lost field but `ignore`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache

from router.compare.errors import BadCompareRules
from router.compare.paths import parse_pattern
from router.compare.tree import Kind, NonFinite, Tree, kind_of


class MaskKind(StrEnum):
    """Strongest (forgives least) first; where several match one path, the strongest is in force."""

    NUMBER = "number"
    """Two numbers within `abs_tol` or `rel_tol`."""
    TIME = "time"
    """Two ISO-8601 instants within `seconds`, however written."""
    SHAPE = "shape"
    """Both values have the named shape."""
    PATTERN = "pattern"
    """Both values are scalars whose text matches the regular expression."""
    ENUM = "enum"
    """Both values are among `values`."""
    TYPE_ONLY = "type_only"
    PRESENT_ONLY = "present_only"
    IGNORE = "ignore"


STRENGTH = {kind: rank for rank, kind in enumerate(MaskKind)}

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|z|[+-]\d\d:?\d\d)?\Z")
_TEXT_SHAPES = {
    "uuid": re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}\Z"),
    "iso8601": _ISO,
    "date": re.compile(r"\d{4}-\d\d-\d\d\Z"),
    "jwt": re.compile(r"[\w-]+\.[\w-]+\.[\w-]*\Z"),
    "ip": re.compile(r"(\d{1,3}\.){3}\d{1,3}\Z|[0-9a-fA-F:]*:[0-9a-fA-F:.]+\Z"),
    "token": re.compile(r"[\w.~+/=-]{16,}\Z"),
    "decimal": re.compile(r"-?\d+(\.\d+)?\Z"),
}
SHAPES = (*_TEXT_SHAPES, "int", "number", "string", "nonempty", "hex:N", "length:N")


@dataclass(frozen=True, kw_only=True)
class Mask:
    """One forgiving rule at one path pattern. No `endpoint` means every one; `expires` is the last day it holds."""

    path: str
    kind: MaskKind
    endpoint: str = ""
    abs_tol: Decimal = Decimal(0)
    rel_tol: Decimal = Decimal(0)
    seconds: float = 0.0
    shape: str = ""
    pattern: str = ""
    values: tuple[str, ...] = ()
    reason: str = ""
    created_by: str = ""
    expires: date | None = None

    def __post_init__(self) -> None:
        parse_pattern(self.path)
        if self.kind is MaskKind.SHAPE:
            shape_test(self.shape)
        if self.kind is MaskKind.PATTERN:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise BadCompareRules(
                    thing=f"mask {self.id}: pattern {self.pattern!r}", reason=str(error), mend="correct the expression"
                ) from None

    @property
    def id(self) -> str:
        """Stable name in reports: `kind path`, with the endpoint where it has one."""
        return f"{self.kind} {self.path}" + (f" @ {self.endpoint}" if self.endpoint else "")


def excuses(mask: Mask, control: Tree, candidate: Tree) -> bool:
    """Whether `mask` forgives that these two present, different values differ."""
    return _EXCUSES[mask.kind](mask, control, candidate)


def excuses_absence(mask: Mask) -> bool:
    """Whether `mask` forgives that one side has no value at all."""
    return mask.kind is MaskKind.IGNORE


@cache
def shape_test(shape: str) -> Callable[[Tree], bool]:
    """The predicate of a shape's name. Raises `BadCompareRules` for an unknown one."""
    if shape in _TEXT_SHAPES:
        expression = _TEXT_SHAPES[shape]
        return lambda node: isinstance(node, str) and expression.match(node) is not None
    name, _, count = shape.partition(":")
    if name == "hex" and count.isdecimal():
        digits = re.compile(rf"[0-9a-fA-F]{{{int(count)}}}\Z")
        return lambda node: isinstance(node, str) and digits.match(node) is not None
    if name == "length" and count.isdecimal():
        return lambda node: isinstance(node, str) and len(node) == int(count)
    if shape in _NODE_SHAPES:
        return _NODE_SHAPES[shape]
    raise BadCompareRules(thing=f"shape {shape!r}", reason="is not known", mend=f"use one of: {', '.join(SHAPES)}")


_NODE_SHAPES: dict[str, Callable[[Tree], bool]] = {
    "int": lambda node: type(node) is int,
    "number": lambda node: kind_of(node) is Kind.NUMBER,
    "string": lambda node: isinstance(node, str),
    "nonempty": lambda node: isinstance(node, str) and node != "",
}


def _within_number(mask: Mask, control: Tree, candidate: Tree) -> bool:
    if kind_of(control) is not Kind.NUMBER or kind_of(candidate) is not Kind.NUMBER:
        return False
    if isinstance(control, NonFinite) or isinstance(candidate, NonFinite):
        return control is candidate
    left, right = Decimal(control), Decimal(candidate)
    try:
        allowed = max(mask.abs_tol, mask.rel_tol * max(abs(left), abs(right)))
        return abs(left - right) <= allowed
    except ArithmeticError:
        return False


def _within_time(mask: Mask, control: Tree, candidate: Tree) -> bool:
    left, right = instant(control), instant(candidate)
    if left is None or right is None:
        return False
    return abs((left - right).total_seconds()) <= mask.seconds


def instant(node: Tree) -> datetime | None:
    """The instant an ISO-8601 string names (no offset means UTC), or None if it names none."""
    if not isinstance(node, str) or not _ISO.match(node):
        return None
    try:
        moment = datetime.fromisoformat(node.replace(",", "."))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _same_shape(mask: Mask, control: Tree, candidate: Tree) -> bool:
    has_shape = shape_test(mask.shape)
    return has_shape(control) and has_shape(candidate)


def _text(node: Tree) -> str | None:
    if kind_of(node) in (Kind.ARRAY, Kind.OBJECT, Kind.NULL):
        return None
    if isinstance(node, bool):
        return "true" if node else "false"
    return node.value if isinstance(node, NonFinite) else str(node)


def _both_match(mask: Mask, control: Tree, candidate: Tree) -> bool:
    texts = (_text(control), _text(candidate))
    return kind_of(control) is kind_of(candidate) and all(t is not None and re.search(mask.pattern, t) for t in texts)


def _both_listed(mask: Mask, control: Tree, candidate: Tree) -> bool:
    return _text(control) in mask.values and _text(candidate) in mask.values


def _same_type(_mask: Mask, control: Tree, candidate: Tree) -> bool:
    return kind_of(control) is kind_of(candidate)


def _always(_mask: Mask, _control: Tree, _candidate: Tree) -> bool:
    return True


_EXCUSES: dict[MaskKind, Callable[[Mask, Tree, Tree], bool]] = {
    MaskKind.NUMBER: _within_number,
    MaskKind.TIME: _within_time,
    MaskKind.SHAPE: _same_shape,
    MaskKind.PATTERN: _both_match,
    MaskKind.ENUM: _both_listed,
    MaskKind.TYPE_ONLY: _same_type,
    MaskKind.PRESENT_ONLY: _always,
    MaskKind.IGNORE: _always,
}


def canonical_under(mask: Mask, node: Tree) -> tuple[str, object] | None:
    """A stand-in equal for all values that `mask` holds equal, or None where it makes no such classes."""
    match mask.kind:
        case MaskKind.IGNORE | MaskKind.PRESENT_ONLY:
            return (mask.kind, "")
        case MaskKind.TYPE_ONLY:
            return (mask.kind, kind_of(node))
        case MaskKind.SHAPE | MaskKind.PATTERN | MaskKind.ENUM if excuses(mask, node, node):
            return (mask.kind, kind_of(node))
        case _:
            return None


def dead(masks: tuple[Mask, ...], reached: dict[str, int], walked: int, *, at_least: int) -> tuple[Mask, ...]:
    """Masks whose path was met in none of `walked` bodies, once `at_least` of them were walked.

    `reached` counts, by mask id, the bodies in which the path of the mask exists.
    """
    if walked < at_least:
        return ()
    return tuple(mask for mask in masks if not reached.get(mask.id))
