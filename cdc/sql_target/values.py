"""PostgreSQL text form → the value that is bound for a target column; exact, or refused by name. Pure.

Every refusal is a `ValueError` whose text completes "the value …". What a dialect would round, cut, pad or fold in
silence is refused here, whatever the server's mode.
"""

import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal

from cdc.sql_target.columns import Dialect, SqlColumn
from cdc.sql_target.json_text import array_to_json, is_array, json_for

Convert = Callable[[str], object]

_INTEGER = re.compile(r"[+-]?\d+\Z", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_DATE = r"(\d{4,})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?"
_OFFSET = r"([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?"
_DATE_ONLY = re.compile(rf"{_DATE}\Z", re.ASCII)
_TIME_ONLY = re.compile(rf"{_TIME}\Z", re.ASCII)
_MOMENT = re.compile(rf"{_DATE}[ T]{_TIME}(?:{_OFFSET})?\Z", re.ASCII)
_TRUTH = {"t": True, "f": False, "true": True, "false": False}
_BLANKS = re.compile(r" +\Z")
_WIDE = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Never rounds."""


def converter(column: SqlColumn, source_type: str | None, dialect: Dialect) -> Convert:
    """The function for one column. `source_type`: `format_type` of the values; None when nobody knows."""
    make = _CONVERTERS[column.kind]
    return make(column, source_type, dialect)


def _integer(column: SqlColumn, _source: str | None, _dialect: Dialect) -> Convert:
    low, high = column.low, column.high

    def convert(text: str) -> int:
        value = int(text) if _INTEGER.match(text) else _whole(text)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"is out of the range of {column.declared}")
        return value

    return convert


def _whole(text: str) -> int:
    if text in _TRUTH:
        return int(_TRUTH[text])
    value = _exact(text)
    if value != value.to_integral_value(context=_WIDE):
        raise ValueError("is not a whole number")
    return int(value)


def _exact(text: str) -> Decimal:
    if not _DECIMAL.match(text):
        raise ValueError("is not a finite number")
    return Decimal(text)


def _numeric(column: SqlColumn, _source: str | None, dialect: Dialect) -> Convert:
    if dialect == "sqlite":
        return _sqlite_number
    precision, scale, unsigned = column.precision, column.scale or 0, column.low == 0

    def convert(text: str) -> Decimal:
        value = _exact(text)
        if unsigned and value < 0:
            raise ValueError(f"is negative, {column.declared} is not")
        if precision is not None:
            _, digits, exponent = value.normalize(_WIDE).as_tuple()
            assert isinstance(exponent, int)
            if value and -exponent > scale:
                raise ValueError(f"has more decimals than {column.declared}")
            if value and len(digits) + exponent > precision - scale:
                raise ValueError(f"has more digits than {column.declared}")
        return value

    return convert


def _sqlite_number(text: str) -> int | float:
    """SQLite has 64-bit integers and doubles; a decimal must be one of them, or say its shortest form."""
    value = _exact(text)
    if value == value.to_integral_value(context=_WIDE) and -(2**63) <= value < 2**63:
        return int(value)
    number = float(value)
    if Decimal(repr(number)) != value:
        raise ValueError("has more digits than SQLite keeps in a numeric column; declare it TEXT")
    return number


def _float(column: SqlColumn, source: str | None, dialect: Dialect) -> Convert:
    single = (column.length or 53) <= 24

    def convert(text: str) -> float:
        if text in ("NaN", "Infinity", "-Infinity"):
            if dialect == "mysql" or (dialect == "sqlite" and text == "NaN"):
                raise ValueError(f"is {text}, which {column.declared} cannot hold")
            return float(text)
        value = float(_exact(text))
        if dialect == "sqlite" and value == 0 and text.startswith("-"):
            raise ValueError("is -0, which SQLite stores as 0")
        if single:
            if _single_text(value) != Decimal(text):
                raise ValueError(f"has more digits than {column.declared}")
            return _nearest_single(value)
        if source not in ("real", "double precision") and Decimal(repr(value)) != Decimal(text):
            raise ValueError(f"has more digits than {column.declared}")
        return value

    return convert


def _nearest_single(value: float) -> float:
    nearest: float = struct.unpack("f", struct.pack("f", value))[0]
    return nearest


def _single_text(value: float) -> Decimal | None:
    """The shortest decimal that stands for the nearest single-precision number."""
    try:
        packed = struct.pack("f", value)
    except OverflowError:
        return None
    nearest = _nearest_single(value)
    for digits in range(1, 10):
        text = f"{nearest:.{digits}g}"
        if struct.pack("f", float(text)) == packed:
            return Decimal(text)
    return None


def _boolean(_column: SqlColumn, _source: str | None, dialect: Dialect) -> Convert:
    truth: dict[str, bool] = {**_TRUTH, "1": True, "0": False}

    def convert(text: str) -> bool | int:
        if text not in truth:
            raise ValueError("is no boolean")
        return int(truth[text]) if dialect == "sqlite" else truth[text]

    return convert


def _text(column: SqlColumn, source: str | None, dialect: Dialect) -> Convert:
    if source == "uuid" and column.length == 32:
        return lambda text: text.replace("-", "")
    length, octets = (None, None) if dialect == "sqlite" else (column.length, column.octets)
    padded = (source or "").startswith("character(")

    def convert(text: str) -> str:
        if column.fixed and padded:
            text = _BLANKS.sub("", text)
        elif column.fixed and text.endswith(" "):
            raise ValueError(f"ends with a blank, which {column.declared} would cut")
        if length is not None and len(text) > length:
            raise ValueError(f"is longer than {column.declared}")
        if octets is not None and len(text) * 4 > octets and len(text.encode()) > octets:
            raise ValueError(f"is longer than {column.declared}")
        return text

    return convert


def _bytes(column: SqlColumn, source: str | None, _dialect: Dialect) -> Convert:
    length, fixed = column.length, column.fixed

    def convert(text: str) -> bytes:
        if text.startswith("\\x"):
            value = bytes.fromhex(text[2:])
        elif source == "uuid":
            value = bytes.fromhex(text.replace("-", ""))
        else:
            raise ValueError("is no byte string")
        if length is not None and len(value) > length:
            raise ValueError(f"is longer than {column.declared}")
        if fixed and length is not None and len(value) < length:
            raise ValueError(f"is shorter than {column.declared}, which would pad it")
        return value

    return convert


def _date(column: SqlColumn, _source: str | None, dialect: Dialect) -> Convert:
    def convert(text: str) -> object:
        found = _DATE_ONLY.match(text)
        if found is None or len(found[1]) > 4 or found[1] == "0000":
            raise ValueError(f"is outside the years that {column.declared} has")
        return text if dialect == "sqlite" else date(int(found[1]), int(found[2]), int(found[3]))

    return convert


def _time(column: SqlColumn, _source: str | None, dialect: Dialect) -> Convert:
    def convert(text: str) -> object:
        found = _TIME_ONLY.match(text)
        if found is None:
            raise ValueError(f"is no time of day without zone, as {column.declared} wants")
        _check_fraction(found[4], column)
        if dialect == "mysql":
            return text
        if found[1] == "24":
            raise ValueError(f"is 24:00:00, which {column.declared} cannot hold")
        micros = int((found[4] or "").ljust(6, "0"))
        value = time(int(found[1]), int(found[2]), int(found[3]), micros)
        return value.isoformat(timespec="microseconds") if dialect == "sqlite" else value

    return convert


def _datetime(column: SqlColumn, _source: str | None, dialect: Dialect) -> Convert:
    def convert(text: str) -> object:
        found = _MOMENT.match(text)
        if found is None or len(found[1]) > 4 or found[1] == "0000":
            raise ValueError(f"is outside the moments that {column.declared} has")
        _check_fraction(found[7], column)
        micros = int((found[7] or "").ljust(6, "0"))
        year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
        value = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001 - UTC, or local as at the source
        if found[8]:
            behind = timedelta(hours=int(found[9]), minutes=int(found[10] or 0), seconds=int(found[11] or 0))
            value = value - behind if found[8] == "+" else value + behind
        if dialect == "sqlite":
            return value.isoformat(" ", "microseconds")
        return value.replace(tzinfo=UTC) if column.zoned else value

    return convert


def _check_fraction(digits: str | None, column: SqlColumn) -> None:
    if digits and digits[column.fraction :].strip("0"):
        raise ValueError(f"has more digits of a second than {column.declared}")


def _json(column: SqlColumn, source: str | None, _dialect: Dialect) -> Convert:
    if is_array(source):
        element = str(source).removesuffix("[]")
        return lambda text: array_to_json(text, element)
    return json_for(column, source)


def _enum(column: SqlColumn, _source: str | None, _dialect: Dialect) -> Convert:
    labels = frozenset(column.labels)

    def convert(text: str) -> str:
        if text not in labels:
            raise ValueError(f"is no label of {column.declared}")
        return text

    return convert


def _bit(column: SqlColumn, _source: str | None, _dialect: Dialect) -> Convert:
    def convert(text: str) -> int:
        if column.length == 1 and text in _TRUTH:
            return int(_TRUTH[text])
        if not text or text.strip("01") or len(text) != column.length:
            raise ValueError(f"is not a string of {column.length} bits")
        return int(text, 2)

    return convert


def _uuid(_column: SqlColumn, _source: str | None, _dialect: Dialect) -> Convert:
    return str


def _unknown(column: SqlColumn, _source: str | None, _dialect: Dialect) -> Convert:
    def convert(_text: str) -> object:
        raise ValueError(f"has no known form in a column of type {column.declared}")

    return convert


_CONVERTERS: dict[str, Callable[[SqlColumn, str | None, Dialect], Convert]] = {
    "integer": _integer,
    "numeric": _numeric,
    "float": _float,
    "boolean": _boolean,
    "text": _text,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "json": _json,
    "enum": _enum,
    "bit": _bit,
    "uuid": _uuid,
    "unknown": _unknown,
}
