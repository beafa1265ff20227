"""PostgreSQL text forms → the JSON values that Debezium's connector writes. Pure.

Modes: `decimal.handling.mode=string`, `time.precision.mode=microseconds`, `binary.handling.mode=bytes`,
`interval.handling.mode=numeric`. A type that is not built in is its text. Numbers are never floats on the way except
`float4`/`float8` themselves; NaN and infinities, which JSON has no numbers for, are strings.
"""

import base64
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from cdc.events import UNCHANGED, Column, Value

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""How this encoding, and nothing else of ours, writes `UNCHANGED`."""

_INFINITE_MICROS: Final = 9_223_372_036_825_200_000
_NEGATIVE_INFINITE_MICROS: Final = -9_223_372_036_832_400_000
_INFINITE_DAYS: Final = 2_147_483_647
_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
_MONTH_US: Final = int(365.25 / 12 * _DAY_US)

_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_ZONE = re.compile(r"([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$")
_INTERVAL_PART = re.compile(r"([+-]?\d+) (year|mon|day)s?")
_INTERVAL_TIME = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_ARRAY_BOUNDS = re.compile(r"^(?:\[[+-]?\d+:[+-]?\d+\])+=")

_BYTEA: Final = 17
_ARRAY_ELEMENTS: Final = {
    1000: 16, 1001: 17, 1003: 19, 1005: 21, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20, 1021: 700, 1022: 701,
    1028: 26, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, 1231: 1700, 1270: 1266, 2951: 2950,
    199: 114, 3807: 3802, 1040: 829, 1041: 869, 651: 650,
}  # fmt: skip
"""Built-in array types → their element types."""


def to_json(column: Column, value: Value) -> JsonValue:
    """One column value. Raises `ValueError` when the text is not of the column's type."""
    if value is None:
        return None
    if value is UNCHANGED:
        return unavailable(column.type_oid)
    convert = converter(column.type_oid)
    return value if convert is None else convert(value)


def converter(type_oid: int) -> Callable[[str], JsonValue] | None:
    """How a type's text becomes JSON; None when it stays text."""
    element = _ARRAY_ELEMENTS.get(type_oid)
    if element is not None:
        return partial(parse_array, convert=_CONVERTERS.get(element, str))
    return _CONVERTERS.get(type_oid)


def unavailable(type_oid: int) -> JsonValue:
    """How `UNCHANGED` is written for a type: in the type's own shape, as Debezium does."""
    element = _ARRAY_ELEMENTS.get(type_oid)
    return _unavailable(type_oid) if element is None else [_unavailable(element)]


def _unavailable(type_oid: int) -> str:
    return base64.b64encode(UNAVAILABLE.encode()).decode() if type_oid == _BYTEA else UNAVAILABLE


def parse_array(text: str, convert: Callable[[str], JsonValue]) -> JsonValue:
    """`{a,"b c",NULL,{…}}`, with or without `[2:3]=` bounds, as nested lists of converted elements."""
    body = _ARRAY_BOUNDS.sub("", text)
    stack: list[list[JsonValue]] = [[]]
    at = 0
    while at < len(body):
        character = body[at]
        if character == "{":
            stack.append([])
            at += 1
        elif character == "}":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif character == ",":
            at += 1
        else:
            element, at = _array_element(body, at, convert)
            stack[-1].append(element)
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"unbalanced array {text[:40]!r}")
    return stack[0][0]


def _array_element(body: str, at: int, convert: Callable[[str], JsonValue]) -> tuple[JsonValue, int]:
    if body[at] != '"':
        end = at
        while body[end] not in ",}":
            end += 1
        raw = body[at:end]
        return (None if raw.upper() == "NULL" else convert(raw)), end
    characters = []
    at += 1
    while body[at] != '"':
        at += body[at] == "\\"
        characters.append(body[at])
        at += 1
    return convert("".join(characters)), at + 1


def _bool(text: str) -> JsonValue:
    return text == "t"


def _float(text: str) -> JsonValue:
    number = float(text)
    return number if math.isfinite(number) else text


def _bytes(text: str) -> JsonValue:
    return base64.b64encode(bytes.fromhex(text.removeprefix("\\x"))).decode()


