"""Days, times of day and instants in PostgreSQL's text form ⇄ whole numbers, over its whole range. Pure.

Python's own dates end at the years 1 and 9999; PostgreSQL's go from 4714 BC to 5874897.
"""

import re
from typing import Final

SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US

_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_ZONE = re.compile(r"([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$")


def days(text: str) -> int:
    """Days since 1970-01-01 of a `YYYY-MM-DD…[ BC]` text, in the proleptic Gregorian calendar. Raises `ValueError`."""
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


def civil(day_number: int) -> tuple[int, int, int]:
    """The inverse of `days`: year, month, day; year 0 is 1 BC."""
    era, day_of_era = divmod(day_number + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = (shifted_month + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted_month + 2) // 5 + 1


def time_us(text: str) -> int:
    """Microseconds since midnight of the `HH:MM:SS[.ffffff]` in a text; 24:00:00 is a day. Raises `ValueError`."""
    match = _TIME.search(text)
    if match is None:
        raise ValueError(f"no time of day in {text[:40]!r}")
    return clock_us(*match.groups())


def clock_us(hours: str, minutes: str, seconds: str, fraction: str | None) -> int:
    """Microseconds of the parts of a clock time."""
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * SECOND_US + int((fraction or "").ljust(6, "0"))


def zone_us(text: str) -> int:
    """Offset from UTC, microseconds, of the zone that ends a text. Raises `ValueError`."""
    match = _ZONE.search(text)
    if match is None:
        raise ValueError(f"no time zone in {text[:40]!r}")
    sign, hours, minutes, seconds = match.groups()
    offset_us = clock_us(hours, minutes or "0", seconds or "0", None)
    return -offset_us if sign == "-" else offset_us


def instant_us(text: str) -> int:
    """Microseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.f][ BC]`, without a zone."""
    return days(text) * DAY_US + time_us(text)


def instant_with_zone_us(text: str) -> int:
    """The same of a text with a zone."""
    return instant_us(text) - zone_us(text.removesuffix(" BC"))


def iso_date(day_number: int) -> str:
    """ISO 8601, with a sign beyond the years 0 to 9999."""
    year, month, day = civil(day_number)
    sign = "-" if year < 0 else ("+" if year > 9999 else "")
    return f"{sign}{abs(year):04d}-{month:02d}-{day:02d}"


def clock_text(in_day_us: int, digits: int | None = None) -> str:
    """`HH:MM:SS` and a fraction: of so many digits, or as many as are needed."""
    seconds, fraction_us = divmod(in_day_us, SECOND_US)
    if digits is None:
        fraction = f".{fraction_us:06d}".rstrip("0") if fraction_us else ""
    else:
        fraction = f".{fraction_us:06d}"[: digits + 1] if digits else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def date_text(day_number: int) -> str:
    """PostgreSQL's text form of a date."""
    year, month, day = civil(day_number)
    shown, era = (year, "") if year > 0 else (1 - year, " BC")
    return f"{shown:04d}-{month:02d}-{day:02d}{era}"


def timestamp_text(moment_us: int, zone: str = "") -> str:
    """PostgreSQL's text form of a timestamp; `zone` is `+00` for one with a zone."""
    day_number, in_day_us = divmod(moment_us, DAY_US)
    date, era = date_text(day_number), ""
    if date.endswith(" BC"):
        date, era = date[:-3], " BC"
    return f"{date} {clock_text(in_day_us)}{zone}{era}"


_ISO = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:T(.*))?$")


def parse_iso_us(text: str) -> tuple[int, int]:
    """Day number and microseconds in the day of an ISO 8601 date or UTC instant, `Z` or not. Raises `ValueError`."""
    match = _ISO.match(text.removesuffix("Z"))
    if match is None:
        raise ValueError(f"no ISO 8601 date in {text[:40]!r}")
    year, month, day, clock = match.groups()
    number = int(year)
    plain = f"{number:04d}-{month}-{day}" if number > 0 else f"{1 - number:04d}-{month}-{day} BC"
    return days(plain), time_us(clock) if clock else 0
