"""What a type's form in JSON is: its Connect schema, and how a PostgreSQL text becomes a JSON fragment. Pure.

Encoding goes from text to text: a row of such fragments is a record, and no Python value is made on the way.
"""

import json
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from json.encoder import encode_basestring
from typing import Any, Final

JsonSchema = Mapping[str, Any]
"""A Connect schema as `JsonConverter` writes it, without `optional` and `field`."""
Encode = Callable[[str], str]
"""PostgreSQL text form → JSON. Raises `ValueError` when the text is not of the type."""

NULL: Final = "null"

quoted: Final[Encode] = encode_basestring
"""A JSON string, not escaped beyond need. The C function where there is one."""

dump: Final[Callable[[Any], str]] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False
).encode


class Loss(Enum):
    """Why a value of a Debezium record is not the source's. A caller may accept a kind by its name."""

    INFINITE = "infinite"
    """An infinite or too distant date or timestamp, written as an extreme number, or as null."""
    NOT_A_NUMBER = "not_a_number"
    """NaN or an infinity in a numeric column, written as null."""
    NULL_DECIMAL = "null_decimal"
    """Null in a precise decimal: Debezium writes NaN and infinities so too."""
    NULL_ARRAY = "null_array"
    """Null in an array column: Debezium writes so what it has no form for, unchanged TOAST and NaN among it."""
    NULL_DEFAULT = "null_default"
    """The default of a column that may be null: Kafka's JSON converter writes it in place of null, too."""
    NESTED_ARRAY = "nested_array"
    """An array of arrays, or one that does not begin at 1: written as nulls, or without its bounds."""
    INTERVAL = "interval"
    """Months and days are gone: an interval written as microseconds."""
    ZONE = "zone"
    """The time zone is gone: a time with zone written in UTC."""
    DOUBLE = "double"
    """A decimal written as binary floating point."""
    MILLISECONDS = "milliseconds"
    """Microseconds are cut off."""
    END_OF_DAY = "end_of_day"
    """24:00 written as 00:00."""
    BITS = "bits"
    """Leading zeros of a bit string are gone, and its length with them."""
    HSTORE = "hstore"
    """A key or value that Debezium's form cannot tell from another."""
    UNCHANGED = "unchanged"
    """Not in the event: an unchanged TOASTed value, or a value that equals its placeholder."""
    UNKNOWN_TYPE = "unknown_type"
    """A form whose type this reader does not know."""


Lose = Callable[[Loss], None]
"""Called by a codec that has just written less than it was given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """`encode` None: the text is itself the fragment. `unavailable`: the fragment for an unchanged TOASTed value; None
    when the type has no form for it, which is then null and a loss."""

    schema: JsonSchema
    encode: Encode | None
    unavailable: str | None = None


def semantic(type_: str, name: str, **more: Any) -> JsonSchema:
    """A schema with a name, as all of Debezium's and Connect's own logical types have."""
    return {"type": type_, "name": name, "version": 1, **more}


def text_codec(placeholder: str, schema: JsonSchema | None = None) -> Codec:
    return Codec(schema=schema or {"type": "string"}, encode=quoted, unavailable=quoted(placeholder))


def base64_text(data: bytes) -> str:
    """Base64 as a JSON string: Connect's form of bytes."""
    return f'"{b2a_base64(data, newline=False).decode()}"'
