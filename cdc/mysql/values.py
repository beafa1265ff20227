"""Column values of row events → PostgreSQL text forms, exact or refused. Pure.

A decoder takes the row's bytes and an offset, and returns the text and the offset after the value. What PostgreSQL
cannot hold raises `Unrepresentable`, which the caller turns into a refusal that names table and column.
"""

import struct
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date as calendar_date
from typing import Final, Literal

from cdc.mysql.decimals import decimal_bytes, decimal_text

ZeroDates = Literal["refuse", "null"]
"""What becomes of a date that no calendar has (`0000-00-00`, `2024-02-31`): stop, or NULL by the operator's word."""

Decoder = Callable[[bytes, int], tuple[str | None, int]]

_EPOCH_DAY_0: Final = 719_163


class Unrepresentable(ValueError):
    """The value has no exact form in the PostgreSQL type of its column. The message completes 'the value …'."""


def integer(size: int, *, unsigned: bool) -> Decoder:
    """1, 2, 3, 4 or 8 bytes, little-endian."""
    signed = not unsigned

    def decode(data: bytes, at: int) -> tuple[str, int]:
        return str(int.from_bytes(_take(data, at, size), "little", signed=signed)), at + size

    return decode


def real(size: int) -> Decoder:
    """FLOAT or DOUBLE: the shortest text that gives the same bits back (D13)."""
    unpack = struct.Struct("<f" if size == 4 else "<d").unpack
    shortest = shortest_float4 if size == 4 else shortest_float8

    def decode(data: bytes, at: int) -> tuple[str, int]:
        return shortest(unpack(_take(data, at, size))[0]), at + size

    return decode


def shortest_float8(value: float) -> str:
    return _as_postgres(repr(value), fixed_below=15)


