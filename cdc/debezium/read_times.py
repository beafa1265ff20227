"""JSON dates, times and intervals → PostgreSQL text forms. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cdc.debezium.calendar import DAY_US, clock_text, date_text, parse_iso_us, time_us, timestamp_text
from cdc.debezium.codec import Lose, Loss
from cdc.debezium.temporal import INFINITE_ISO, INFINITE_ISO_DATE

ReadTime = Callable[[Any, Lose, int], str]
"""The JSON value, where to say what it has lost, and the column's digits of a second (6 when not known)."""

_FIRST_DAY, _LAST_DAY = -2_451_508, 2_145_042_905
_FIRST_US, _LAST_US = -211_813_488_000_000_000, 9_223_372_036_825_200_000
_INTERVAL = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,6})\d*)?S)?)?$"
)


def read_date(value: Any, lose: Lose, digits: int) -> str:
    if not _FIRST_DAY <= value <= _LAST_DAY:
        lose(Loss.INFINITE)
        return "-infinity" if value == -2_147_472_691 else "infinity"
    return date_text(value)


def read_iso_date(value: Any, lose: Lose, digits: int) -> str:
    if value in INFINITE_ISO_DATE:
        lose(Loss.INFINITE)
        return ("-infinity", "infinity")[INFINITE_ISO_DATE.index(value)]
    return read_date(parse_iso_us(value)[0], lose, digits)


def _time(units_in_us: float, value: Any) -> str:
    return clock_text(int(value * units_in_us) if units_in_us >= 1 else value // 1000)


def read_iso_time(value: Any, lose: Lose, digits: int) -> str:
    in_day_us = time_us(value)
    if in_day_us == 0:
        lose(Loss.END_OF_DAY)
    return clock_text(in_day_us)


def read_zoned_time(value: Any, lose: Lose, digits: int) -> str:
    lose(Loss.ZONE)
    return f"{clock_text(time_us(value))}+00"


def _timestamp(micros: int, lose: Lose) -> str:
    if not _FIRST_US <= micros < _LAST_US:
        lose(Loss.INFINITE)
        return "infinity" if micros > 0 else "-infinity"
    return timestamp_text(micros)


def read_iso_timestamp(value: Any, lose: Lose, digits: int) -> str:
    if value in INFINITE_ISO:
        lose(Loss.INFINITE)
        return ("-infinity", "infinity")[INFINITE_ISO.index(value)]
    day, in_day_us = parse_iso_us(value)
    return timestamp_text(day * DAY_US + in_day_us)


def read_zoned_timestamp(value: Any, lose: Lose, digits: int) -> str:
    if value in ("infinity", "-infinity"):
        return str(value)
    day, in_day_us = parse_iso_us(value)
    return timestamp_text(day * DAY_US + in_day_us, "+00")


def read_micro_duration(value: Any, lose: Lose, digits: int) -> str:
    lose(Loss.INTERVAL)
    return f"{'-' if value < 0 else ''}{clock_text(abs(value))}"


def read_interval(value: Any, lose: Lose, digits: int) -> str:
    """`P1Y2M3DT4H5M6.789S` as PostgreSQL prints it. Raises `ValueError`."""
    match = _INTERVAL.match(value)
    if match is None:
        raise ValueError(f"no interval in {value[:40]!r}")
    years, months, days, hours, minutes = (int(part or 0) for part in match.groups()[:5])
    sign, seconds, fraction = match.groups()[5:]
    micros = int(seconds or 0) * 1_000_000 + int((fraction or "").ljust(6, "0"))
    clock_us = (hours * 60 + minutes) * 60_000_000 + (-micros if sign else micros)
    return _interval_text(years, months, days, clock_us)


def _interval_text(years: int, months: int, days: int, clock_us: int) -> str:
    """A positive part that follows a negative one has a sign."""
    parts: list[str] = []
    negative = False
    for amount, unit in ((years, "year"), (months, "mon"), (days, "day")):
        if amount:
            plus = "+" if negative and amount > 0 else ""
            parts.append(f"{plus}{amount} {unit}{'' if amount == 1 else 's'}")
            negative = amount < 0
    if clock_us or not parts:
        sign = "-" if clock_us < 0 else ("+" if negative else "")
        parts.append(f"{sign}{clock_text(abs(clock_us))}")
    return " ".join(parts)


def _cut(read: ReadTime) -> ReadTime:
    """Connect's own types: milliseconds, whatever the column had."""

    def cut(value: Any, lose: Lose, digits: int) -> str:
        if digits > 3:
            lose(Loss.MILLISECONDS)
        return read(value, lose, digits)

    return cut


def _millis_time(value: Any, lose: Lose, digits: int) -> str:
    return _time(1000, value)


def _millis_timestamp(value: Any, lose: Lose, digits: int) -> str:
    return _timestamp(value * 1000, lose)


def _nano_timestamp(value: Any, lose: Lose, digits: int) -> str:
    if abs(value) >= (1 << 63) - 1:
        lose(Loss.INFINITE)
        return "infinity" if value > 0 else "-infinity"
    return timestamp_text(value // 1000)


READERS: Final[Mapping[str, tuple[ReadTime, str]]] = {
    "io.debezium.time.Date": (read_date, "date"),
    "org.apache.kafka.connect.data.Date": (read_date, "date"),
    "io.debezium.time.IsoDate": (read_iso_date, "date"),
    "io.debezium.time.Time": (_millis_time, "time"),
    "org.apache.kafka.connect.data.Time": (_cut(_millis_time), "time"),
    "io.debezium.time.MicroTime": (lambda value, lose, digits: _time(1, value), "time"),
    "io.debezium.time.NanoTime": (lambda value, lose, digits: _time(0, value), "time"),
    "io.debezium.time.IsoTime": (read_iso_time, "time"),
    "io.debezium.time.ZonedTime": (read_zoned_time, "timetz"),
    "io.debezium.time.Timestamp": (_millis_timestamp, "timestamp"),
    "org.apache.kafka.connect.data.Timestamp": (_cut(_millis_timestamp), "timestamp"),
    "io.debezium.time.MicroTimestamp": (lambda value, lose, digits: _timestamp(value, lose), "timestamp"),
    "io.debezium.time.NanoTimestamp": (_nano_timestamp, "timestamp"),
    "io.debezium.time.IsoTimestamp": (read_iso_timestamp, "timestamp"),
    "io.debezium.time.ZonedTimestamp": (read_zoned_timestamp, "timestamptz"),
    "io.debezium.time.MicroDuration": (read_micro_duration, "interval"),
    "io.debezium.time.Interval": (read_interval, "interval"),
}
"""By schema name: how it is read, and PostgreSQL's type for it."""
