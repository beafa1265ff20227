"""Whether every value of one column type fits, in its text form, into another. Pure, on `format_type` text."""

import re
from dataclasses import dataclass

_NUMBERS = re.compile(r"\s*\(([\d,\s-]+)\)")
_INTEGERS = {"smallint": 5, "integer": 10, "bigint": 19}
_TEXTS = frozenset({"text", "character varying", "character"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Type:
    base: str
    numbers: tuple[int, ...]
    array: bool


def misfit(source: str, target: str) -> str | None:
    """Why some value of type `source` would not survive in `target`, or None when all fit."""
    if source == target:
        return None
    one, other = _parse(source), _parse(target)
    if one.array != other.array:
        return f"{source} and {target} are different kinds of value"
    if one.base in _INTEGERS and (other.base in _INTEGERS or other.base == "numeric"):
        return None if _INTEGERS[one.base] <= _whole_digits(other) else f"{target} is narrower than {source}"
    if one.base in _TEXTS and other.base in _TEXTS:
        return _texts(one, other, source, target)
    if one.base == other.base == "numeric":
        return _numerics(one, other, source, target)
    if one.base == "numeric" and other.base in _INTEGERS:
        return f"{target} is narrower than {source}"
    if one.base != other.base:
        return f"{source} and {target} are different kinds of value"
    if other.numbers and (not one.numbers or one.numbers > other.numbers):
        return f"{target} is narrower than {source}"
    return None


def scaled_misfit(source: str, target: str, digits: int) -> str | None:
    """The same for a column that is multiplied by 10^digits into a whole number."""
    one = _parse(source)
    if one.base not in _INTEGERS and one.base != "numeric":
        return f"{source} is not an exact number"
    if one.base == "numeric" and not one.numbers:
        return f"{source} may have more than {digits} decimals"
    decimals = (*one.numbers, 0, 0)[1] if one.numbers else 0
    if decimals > digits:
        return f"{source} has more than {digits} decimals"
    return _whole_fits(_whole_digits(one) + digits, target)


def unscaled_misfit(source: str, target: str, digits: int, *, capacity: bool) -> str | None:
    """The same for a number that is divided by 10^digits. Without `capacity` only rounding counts, not size."""
    other = _parse(target)
    if other.base != "numeric" or (other.numbers and (*other.numbers, 0)[1] < digits):
        return f"{target} does not hold {digits} decimals exactly"
    if capacity and _whole_digits(_parse(source)) - digits > _whole_digits(other):
        return f"{target} holds fewer whole digits than {source}"
    return None


def is_text(type_name: str) -> bool:
    return _parse(type_name).base in _TEXTS and not _parse(type_name).array


def is_number(type_name: str) -> bool:
    """An exact number: an integer or numeric."""
    parsed = _parse(type_name)
    return not parsed.array and (parsed.base in _INTEGERS or parsed.base == "numeric")


def longest(type_name: str) -> int | None:
    """Characters a text type holds; None when unlimited."""
    parsed = _parse(type_name)
    return parsed.numbers[0] if parsed.numbers else None


def native_order(source: str, target: str) -> bool:
    """Both sides sort these two types alike without looking at text."""
    return source == target or (source in _INTEGERS and target in _INTEGERS)


def _whole_fits(digits: int, target: str) -> str | None:
    other = _parse(target)
    if other.base not in _INTEGERS and other.base != "numeric":
        return f"{target} is not an exact number"
    room = _whole_digits(other) - (1 if other.base in _INTEGERS else 0)
    return None if digits <= room else f"{target} holds fewer than {digits} digits"


def _whole_digits(parsed: _Type) -> int:
    if parsed.base in _INTEGERS:
        return _INTEGERS[parsed.base]
    if not parsed.numbers:
        return 1 << 17
    precision, scale = (*parsed.numbers, 0)[:2]
    return precision - scale


def _texts(one: _Type, other: _Type, source: str, target: str) -> str | None:
    if other.base == "character" and one.base != "character":
        return f"{target} pads values with blanks, {source} does not"
    if other.numbers and (not one.numbers or one.numbers > other.numbers):
        return f"{target} is shorter than {source}"
    if one.base == other.base == "character" and one.numbers != other.numbers:
        return f"{target} pads values to another length than {source}"
    return None


def _numerics(one: _Type, other: _Type, source: str, target: str) -> str | None:
    if not other.numbers:
        return None
    if not one.numbers or _whole_digits(one) > _whole_digits(other) or (*one.numbers, 0)[1] > (*other.numbers, 0)[1]:
        return f"{target} is narrower than {source}"
    return None


def _parse(text: str) -> _Type:
    element = text.removesuffix("[]")
    found = _NUMBERS.search(element)
    numbers = tuple(int(number) for number in found[1].split(",")) if found else ()
    base = _NUMBERS.sub("", element)
    if base == "character" and not numbers:
        numbers = (1,)
    return _Type(base=base, numbers=numbers, array=element != text)
