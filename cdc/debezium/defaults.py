"""A column's default in the schema of its records, as Debezium 3.6 writes it. Pure.

The rules are those of its `PostgresDefaultValueConverter`: a literal stands for itself, a call of a function for a
fixed value of the type (0, an empty text, 1970), and of types without a rule nothing is said. Where that rule would
misread an expression (it takes the first literal in it), nothing is said here.
"""

import json
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

from cdc.debezium.catalog import PgType, TypeCatalog
from cdc.debezium.codec import Loss
from cdc.debezium.numbers import SPECIAL, precision_and_scale
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.types import codec_for

_INTEGERS: Final = {"int2": 15, "int4": 31, "int8": 63}
_FLOATS: Final = ("float4", "float8")
_NUMBERS: Final = frozenset({*_INTEGERS, *_FLOATS, "numeric"})
_TEXTS: Final = frozenset({"text", "varchar", "bpchar"})

_OF_FUNCTIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_INTEGERS, "0"), **dict.fromkeys(("float4", "float8", "numeric"), "0.0"),
    **dict.fromkeys(_TEXTS, ""), "xml": "", "bool": "f", "bit": "00", "varbit": "0", "json": "{}", "jsonb": "{}",
    "uuid": "00000000-0000-0000-0000-000000000000", "date": "1970-01-01", "time": "00:00:00",
    "timestamp": "1970-01-01 00:00:00", "timestamptz": "1970-01-01 00:00:00+00", "interval": "00:00:00",
}  # fmt: skip
"""Debezium's stand-in for what a function returns, by type; types that are not here have no default of any kind."""

_CASTS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_NUMBERS, frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})),
    **dict.fromkeys(_TEXTS, frozenset({"text", "character varying", "bpchar", "name"})),
    "bit": frozenset({'"bit"', "bit", "bit varying"}),
    "varbit": frozenset({'"bit"', "bit", "bit varying"}),
    "bool": frozenset({"boolean"}),
    "json": frozenset({"json"}),
    "jsonb": frozenset({"jsonb"}),
    "xml": frozenset({"xml"}),
    "uuid": frozenset({"uuid"}),
    "date": frozenset({"date", "timestamp without time zone"}),
    "time": frozenset({"time without time zone"}),
    "timestamp": frozenset({"timestamp without time zone", "date"}),
    "timestamptz": frozenset({"timestamp with time zone"}),
    "interval": frozenset({"interval"}),
}
"""Types whose literals mean the same in a column of the type, as `format_type` names them."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LITERAL = re.compile(r"""'((?:[^']|'')*)'::([^:']+)""")
_CALL = re.compile(r"\(?[A-Za-z0-9_.]+\(.*\)", re.DOTALL)
_VALUE_FUNCTION = re.compile(
    r"CURRENT_(TIMESTAMP|TIME|DATE|USER|ROLE|CATALOG|SCHEMA)|LOCALTIME|LOCALTIMESTAMP|SESSION_USER|USER", re.IGNORECASE
)
_MISREAD = re.compile(r"USER|ROLE|CATALOG|SCHEMA|infinity|^'24:|''.*'::", re.IGNORECASE)
"""What Debezium reads otherwise than it is meant, at least in some types."""


def default_of(
    expression: str, type_oid: int, modifier: int, catalog: TypeCatalog, options: DebeziumOptions
) -> Any | None:
    """The field's `default` in a schema, as a JSON value; None when there is none to say.

    `expression`: `pg_get_expr`'s text of it, read in a session with canonical settings (`cdc.connections`).
    """
    type_ = catalog.type(type_oid)
    text = _text(expression, type_)
    if text is not None and type_.name == "numeric":
        text = _scaled(text, modifier)
    if text is None:
        return None
    losses: list[Loss] = []
    codec = codec_for(type_oid, modifier, catalog, options, losses.append)
    if codec is None or codec.schema["type"] == "struct":
        return None
    try:
        found = json.loads(codec.encode(text) if codec.encode else text)
    except (ValueError, OverflowError):  # more digits than the column keeps, for instance
        return None
    # A length of time in months is written so in records, too; what else is lost would be another value.
    return found if set(losses) <= {Loss.INTERVAL, Loss.BITS, Loss.MILLISECONDS} else None


ANY_VALUE: Final = object()
"""Equal to every value."""


def null_likeness(
    expression: str, type_oid: int, modifier: int, catalog: TypeCatalog, options: DebeziumOptions
) -> Any | None:
    """What Debezium may write in place of null for a column with this default: its default as a JSON value, `ANY_VALUE`
    when nobody can say which, None when it writes null."""
    if not _has_a_rule(catalog.type(type_oid)) or expression.startswith("NULL::"):
        return None
    found = default_of(expression, type_oid, modifier, catalog, options)
    return ANY_VALUE if found is None or _MISREAD.search(expression) else found


def _has_a_rule(type_: PgType) -> bool:
    return type_.kind == "enum" or (type_.kind == "base" and type_.name in _OF_FUNCTIONS)


def _text(expression: str, type_: PgType) -> str | None:
    """The value in PostgreSQL's text form."""
    name = type_.name
    if not _has_a_rule(type_) or expression.startswith("NULL::"):
        return None
    literal = _LITERAL.fullmatch(expression)
    if type_.kind == "enum":
        label = literal[1].replace("''", "'") if literal else None
        return label if label in type_.labels else None
    if literal is not None:
        if literal[2] not in _CASTS[name]:
            return None
        return _own_form(literal[1].replace("''", "'"), name, literal[2])
    if expression in ("true", "false"):
        return expression[0] if name == "bool" else None
    if _NUMBER.fullmatch(expression):
        return _own_form(expression, name, "numeric") if name in _NUMBERS else None
    if _VALUE_FUNCTION.fullmatch(expression) or _CALL.match(expression):
        return _OF_FUNCTIONS[name]
    return None


def _own_form(text: str, name: str, cast: str) -> str | None:
    """A literal as the column's own type would show it."""
    if name in _INTEGERS:
        fits = _NUMBER.fullmatch(text) and "." not in text and -1 << _INTEGERS[name] <= int(text) < 1 << _INTEGERS[name]
        return text if fits else None
    if name in _FLOATS:
        return _float_form(text, name)
    if name == "timestamp" and cast == "date" and "infinity" not in text:
        date, era = (text[:-3], " BC") if text.endswith(" BC") else (text, "")
        return f"{date} 00:00:00{era}"
    return text


def _scaled(text: str, modifier: int) -> str | None:
    """With as many digits as the column shows; None for a number that it would round."""
    if text in SPECIAL:
        return None
    if modifier == -1:
        return text
    _, scale = precision_and_scale(modifier)
    whole, _, fraction = text.partition(".")
    if scale < 0:
        return text if not fraction and int(whole) % 10**-scale == 0 else None
    if len(fraction) > scale:
        return None
    return f"{whole}.{fraction.ljust(scale, '0')}" if scale else whole


def _float_form(text: str, name: str) -> str:
    """The shortest digits that are read as the same number, as PostgreSQL and Java show it."""
    number = float(text)
    if text in SPECIAL or name == "float8":
        return text if text in SPECIAL else repr(number)
    (rounded,) = struct.unpack("f", struct.pack("f", number))
    return next(shown for digits in range(1, 18) if _single(shown := f"{number:.{digits}g}") == rounded)


def _single(text: str) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", float(text)))
    return float(rounded)
