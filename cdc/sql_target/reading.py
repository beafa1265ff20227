"""A value read from a target → the PostgreSQL text form that it stands for, and the form in which two texts of one
value are equal. Pure. Written apart from `cdc.sql_target.values`, so that each shows the other's mistakes."""

import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from cdc.sql_target.columns import SqlColumn
from cdc.sql_target.json_text import is_array, parse_array

_FLOATS = frozenset({"real", "double precision"})
_FRACTION = re.compile(r"\.(\d*?)0*(?=\D|\Z)")


def text_of(value: object, column: SqlColumn, source_type: str | None) -> str | None:
    """The text form of a value that the driver returned. `source_type`: of the values as they were written."""
    if value is None:
        return None
    return _TEXTS[column.kind](value, column, _base(source_type))


def normal(text: str | None, source_type: str | None, column: SqlColumn) -> str | None:
    """The same string for every text that the column may rightly hold for one value of `source_type`."""
    if text is None:
        return None
    base = _base(source_type)
    if column.kind == "json":
        return _json_normal(text, source_type, column)
    if base.startswith(("timestamp", "time")) and column.kind in ("datetime", "time"):
        return _trimmed_second(text)
    if column.kind == "float" and text not in ("NaN", "Infinity", "-Infinity"):
        return repr(float(text))
    if column.kind in ("numeric", "float", "integer") and text[:1] in "-0123456789":
        return f"{Decimal(text).normalize():f}" if Decimal(text) else "0"
    if base == "character":
        return text.rstrip(" ")
    return text


def _base(source_type: str | None) -> str:
    return (source_type or "").partition("(")[0].strip()


def _integer(value: Any, _column: SqlColumn, base: str) -> str:
    return ("t" if value else "f") if base == "boolean" else str(int(value))


def _numeric(value: Any, _column: SqlColumn, _base: str) -> str:
    if isinstance(value, float):
        value = Decimal(repr(value))
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _float(value: Any, column: SqlColumn, base: str) -> str:
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(number)]
    if (column.length or 53) <= 24:
        # The shortest decimal of a single-precision number.
        shortest = (f"{number:.{digits}g}" for digits in range(1, 10))
        return next((text for text in shortest if _single(float(text)) == _single(number)), repr(number))
    return repr(number)


def _single(number: float) -> bytes:
    return struct.pack("f", number)


def _boolean(value: Any, _column: SqlColumn, _base: str) -> str:
    return "t" if value else "f"


def _text(value: Any, column: SqlColumn, base: str) -> str:
    text = str(value)
    if base == "uuid" and column.length == 32 and len(text) == 32:
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return text


def _bytes(value: Any, _column: SqlColumn, base: str) -> str:
    raw = bytes(value).hex()
    if base == "uuid":
        return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
    return f"\\x{raw}"


def _date(value: Any, _column: SqlColumn, _base: str) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _time(value: Any, _column: SqlColumn, _base: str) -> str:
    if isinstance(value, timedelta):
        seconds, micros = divmod(round(value / timedelta(microseconds=1)), 1_000_000)
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return _trimmed_second(f"{text}.{micros:06}")
    return _trimmed_second(value.isoformat() if isinstance(value, time) else str(value))


def _datetime(value: Any, _column: SqlColumn, base: str) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    text = _trimmed_second(moment.isoformat(" "))
    return f"{text}+00" if base == "timestamp with time zone" else text


def _json(value: Any, _column: SqlColumn, _base: str) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bit(value: Any, column: SqlColumn, base: str) -> str:
    number = int.from_bytes(value, "big") if isinstance(value, bytes) else int(value)
    if base == "boolean":
        return "t" if number else "f"
    return f"{number:b}".zfill(column.length or 1)


def _plain(value: Any, _column: SqlColumn, _base: str) -> str:
    return str(value)


_TEXTS: dict[str, Callable[[Any, SqlColumn, str], str]] = {
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
    "enum": _plain,
    "bit": _bit,
    "uuid": _plain,
    "unknown": _plain,
}


def _trimmed_second(text: str) -> str:
    """`12:00:00.500+00` → `12:00:00.5+00`: how many zeros end a fraction of a second says nothing."""
    return _FRACTION.sub(lambda found: f".{found[1]}" if found[1] else "", text, count=1)


def _json_normal(text: str, source_type: str | None, column: SqlColumn) -> str:
    """Arrays and what a native JSON type has parsed are compared as documents, other documents as they were written."""
    if is_array(source_type) and text.startswith("{"):
        return _document(_array(parse_array(text), _base(str(source_type).removesuffix("[]"))))
    if is_array(source_type) or not column.stored_as_text:
        return _document(json.loads(text, parse_int=Decimal, parse_float=Decimal))
    return text


def _array(item: Any, element: str) -> Any:
    if item is None:
        return None
    if isinstance(item, list):
        return [_array(each, element) for each in item]
    if element in ("json", "jsonb"):
        return json.loads(item, parse_int=Decimal, parse_float=Decimal)
    if element == "boolean":
        return item == "t"
    numeric = element in ("smallint", "integer", "bigint", "numeric", "oid") or element in _FLOATS
    return Decimal(item) if numeric else item


def _document(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, default=lambda number: f"{number.normalize():f}")
