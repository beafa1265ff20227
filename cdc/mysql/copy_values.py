"""What a SELECT prints, as the server stored it, → the same text forms that the binlog's values have. Pure.

The session asks for values without conversion (`character_set_results = NULL`), so that text arrives in the bytes of
its column's character set and passes the same decoder as in the binlog.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from cdc.errors import CopyRefused
from cdc.events import Column, TableName
from cdc.mysql import values
from cdc.mysql.charsets import BINARY, text_decoder
from cdc.mysql.values import Unrepresentable, ZeroDates

FromText = Callable[[bytes], str | None]

KeyKind = Literal["number", "label", "bytes", "moment"]
"""How a key value stands in a condition: a number as it is, a label by its number, text and binary by their bytes,
dates and times in quotes."""

_INTEGERS: Final = {
    "tinyint": (21, 21),
    "smallint": (21, 23),
    "mediumint": (23, 23),
    "int": (23, 20),
    "bigint": (20, 1700),
}
"""Type → (PostgreSQL type, PostgreSQL type when unsigned), as `table_description.INTEGERS` has them."""
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_OIDS: Final = {"date": 1082, "datetime": 1114, "timestamp": 1184, "time": 1186}


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnFacts:
    """A column as `information_schema.COLUMNS` has it. `kind` and `full_kind` in lower case; `length`: characters, or
    bytes of a binary one; `digits`, `scale`: of a number; `fraction_digits`: of a time."""

    name: str
    kind: str
    full_kind: str
    charset: str | None = None
    length: int = 0
    digits: int = 0
    scale: int = 0
    fraction_digits: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedColumn:
    """One column of a copy. `expression`: what to SELECT, `{}` being the quoted name; `from_text`: the printed bytes →
    the text form; `key_kind` and `key_charset`: how it can stand in a condition."""

    column: Column
    from_text: FromText
    expression: str = "{}"
    key_kind: KeyKind = "bytes"
    key_charset: str = BINARY


def copied_column(facts: ColumnFacts, table: TableName, zero_dates: ZeroDates, *, in_key: bool) -> CopiedColumn:
    """Raises `CopyRefused` when a SELECT does not say what the binlog does."""
    kind = facts.kind
    made: dict[str, Any] = {}
    oid, modifier = 25, -1
    if kind in _INTEGERS:
        oid = _INTEGERS[kind]["unsigned" in facts.full_kind]
        made = {"from_text": _integer, "key_kind": "number"}
    elif kind in ("float", "double"):
        oid = 700 if kind == "float" else 701
        made = {"from_text": _real4 if kind == "float" else _real8, "key_kind": "number", "expression": "{} * 1e0"}
    elif kind == "decimal":
        oid, modifier = 1700, (facts.digits << 16 | facts.scale) + 4
        made = {"from_text": _decimal, "key_kind": "number"}
    elif kind == "bit":
        oid, modifier = 1560, facts.digits
        made = {"from_text": _bits(facts.digits), "key_kind": "number"}
    elif kind == "year":
        if facts.full_kind.startswith("year(2)"):
            raise _refused(table, facts, "shows two digits of its four", "MODIFY it as YEAR")
        oid = 21
        made = {"from_text": _integer, "key_kind": "number"}
    elif kind in _OIDS:
        oid = _OIDS[kind]
        modifier = facts.fraction_digits if kind in ("datetime", "timestamp") else -1
        made = {"from_text": _MOMENTS[kind](zero_dates), "key_kind": "moment"}
    elif kind in _BYTES:
        oid = 17
        made = {"from_text": _binary}
    elif kind == "json":
        oid = 114
        made = {"from_text": _json}
    elif kind in _TEXTS or kind in ("enum", "set"):
        oid = 1043 if kind in ("char", "varchar") and facts.length else 25
        made = {
            "from_text": _text(_decoder(facts, table)),
            "key_kind": "label" if kind in ("enum", "set") else "bytes",
            "key_charset": facts.charset or BINARY,
        }
    else:
        raise _refused(table, facts, f"is of type {kind}, which cannot be captured exactly", "leave the table out")
    return CopiedColumn(column=Column(name=facts.name, type_oid=oid, type_modifier=modifier, in_key=in_key), **made)


def _decoder(facts: ColumnFacts, table: TableName) -> Callable[[bytes], str]:
    if facts.charset in (None, BINARY):
        return bytes.decode
    decode = text_decoder(str(facts.charset))
    if decode is None:
        raise _refused(
            table, facts, f"has the character set {facts.charset}, which is not known here", "convert it to utf8mb4"
        )
    return decode


def _refused(table: TableName, facts: ColumnFacts, reason: str, mend: str) -> CopyRefused:
    return CopyRefused(thing=f"column {facts.name} of {table.schema}.{table.name}", reason=reason, mend=mend)


def _integer(data: bytes) -> str:
    """A ZEROFILL column prints zeros that are no part of the value."""
    return str(int(data))


def _real8(data: bytes) -> str:
    return values.shortest_float8(float(data))


def _real4(data: bytes) -> str:
    """Printed as the double that is equal to it: a FLOAT itself is printed with six digits only."""
    return values.shortest_float4(float(data))


def _decimal(data: bytes) -> str:
    text = data.decode()
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{point}{fraction}"


def _bits(count: int) -> FromText:
    def from_text(data: bytes) -> str:
        return format(int.from_bytes(data, "big"), f"0{count}b")

    return from_text


def _date(zero_dates: ZeroDates) -> FromText:
    def from_text(data: bytes) -> str | None:
        return _day(data, zero_dates)

    return from_text


def _datetime(zero_dates: ZeroDates) -> FromText:
    def from_text(data: bytes) -> str | None:
        day = _day(data[:10], zero_dates)
        return None if day is None else f"{day}{_clock(data[10:])}"

    return from_text


def _timestamp(zero_dates: ZeroDates) -> FromText:
    as_datetime = _datetime(zero_dates)

    def from_text(data: bytes) -> str | None:
        found = as_datetime(data)
        return None if found is None else f"{found}+00"

    return from_text


def _time(zero_dates: ZeroDates) -> FromText:
    return _clock


_MOMENTS: Final = {"date": _date, "datetime": _datetime, "timestamp": _timestamp, "time": _time}


def _day(data: bytes, zero_dates: ZeroDates) -> str | None:
    return values.calendar_text(int(data[:4]), int(data[5:7]), int(data[8:10]), zero_dates)


def _clock(data: bytes) -> str:
    text = data.decode()
    return text.rstrip("0").rstrip(".") if "." in text else text


def _binary(data: bytes) -> str:
    return "\\x" + data.hex()


def _text(decode: Callable[[bytes], str]) -> FromText:
    def from_text(data: bytes) -> str:
        try:
            return decode(data)
        except UnicodeDecodeError as error:
            raise Unrepresentable(f"has bytes that its character set does not: {error.reason}") from None

    return from_text


class _Number(str):
    """A number of a JSON text, digit for digit."""

    __slots__ = ()


_quote: Final = json.JSONEncoder(ensure_ascii=False).encode


def _json(data: bytes) -> str:
    """MySQL's own JSON as `json_binary` writes it: the two differ in how a double's exponent looks."""
    return _json_text(json.loads(data, parse_int=_Number, parse_float=_double, object_pairs_hook=_Members))


class _Members(list[tuple[str, Any]]):
    """An object of a JSON text, in its order."""


def _double(text: str) -> _Number:
    """Only doubles are printed with an exponent; a decimal keeps its digits."""
    return _Number(repr(float(text)) if "e" in text.lower() else text)


def _json_text(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, _Members):
        return "{" + ", ".join(f"{_quote(name)}: {_json_text(member)}" for name, member in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json_text, value)) + "]"
    return _quote(value)
