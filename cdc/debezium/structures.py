"""Arrays, hstore, points, geometry and binary values. Pure."""

import base64
import hashlib
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any, Final

from cdc.debezium.codec import NULL, Codec, Encode, JsonSchema, Lose, Loss, base64_text, dump, quoted, semantic
from cdc.debezium.numbers import float_json
from cdc.debezium.options import BinaryHandling, DebeziumOptions

UNBOUNDED_BITS: Final = 2_147_483_647
POINT: Final = "io.debezium.data.geometry.Point"
_BOUNDS = re.compile(r"^((?:\[[+-]?\d+:[+-]?\d+\])+)=")
_FROM_ONE = re.compile(r"\[1:\d+\]")
_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|NULL)(?:, )?')
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_EWKB_HAS_SRID: Final = 0x20000000

ArrayValue = list[Any]
"""Nested lists of element texts and None."""


def binary_json(mode: BinaryHandling) -> Callable[[bytes], str]:
    if mode == "hex":
        return lambda data: f'"{data.hex()}"'
    if mode == "base64-url-safe":
        return lambda data: f'"{base64.urlsafe_b64encode(data).decode()}"'
    return base64_text


def binary_schema(mode: BinaryHandling) -> JsonSchema:
    return {"type": "bytes" if mode == "bytes" else "string"}


def bytea_codec(options: DebeziumOptions) -> Codec:
    write = binary_json(options.binary_handling_mode)
    return Codec(
        schema=binary_schema(options.binary_handling_mode),
        encode=lambda text: write(bytes.fromhex(text[2:])),
        unavailable=_unavailable_binary(options),
    )


def opaque_codec(options: DebeziumOptions) -> Codec:
    """A type that Debezium has no form for: the bytes of its text."""
    write = binary_json(options.binary_handling_mode)
    return Codec(
        schema=binary_schema(options.binary_handling_mode),
        encode=lambda text: write(text.encode()),
        unavailable=_unavailable_binary(options),
    )


def _unavailable_binary(options: DebeziumOptions) -> str:
    """In hexadecimal mode the bare placeholder, which is no hexadecimal; else its bytes like any others."""
    placeholder = options.unavailable_value_placeholder
    if options.binary_handling_mode == "hex":
        return quoted(placeholder)
    return binary_json(options.binary_handling_mode)(placeholder.encode())


def bits_codec(name: str, modifier: int, lose: Lose) -> Codec:
    """One bit is a boolean; more are bytes, the last bit first, without leading zeros."""
    length = UNBOUNDED_BITS if modifier == -1 else modifier
    if length == 1:
        return Codec(schema={"type": "boolean"}, encode=lambda text: "true" if text == "1" else "false")

    def encode(text: str) -> str:
        if name == "varbit" and not text.startswith("1") and text:
            lose(Loss.BITS)
        number = int(text or "0", 2)
        return base64_text(number.to_bytes((number.bit_length() + 7) >> 3, "little"))

    return Codec(schema=semantic("bytes", "io.debezium.data.Bits", parameters={"length": str(length)}), encode=encode)


def point_codec() -> Codec:
    fields = [
        {"type": "double", "optional": False, "field": "x"},
        {"type": "double", "optional": False, "field": "y"},
        {"type": "bytes", "optional": True, "field": "wkb"},
        {"type": "int32", "optional": True, "field": "srid"},
    ]

    def encode(text: str) -> str:
        x, _, y = text.strip("()").partition(",")
        wkb = struct.pack("<BIdd", 1, 1, float(x), float(y))
        return f'{{"x":{float_json(x)},"y":{float_json(y)},"wkb":{base64_text(wkb)},"srid":null}}'

    return Codec(
        schema={"type": "struct", "fields": fields, "name": POINT, "version": 1, "doc": "Geometry (POINT)"},
        encode=encode,
    )


def geometry_codec(name: str) -> Codec:
    """PostGIS: its hexadecimal EWKB as bytes, and the reference system that is written in it."""
    fields = [
        {"type": "bytes", "optional": False, "field": "wkb"},
        {"type": "int32", "optional": True, "field": "srid"},
    ]

    def encode(text: str) -> str:
        data = bytes.fromhex(text)
        order = "<" if data[0] else ">"
        (kind,) = struct.unpack_from(f"{order}I", data, 1)
        srid = struct.unpack_from(f"{order}i", data, 5)[0] if kind & _EWKB_HAS_SRID else NULL
        return f'{{"wkb":{base64_text(data)},"srid":{srid}}}'

    full = f"io.debezium.data.geometry.{name.capitalize()}"
    return Codec(schema={"type": "struct", "fields": fields, "name": full, "version": 1}, encode=encode)