def _date(text: str) -> JsonValue:
    if text in ("infinity", "-infinity"):
        return _INFINITE_DAYS if text == "infinity" else -_INFINITE_DAYS
    return _days(text)


def _time(text: str) -> JsonValue:
    return _time_us(text)


def _timestamp(text: str) -> JsonValue:
    if text in ("infinity", "-infinity"):
        return _INFINITE_MICROS if text == "infinity" else _NEGATIVE_INFINITE_MICROS
    return _days(text) * _DAY_US + _time_us(text)


def _timestamptz(text: str) -> JsonValue:
    """ISO 8601 in UTC with as many fractional digits as are needed."""
    if text.endswith("+00") and text[4:5] == "-":  # UTC and a year of four digits: already the same digits
        return f"{text[:10]}T{text[11:-3]}Z"
    if text in ("infinity", "-infinity"):
        return text
    moment_us = _days(text) * _DAY_US + _time_us(text) - _zone_us(text.removesuffix(" BC"))
    days, in_day_us = divmod(moment_us, _DAY_US)
    year, month, day = _civil(days)
    sign = "-" if year < 0 else ("+" if year > 9999 else "")
    return f"{sign}{abs(year):04d}-{month:02d}-{day:02d}T{_clock_text(in_day_us)}Z"


def _timetz(text: str) -> JsonValue:
    return f"{_clock_text((_time_us(text) - _zone_us(text)) % _DAY_US)}Z"


def _interval(text: str) -> JsonValue:
    """Microseconds, a month being a twelfth of 365.25 days."""
    total = 0
    for amount, unit in _INTERVAL_PART.findall(text):
        total += int(amount) * {"year": 12 * _MONTH_US, "mon": _MONTH_US, "day": _DAY_US}[unit]
    if match := _INTERVAL_TIME.search(text):
        sign, hours, minutes, seconds, fraction = match.groups()
        clock_us = _clock_us(int(hours), int(minutes), int(seconds), fraction)
        total += -clock_us if sign == "-" else clock_us
    return total


def _days(text: str) -> int:
    """Days since 1970-01-01 of a `YYYY-MM-DD…[ BC]` text, in the proleptic Gregorian calendar."""
    match = _DATE.match(text)
    if match is None:
        raise ValueError(f"no date in {text[:40]!r}")
    year, month, day = (int(part) for part in match.groups())
    if text.endswith(" BC"):
        year = 1 - year
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    """The inverse of `_days`; year 0 is 1 BC."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = (shifted_month + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted_month + 2) // 5 + 1


def _time_us(text: str) -> int:
    match = _TIME.search(text)
    if match is None:
        raise ValueError(f"no time of day in {text[:40]!r}")
    hours, minutes, seconds, fraction = match.groups()
    return _clock_us(int(hours), int(minutes), int(seconds), fraction)


def _clock_us(hours: int, minutes: int, seconds: int, fraction: str | None) -> int:
    return ((hours * 60 + minutes) * 60 + seconds) * _SECOND_US + int((fraction or "").ljust(6, "0"))


def _zone_us(text: str) -> int:
    match = _ZONE.search(text)
    if match is None:
        raise ValueError(f"no time zone in {text[:40]!r}")
    sign, hours, minutes, seconds = match.groups()
    offset_us = _clock_us(int(hours), int(minutes or 0), int(seconds or 0), None)
    return -offset_us if sign == "-" else offset_us


def _clock_text(in_day_us: int) -> str:
    seconds, fraction_us = divmod(in_day_us, _SECOND_US)
    fraction = f".{fraction_us:06d}".rstrip("0") if fraction_us else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


_CONVERTERS: Final[dict[int, Callable[[str], JsonValue]]] = {
    16: _bool, 17: _bytes, 20: int, 21: int, 23: int, 26: int, 700: _float, 701: _float,
    1082: _date, 1083: _time, 1114: _timestamp, 1184: _timestamptz, 1186: _interval, 1266: _timetz,
}  # fmt: skip
"""Built-in types by oid: bool bytea int8 int2 int4 oid float4 float8 · date time timestamp timestamptz interval timetz.
Every other type, numeric among them, is its text."""
