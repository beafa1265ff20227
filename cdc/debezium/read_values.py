"""JSON values with their schema → PostgreSQL text forms, and what they have lost on the way. Pure.

Debezium's forms do not say all: a boolean may be a bit, a string may be bytes. Where the catalog knows the column's
type it decides; where it does not, the form alone does.
"""

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from cdc.debezium.catalog import OID_OF, ResolvedType, TypeCatalog
from cdc.debezium.codec import JsonSchema, Lose, Loss, dump
from cdc.debezium.numbers import DECIMAL, INTEGERS, VARIABLE_SCALE
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.read_numbers import decimal_text, float_text, money_text
from cdc.debezium.read_times import READERS
from cdc.debezium.structures import POINT, array_text, hstore_text
from cdc.events import UNCHANGED, Value

ReadValue = Callable[[Any], Value]

_OIDS: Final[Mapping[str, int]] = {
    "int8": 21, "int16": 21, "int32": 23, "int64": 20, "boolean": 16, "float": 700, "double": 701, "string": 25,
    "bytes": 17, DECIMAL: 1700, VARIABLE_SCALE: 1700, POINT: 600, "io.debezium.data.Uuid": 2950,
    "io.debezium.data.Json": 114, "io.debezium.data.Xml": 142, "io.debezium.data.Tsvector": 3614,
    "io.debezium.data.Bits": 1562, **{name: OID_OF[type_name] for name, (_, type_name) in READERS.items()},
}  # fmt: skip
_SPECIAL_DECIMALS: Final = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}
_TIME: Final = re.compile(r"(Micro|Nano|Iso|Zoned)Time$")
"""In arrays of these Debezium cuts off what is below a millisecond."""
_KEEPS_NULL_ARRAYS: Final = frozenset({"int32", "int64"})
"""Element types whose arrays have a placeholder of their own, so that null is NULL."""


def type_oid_of(schema: JsonSchema) -> int:
    """PostgreSQL's type that is nearest to a form; text when there is none."""
    if schema["type"] == "array":
        element = type_oid_of(schema["items"])
        return next((oid for oid in OID_OF.values() if TypeCatalog().type(oid).of == element), OID_OF["_text"])
    return _OIDS.get(schema.get("name", ""), _OIDS.get(schema["type"], OID_OF["text"]))