def hstore_codec(options: DebeziumOptions) -> Codec:
    placeholder = dump({options.unavailable_value_placeholder: options.unavailable_value_placeholder})
    if options.hstore_handling_mode == "json":
        return Codec(
            schema=semantic("string", "io.debezium.data.Json"),
            encode=lambda text: quoted(dump(parse_hstore(text))),
            unavailable=quoted(placeholder),
        )
    schema = {
        "type": "map",
        "keys": {"type": "string", "optional": False},
        "values": {"type": "string", "optional": True},
    }
    return Codec(schema=schema, encode=lambda text: dump(parse_hstore(text)), unavailable=placeholder)


def parse_hstore(text: str) -> dict[str, str | None]:
    """Raises `ValueError` when the text is not hstore's own output form."""
    found: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        match = _HSTORE.match(text, at)
        if match is None:
            raise ValueError(f"no hstore in {text[:40]!r}")
        key, value = match.groups()
        found[_UNESCAPE.sub(r"\1", key)] = None if value is None else _UNESCAPE.sub(r"\1", value)
        at = match.end()
    return found


def hstore_text(pairs: dict[str, str | None]) -> str:
    """hstore's text form. The server orders keys by length, then by bytes, and so does this."""

    def quote(part: str) -> str:
        return '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'

    ordered = sorted(pairs.items(), key=lambda pair: (len(pair[0].encode()), pair[0].encode()))
    return ", ".join(f"{quote(key)}=>{'NULL' if value is None else quote(value)}" for key, value in ordered)


def array_codec(element: Codec, placeholder: str, lose: Lose) -> Codec:
    """One dimension beginning at 1; what is inside of more dimensions becomes null, as with Debezium."""
    write = element.encode or str

    def encode(text: str) -> str:
        bounds, elements = parse_array(text)
        if bounds:
            lose(Loss.NESTED_ARRAY)
        parts = []
        for each in elements:
            if each.__class__ is list:
                lose(Loss.NESTED_ARRAY)
                parts.append(NULL)
            else:
                parts.append(NULL if each is None else write(each))
        return f"[{','.join(parts)}]"

    return Codec(
        schema={"type": "array", "items": {**element.schema, "optional": True}},
        encode=encode,
        unavailable=_unavailable_array(element, placeholder),
    )


def _unavailable_array(element: Codec, placeholder: str) -> str | None:
    if element.schema["type"] in ("int32", "int64") and "name" not in element.schema:
        return dump(list(placeholder.encode()))
    if element.schema.get("name") == "io.debezium.data.Uuid":
        digest = hashlib.md5(placeholder.encode(), usedforsecurity=False).digest()
        return f'["{uuid.UUID(bytes=digest, version=3)}"]'
    return None if element.unavailable is None else f"[{element.unavailable}]"


def parse_array(text: str) -> tuple[str, ArrayValue]:
    """Bounds that are not 1 (`[2:3]`, else empty) and elements of `{a,"b c",NULL,{…}}`. Raises `ValueError`."""
    bounds = ""
    if text[:1] == "[" and (match := _BOUNDS.match(text)):
        bounds = "" if not _FROM_ONE.sub("", match[1]) else match[1]
        text = text[match.end() :]
    if text[:1] != "{" or text[-1:] != "}":
        raise ValueError(f"no array in {text[:40]!r}")
    inner = text[1:-1]
    if '"' not in inner and "{" not in inner:
        if not inner:
            return bounds, []
        return bounds, [None if part in ("NULL", "null") else part for part in inner.split(",")]
    return bounds, _nested(text)


def _nested(text: str) -> ArrayValue:
    stack: list[ArrayValue] = [[]]
    at = 0
    while at < len(text):
        character = text[at]
        if character == "{":
            stack.append([])
            at += 1
        elif character == "}":
            done = stack.pop()
            if not stack:
                raise ValueError(f"unbalanced array {text[:40]!r}")
            stack[-1].append(done)
            at += 1
        elif character == ",":
            at += 1
        else:
            element, at = _element(text, at)
            stack[-1].append(element)
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"unbalanced array {text[:40]!r}")
    elements: ArrayValue = stack[0][0]
    return elements


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^,{}\"]+")


def _element(text: str, at: int) -> tuple[str | None, int]:
    if match := _QUOTED.match(text, at):
        return _UNESCAPE.sub(r"\1", match[1]) if "\\" in match[1] else match[1], match.end()
    if match := _BARE.match(text, at):
        return None if match[0].upper() == "NULL" else match[0], match.end()
    raise ValueError(f"no array element at {text[at : at + 20]!r}")


_PLAIN = re.compile(r"[^\s,{}\"\\]+")


def array_text(elements: ArrayValue) -> str:
    """PostgreSQL's text form: quoted only where it has to be."""

    def one(element: str | None) -> str:
        if element is None:
            return "NULL"
        if _PLAIN.fullmatch(element) and element.upper() != "NULL":
            return element
        return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(one(element) for element in elements) + "}"


__all__ = [
    "Encode",
    "array_codec",
    "array_text",
    "bits_codec",
    "bytea_codec",
    "geometry_codec",
    "hstore_codec",
    "hstore_text",
    "opaque_codec",
    "parse_array",
    "parse_hstore",
    "point_codec",
]
