"""Dates, times, timestamps and intervals. Pure.

Debezium writes an infinite date or timestamp as an extreme number, and one that its number cannot hold as whatever an
overflow makes of it. Here both are the extreme number, and a loss.
"""

import re
from collections.abc import Callable
from typing import Final

from cdc.debezium.calendar import (
    DAY_US,
    clock_text,
    clock_us,
    days,
    instant_us,
    instant_with_zone_us,
    iso_date,
    time_us,
    zone_us,
)
from cdc.debezium.codec import Codec, Encode, JsonSchema, Lose, Loss, semantic
from cdc.debezium.options import DebeziumOptions, TimePrecision

INFINITE_DAYS: Final = (-2_147_472_691, -2_147_472_692)
"""Debezium's day numbers for -infinity and infinity, both in a past that PostgreSQL has not."""
INFINITE_US: Final = (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000)
INFINITE_NS: Final = (-(1 << 63), (1 << 63) - 1)
INFINITE_MS: Final = (-9_223_372_036_832_400, 9_223_372_036_825_200)
INFINITE_ISO_DATE: Final = ("-5877611-06-22Z", "-5877611-06-21Z")
INFINITE_ISO: Final = ("-290308-12-21T19:59:27.6Z", "+294247-01-10T04:00:25.2Z")

_INT64: Final = range(-(1 << 63), 1 << 63)
_MONTH_US: Final = int(365.25 / 12 * DAY_US)
_INFINITE = {"-infinity": 0, "infinity": 1}
_PART = re.compile(r"([+-]?\d+) (year|mon|day)s?")
_CLOCK = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
MICRO_DIGITS: Final = 6


def date_codec(options: DebeziumOptions, lose: Lose) -> Codec:
    mode = options.time_precision_mode
    if mode == "isostring":
        return Codec(schema=_schema("string", "IsoDate"), encode=_iso_date(lose))

    def encode(text: str) -> str:
        if text in _INFINITE:
            lose(Loss.INFINITE)
            return str(INFINITE_DAYS[_INFINITE[text]])
        return str(days(text))

    schema = semantic("int32", "org.apache.kafka.connect.data.Date") if mode == "connect" else _schema("int32", "Date")
    return Codec(schema=schema, encode=encode)