class ValueReader:
    """One column's values. `known`: its type in the source, if a catalog says it. `marked`: the writer marks what it
    has lost, so that a form that may hide a loss does not count as one. `trusts_placeholder`: the placeholder
    stands for an unchanged value and nothing else. `foreign`: the form is not one of the type that it is for."""

    def __init__(
        self,
        schema: JsonSchema,
        known: ResolvedType | None,
        *,
        catalog: TypeCatalog,
        options: DebeziumOptions,
        lose: Lose,
        marked: bool,
        trusts_placeholder: bool = False,
        foreign: bool = False,
    ) -> None:
        self._foreign = foreign
        self._trusts_placeholder = trusts_placeholder
        self._schema, self._known, self._options, self._lose, self._marked = schema, known, options, lose, marked
        self._name, self._type = schema.get("name", ""), schema["type"]
        self._catalog = catalog
        self._pg = known.type.name if known is not None else ""
        self._element = self._element_reader() if self._type == "array" else None
        self._placeholders = self._placeholder_forms()
        self._convert = self._choose()

    def read(self, value: Any) -> Value:
        """Text form, NULL or UNCHANGED. Raises `ValueError` or `TypeError` for a value that is not of the form."""
        if self._foreign:
            self._lose(Loss.UNKNOWN_TYPE)
        if value is None:
            self._judge_null()
            return None
        if value in self._placeholders:
            if not self._trusts_placeholder:
                self._doubt(Loss.UNCHANGED)
            return UNCHANGED
        return self._convert(value)

    def _doubt(self, loss: Loss) -> None:
        """What the form alone makes doubtful; a writer that marks its losses has not marked this one."""
        if not self._marked:
            self._lose(loss)

    def _judge_null(self) -> None:
        if self._name in (DECIMAL, VARIABLE_SCALE) and self._pg != "money":
            self._doubt(Loss.NULL_DECIMAL)
        elif self._is_array() and self._schema.get("items", {}).get("type") not in _KEEPS_NULL_ARRAYS:
            self._doubt(Loss.NULL_ARRAY)
        elif self._name == "io.debezium.time.NanoTimestamp":
            self._doubt(Loss.INFINITE)
        elif self._pg == "name" or (self._type == "string" and self._is_binary()):
            self._doubt(Loss.UNCHANGED)

    def _placeholder_forms(self) -> list[Any]:
        text = self._options.unavailable_value_placeholder
        coded = [base64.b64encode(text.encode()).decode(), base64.urlsafe_b64encode(text.encode()).decode()]
        if self._type == "array":
            digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
            likeness = str(uuid.UUID(bytes=digest, version=3))
            mapped = dump({text: text})
            return [[text], [coded[0]], [coded[1]], list(text.encode()), [likeness], [mapped], [{text: text}]]
        if self._type == "map":
            return [{text: text}]
        if self._type == "string":
            return [text, dump({text: text}), *coded]
        return coded if self._type == "bytes" else []

    def _element_reader(self) -> "ValueReader":
        known = None
        if self._known is not None and self._known.type.kind == "array":
            known = self._catalog.resolve(self._known.type.of, self._known.modifier)
        return ValueReader(
            self._schema["items"],
            known,
            catalog=self._catalog,
            options=self._options,
            lose=self._lose,
            marked=self._marked,
        )

    def _choose(self) -> ReadValue:
        if self._name in READERS:
            read, _ = READERS[self._name]
            digits = self._known.modifier if self._known is not None and self._known.modifier != -1 else 6
            return lambda value: read(value, self._doubt_or_lose, digits)
        by_name: dict[str, ReadValue] = {
            DECIMAL: self._decimal,
            VARIABLE_SCALE: lambda value: decimal_text(value["value"], value["scale"]),
            POINT: self._point,
            "io.debezium.data.Bits": self._bits,
            "io.debezium.data.geometry.Geometry": lambda value: base64.b64decode(value["wkb"]).hex().upper(),
            "io.debezium.data.geometry.Geography": lambda value: base64.b64decode(value["wkb"]).hex().upper(),
        }
        by_type: dict[str, ReadValue] = {
            "int8": str, "int16": str, "int32": str, "int64": str, "boolean": self._boolean, "float": self._float,
            "double": self._float, "string": self._string, "bytes": self._bytes, "array": self._array,
            "map": hstore_text,
        }  # fmt: skip
        return by_name.get(self._name) or by_type.get(self._type) or self._unknown

    def _doubt_or_lose(self, loss: Loss) -> None:
        """An extreme number is a loss whoever wrote it; the others are doubts about the form."""
        if loss is Loss.INFINITE:
            self._lose(loss)
        else:
            self._doubt(loss)

    def _decimal(self, value: Any) -> str:
        text = decimal_text(value, int(self._schema["parameters"]["scale"]))
        return money_text(text) if self._pg == "money" else text

    def _boolean(self, value: Any) -> str:
        if self._pg in ("bit", "varbit"):
            return "1" if value else "0"
        return "t" if value else "f"

    def _float(self, value: Any) -> str:
        if self._pg in ("numeric", "money"):
            self._lose(Loss.DOUBLE)
            return value if isinstance(value, str) else repr(float(value))
        return float_text(float(value), single=self._type == "float")

    def _string(self, value: Any) -> str:
        text: str = value
        if self._pg == "hstore":
            return hstore_text(json.loads(text))
        if self._pg == "money":
            return money_text(text)
        if self._pg == "numeric":
            return _SPECIAL_DECIMALS.get(text, text)
        if self._pg == "bytea":
            return f"\\x{self._binary(text).hex()}"
        if self._known is not None and self._is_opaque():
            return self._binary(text).decode()
        return text

    def _is_array(self) -> bool:
        return self._type == "array" or (self._known is not None and self._known.type.kind == "array")

    def _is_binary(self) -> bool:
        """Debezium writes null for an unchanged value of these, but in the modes bytes and hex."""
        is_base64 = self._options.binary_handling_mode.startswith("base64")
        return is_base64 and (self._pg == "bytea" or self._is_opaque())

    def _is_opaque(self) -> bool:
        """Written as bytes of its text, which a mode has made a string."""
        return (
            "name" not in self._schema
            and self._known is not None
            and (
                self._known.type.kind in ("composite", "multirange")
                or self._pg in _OPAQUE
                or self._pg in _NEVER_STRINGS
                or (self._known.type.oid >= 16_384 and self._pg != "citext" and self._known.type.kind != "enum")
            )
        )

    def _binary(self, text: str) -> bytes:
        mode = self._options.binary_handling_mode
        if mode == "hex":
            return bytes.fromhex(text)
        return base64.urlsafe_b64decode(text) if mode == "base64-url-safe" else base64.b64decode(text)

    def _bytes(self, value: Any) -> str:
        data = base64.b64decode(value)
        return f"\\x{data.hex()}" if self._pg in ("", "bytea") else data.decode()

    def _bits(self, value: Any) -> str:
        number = int.from_bytes(base64.b64decode(value), "little")
        bits = f"{number:b}" if number else ""
        if self._pg == "bit" and self._known is not None:
            return bits.rjust(max(self._known.modifier, 1), "0")
        self._doubt(Loss.BITS)
        return bits

    def _point(self, value: Any) -> str:
        x, y = (float_text(float(value[name]), single=False) for name in ("x", "y"))
        return f"({x},{y})"

    def _array(self, value: Any) -> str:
        assert self._element is not None
        if value and all(each is None for each in value):
            self._doubt(Loss.NESTED_ARRAY)
        if self._element._name in (DECIMAL, VARIABLE_SCALE) and None in value:
            self._doubt(Loss.NULL_DECIMAL)
        if _TIME.search(self._element._name):
            self._doubt(Loss.MILLISECONDS)
        elements = [None if each is None else self._element._convert(each) for each in value]
        return array_text(elements)

    def _unknown(self, value: Any) -> str:
        self._lose(Loss.UNKNOWN_TYPE)
        return dump(value)


_NEVER_STRINGS: Final = frozenset({*INTEGERS, "float4", "float8", "bool"})
"""Debezium writes the elements of an array of domains over these as bytes."""
_OPAQUE: Final = frozenset(
    {
        "lseg", "path", "box", "polygon", "line", "circle", "tsquery", "pg_lsn", "jsonpath", "xid", "cid", "tid",
        "xid8", "txid_snapshot", "pg_snapshot", "refcursor", "unknown",
    }
)  # fmt: skip