def shortest_float4(value: float) -> str:
    """`value` is exactly representable in 4 bytes."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if _as_float4(float(text)) == value:
            break
    return _as_postgres(repr(float(text)), fixed_below=6)


def _as_float4(value: float) -> float | None:
    """The nearest value of 4 bytes; None beyond the largest."""
    try:
        found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return None
    return found


def _as_postgres(text: str, *, fixed_below: int) -> str:
    """Python's shortest digits as PostgreSQL lays them out: plain from 1e-4 to 1e15 (float4: 1e6), else d.ddde±XX."""
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0"
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0") or "0"
    magnitude = point - 1
    if not -4 <= magnitude < fixed_below:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if magnitude < 0 else '+'}{abs(magnitude):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def decimal(precision: int, scale: int) -> Decoder:
    size = decimal_bytes(precision, scale)

    def decode(data: bytes, at: int) -> tuple[str, int]:
        return decimal_text(_take(data, at, size), precision, scale), at + size

    return decode


def bits(count: int) -> Decoder:
    size = (count + 7) // 8

    def decode(data: bytes, at: int) -> tuple[str, int]:
        return format(int.from_bytes(_take(data, at, size), "big"), f"0{count}b"), at + size

    return decode


def year(data: bytes, at: int) -> tuple[str, int]:
    number = _take(data, at, 1)[0]
    return str(number and number + 1900), at + 1


def text(length_bytes: int, decode_text: Callable[[bytes], str]) -> Decoder:
    def decode(data: bytes, at: int) -> tuple[str, int]:
        raw, end = _prefixed(data, at, length_bytes)
        try:
            return decode_text(raw), end
        except UnicodeDecodeError as error:
            raise Unrepresentable(f"has bytes that its character set does not: {error.reason}") from None

    return decode


def binary(length_bytes: int, *, padded_to: int = 0) -> Decoder:
    """`padded_to`: the length of a BINARY column, whose trailing zero bytes the binlog leaves out."""

    def decode(data: bytes, at: int) -> tuple[str, int]:
        raw, end = _prefixed(data, at, length_bytes)
        return "\\x" + raw.ljust(padded_to, b"\0").hex(), end

    return decode


def enum(size: int, labels: Sequence[str]) -> Decoder:
    """By label; number 0 is the empty string that the server keeps for a value that was invalid."""
    by_number = ("", *labels)

    def decode(data: bytes, at: int) -> tuple[str, int]:
        return by_number[int.from_bytes(_take(data, at, size), "little")], at + size

    return decode


def label_set(size: int, labels: Sequence[str]) -> Decoder:
    def decode(data: bytes, at: int) -> tuple[str, int]:
        mask = int.from_bytes(_take(data, at, size), "little")
        if mask >> len(labels):
            raise IndexError(f"set member {mask.bit_length()} of {len(labels)}")
        return ",".join(label for number, label in enumerate(labels) if mask >> number & 1), at + size

    return decode


def date(zero_dates: ZeroDates) -> Decoder:
    def decode(data: bytes, at: int) -> tuple[str | None, int]:
        packed = int.from_bytes(_take(data, at, 3), "little")
        return calendar_text(packed >> 9, packed >> 5 & 15, packed & 31, zero_dates), at + 3

    return decode


def datetime(fraction_digits: int, zero_dates: ZeroDates) -> Decoder:
    size = (fraction_digits + 1) // 2

    def decode(data: bytes, at: int) -> tuple[str | None, int]:
        packed = int.from_bytes(_take(data, at, 5), "big") - (1 << 39)
        day = calendar_text((packed >> 22) // 13, (packed >> 22) % 13, packed >> 17 & 31, zero_dates)
        clock = f"{packed >> 12 & 31:02d}:{packed >> 6 & 63:02d}:{packed & 63:02d}"
        fraction = _fraction(_microseconds(data, at + 5, size))
        return None if day is None else f"{day} {clock}{fraction}", at + 5 + size

    return decode


def timestamp(fraction_digits: int, zero_dates: ZeroDates) -> Decoder:
    """An instant, stored in UTC whatever the session's time zone; second 0 is the zero date."""
    size = (fraction_digits + 1) // 2

    def decode(data: bytes, at: int) -> tuple[str | None, int]:
        seconds = int.from_bytes(_take(data, at, 4), "big")
        microseconds = _microseconds(data, at + 4, size)
        if seconds == 0 and microseconds == 0:
            return calendar_text(0, 0, 0, zero_dates), at + 4 + size
        return f"{_utc(seconds)}{_fraction(microseconds)}+00", at + 4 + size

    return decode


def time(fraction_digits: int) -> Decoder:
    """-838:59:59 to 838:59:59: an interval, since a time of day ends at 24 h."""
    size = 3 + (fraction_digits + 1) // 2
    shift = 8 * (size - 3)
    unit = 10 ** (6 - 2 * (size - 3))

    def decode(data: bytes, at: int) -> tuple[str, int]:
        packed = int.from_bytes(_take(data, at, size), "big") - (1 << 23 + shift)
        sign, packed = ("-", -packed) if packed < 0 else ("", packed)
        clock, part = packed >> shift, packed & (1 << shift) - 1
        hours, minutes, seconds = clock >> 12 & 1023, clock >> 6 & 63, clock & 63
        return f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{_fraction(part * unit)}", at + size

    return decode


def json_text(length_bytes: int, decode_json: Callable[[bytes], str]) -> Decoder:
    """MySQL's binary JSON."""

    def decode(data: bytes, at: int) -> tuple[str, int]:
        raw, end = _prefixed(data, at, length_bytes)
        return decode_json(raw), end

    return decode


def calendar_text(year_: int, month: int, day: int, zero_dates: ZeroDates) -> str | None:
    """`YYYY-MM-DD`, or what the policy says about a date that no calendar has."""
    if 1 <= year_ <= 9999 and 1 <= month <= 12 and 1 <= day <= monthrange(year_, month)[1]:
        return f"{year_:04d}-{month:02d}-{day:02d}"
    if zero_dates == "null":
        return None
    raise Unrepresentable(f"is the date {year_:04d}-{month:02d}-{day:02d}, which no calendar has")


def _utc(seconds: int) -> str:
    days, clock = divmod(seconds, 86_400)
    year_, month, day = _civil(days)
    return f"{year_:04d}-{month:02d}-{day:02d} {clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}"


def _civil(days: int) -> tuple[int, int, int]:
    found = calendar_date.fromordinal(days + _EPOCH_DAY_0)
    return found.year, found.month, found.day


def _microseconds(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_take(data, at, size), "big") * 10 ** (6 - 2 * size) if size else 0


def _fraction(microseconds: int) -> str:
    return f".{microseconds:06d}".rstrip("0") if microseconds else ""


def _prefixed(data: bytes, at: int, length_bytes: int) -> tuple[bytes, int]:
    start = at + length_bytes
    end = start + int.from_bytes(_take(data, at, length_bytes), "little")
    return _take(data, start, end - start), end


def _take(data: bytes, at: int, size: int) -> bytes:
    taken = data[at : at + size]
    if len(taken) != size:
        raise IndexError(f"{size} bytes at {at} of {len(data)}")
    return taken