def time_codec(modifier: int, options: DebeziumOptions, lose: Lose) -> Codec:
    mode, digits = options.time_precision_mode, _digits(modifier)
    if mode == "isostring":
        return Codec(schema=_schema("string", "IsoTime"), encode=_iso_time(lose))
    if mode == "connect":
        return Codec(schema=semantic("int32", "org.apache.kafka.connect.data.Time"), encode=_millis(time_us, lose))
    if mode == "nanoseconds":
        return Codec(schema=_schema("int64", "NanoTime"), encode=lambda text: str(time_us(text) * 1000))
    if mode == "adaptive" and digits <= 3:
        return Codec(schema=_schema("int32", "Time"), encode=lambda text: str(time_us(text) // 1000))
    return Codec(schema=_schema("int64", "MicroTime"), encode=lambda text: str(time_us(text)))


def timestamp_codec(modifier: int, options: DebeziumOptions, lose: Lose) -> Codec:
    mode, digits = options.time_precision_mode, _digits(modifier)
    if mode == "isostring":
        return Codec(schema=_schema("string", "IsoTimestamp"), encode=_iso_timestamp(lose))
    schema, encode = _numbered_timestamp(mode, digits, lose)
    return Codec(schema=schema, encode=encode)


def _numbered_timestamp(mode: TimePrecision, digits: int, lose: Lose) -> tuple[JsonSchema, Encode]:
    if mode == "connect":
        millis = _millis(instant_us, lose)
        return semantic("int64", "org.apache.kafka.connect.data.Timestamp"), _bounded(millis, INFINITE_MS, lose)
    if mode == "nanoseconds":
        return _schema("int64", "NanoTimestamp"), _bounded(lambda text: str(instant_us(text) * 1000), INFINITE_NS, lose)
    if mode in ("adaptive", "adaptive_time_microseconds") and digits <= 3:
        return _schema("int64", "Timestamp"), _bounded(lambda text: str(instant_us(text) // 1000), INFINITE_MS, lose)
    return _schema("int64", "MicroTimestamp"), _bounded(lambda text: str(instant_us(text)), INFINITE_US, lose)


def timestamptz_codec(modifier: int) -> Codec:
    """ISO 8601 in UTC, with the column's number of digits. Every mode writes it so, and it loses nothing."""
    digits = _digits(modifier)
    suffix = "." + "0" * digits if digits else ""

    def encode(text: str) -> str:
        if text[4:5] == "-" and text.endswith("+00"):  # a year of four digits, in UTC: the same digits
            clock = text[11:-3]
            fraction = len(clock) - 9
            padding = suffix if fraction < 0 else "0" * (digits - fraction)
            return f'"{text[:10]}T{clock}{padding}Z"'
        if text in _INFINITE:
            return f'"{text}"'
        day, in_day_us = divmod(instant_with_zone_us(text), DAY_US)
        return f'"{iso_date(day)}T{clock_text(in_day_us, digits)}Z"'

    return Codec(schema=_schema("string", "ZonedTimestamp"), encode=encode)


def timetz_codec(lose: Lose) -> Codec:
    def encode(text: str) -> str:
        offset_us, local_us = zone_us(text), time_us(text)
        if offset_us or local_us == DAY_US:
            lose(Loss.ZONE)
        return f'"{clock_text((local_us - offset_us) % DAY_US)}Z"'

    return Codec(schema=_schema("string", "ZonedTime"), encode=encode)


def interval_codec(options: DebeziumOptions, lose: Lose) -> Codec:
    if options.interval_handling_mode == "string":
        return Codec(schema=_schema("string", "Interval"), encode=lambda text: f'"{iso_interval(text)}"')

    def encode(text: str) -> str:
        parts = interval_parts(text)
        if parts.months or parts.days:
            lose(Loss.INTERVAL)
        total = parts.months * _MONTH_US + parts.days * DAY_US + parts.clock_us
        return str(min(max(total, _INT64[0]), _INT64[-1]))

    return Codec(schema=_schema("int64", "MicroDuration"), encode=encode)


class IntervalParts:
    """Months, days and microseconds: what PostgreSQL keeps of an interval. Raises `ValueError` for no interval."""

    __slots__ = ("clock_us", "days", "months")

    def __init__(self, text: str) -> None:
        found = _PART.findall(text)
        clock = _CLOCK.search(text)
        if not found and clock is None:
            raise ValueError(f"no interval in {text[:40]!r}")
        amounts = {"year": 0, "mon": 0, "day": 0}
        amounts.update({unit: int(amount) for amount, unit in found})
        self.months = amounts["year"] * 12 + amounts["mon"]
        self.days = amounts["day"]
        self.clock_us = 0
        if clock is not None:
            sign, *parts = clock.groups()
            self.clock_us = clock_us(*parts) * (-1 if sign == "-" else 1)


def interval_parts(text: str) -> IntervalParts:
    return IntervalParts(text)


def iso_interval(text: str) -> str:
    """`P1Y2M3DT4H5M6.789S`, each part with its own sign, as Debezium writes it."""
    parts = interval_parts(text)
    years, months = _toward_zero(parts.months, 12)
    hours, rest_us = _toward_zero(parts.clock_us, 3_600_000_000)
    minutes, rest_us = _toward_zero(rest_us, 60_000_000)
    seconds, micros = divmod(abs(rest_us), 1_000_000)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    sign = "-" if rest_us < 0 else ""
    return f"P{years}Y{months}M{parts.days}DT{hours}H{minutes}M{sign}{seconds}{fraction}S"


def _toward_zero(amount: int, unit: int) -> tuple[int, int]:
    whole, rest = divmod(abs(amount), unit)
    return (whole, rest) if amount >= 0 else (-whole, -rest)


def _schema(type_: str, name: str) -> JsonSchema:
    return semantic(type_, f"io.debezium.time.{name}")


def _digits(modifier: int) -> int:
    return MICRO_DIGITS if modifier == -1 else modifier


def _bounded(encode: Encode, extremes: tuple[int, int], lose: Lose) -> Encode:
    def bounded(text: str) -> str:
        if text in _INFINITE:
            lose(Loss.INFINITE)
            return str(extremes[_INFINITE[text]])
        number = encode(text)
        if len(number) > 18 and not extremes[0] < int(number) < extremes[1]:
            lose(Loss.INFINITE)
            return str(extremes[int(number) > 0])
        return number

    return bounded


def _millis(micros: Callable[[str], int], lose: Lose) -> Encode:
    def encode(text: str) -> str:
        millis, cut_off = divmod(micros(text), 1000)
        if cut_off:
            lose(Loss.MILLISECONDS)
        return str(millis)

    return encode


def _iso_date(lose: Lose) -> Encode:
    def encode(text: str) -> str:
        if text in _INFINITE:
            lose(Loss.INFINITE)
            return f'"{INFINITE_ISO_DATE[_INFINITE[text]]}"'
        return f'"{iso_date(days(text))}Z"'

    return encode


def _iso_time(lose: Lose) -> Encode:
    def encode(text: str) -> str:
        in_day_us = time_us(text)
        if in_day_us == DAY_US:
            lose(Loss.END_OF_DAY)
        return f'"{clock_text(in_day_us % DAY_US)}Z"'

    return encode


def _iso_timestamp(lose: Lose) -> Encode:
    def encode(text: str) -> str:
        if text in _INFINITE:
            lose(Loss.INFINITE)
            return f'"{INFINITE_ISO[_INFINITE[text]]}"'
        day, in_day_us = divmod(instant_us(text), DAY_US)
        return f'"{iso_date(day)}T{clock_text(in_day_us)}Z"'

    return encode
