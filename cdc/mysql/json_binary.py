"""MySQL's binary JSON → JSON text. Pure. Numbers keep every digit: only doubles ever are Python floats."""

import base64
import json
import struct
from typing import Final

from cdc.mysql.decimals import decimal_text
from cdc.mysql.wire import malformed

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = 0, 1, 2, 3, 4
_DOUBLE, _STRING, _OPAQUE = 11, 12, 15
_NUMBERS: Final = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q"}
_LITERALS: Final = {0: "null", 1: "true", 2: "false"}
_DATE, _TIME, _DATETIME, _TIMESTAMP, _DECIMAL = 10, 11, 12, 7, 246
_DEEPEST: Final = 100
"""The server's own limit of nesting."""

_quote = json.JSONEncoder(ensure_ascii=False).encode


def json_text(data: bytes) -> str:
    """Compact text; members in the order the server keeps them. An empty value is the server's form of JSON null."""
    if not data:
        return "null"
    try:
        return _value(data[0], data, 1, 0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise malformed(f"a JSON value is cut short or damaged ({error})") from None


def _value(kind: int, data: bytes, at: int, depth: int) -> str:
    if kind in (_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY):
        if depth > _DEEPEST:
            raise malformed("a JSON value is nested too deeply")
        return _container(kind, data, at, depth)
    if kind == _LITERAL:
        return _literal(data[at])
    if kind in _NUMBERS:
        return str(struct.unpack_from(_NUMBERS[kind], data, at)[0])
    if kind == _DOUBLE:
        return _double(struct.unpack_from("<d", data, at)[0])
    if kind == _STRING:
        size, at = _length(data, at)
        return _quote(_take(data, at, size).decode())
    if kind == _OPAQUE:
        size, start = _length(data, at + 1)
        return _opaque(data[at], _take(data, start, size))
    raise malformed(f"a JSON value of unknown type {kind}")


def _container(kind: int, data: bytes, start: int, depth: int) -> str:
    """Offsets in a container count from its own start; small ones are 2 bytes, large ones 4."""
    large, is_object = kind in (_LARGE_OBJECT, _LARGE_ARRAY), kind in (_SMALL_OBJECT, _LARGE_OBJECT)
    width = 4 if large else 2
    number = struct.Struct("<I" if large else "<H")
    (count,) = number.unpack_from(data, start)
    keys_at = start + 2 * width
    values_at = keys_at + count * (width + 2) * is_object
    parts = []
    for index in range(count):
        entry = values_at + index * (1 + width)
        text = _entry(data, entry, start, large, number, depth)
        if is_object:
            key_entry = keys_at + index * (width + 2)
            (key_at,) = number.unpack_from(data, key_entry)
            (key_size,) = struct.unpack_from("<H", data, key_entry + width)
            text = f"{_quote(_take(data, start + key_at, key_size).decode())}: {text}"
        parts.append(text)
    inner = ", ".join(parts)
    return f"{{{inner}}}" if is_object else f"[{inner}]"


def _entry(data: bytes, entry: int, start: int, large: bool, number: struct.Struct, depth: int) -> str:
    """Small values lie in the entry itself."""
    kind = data[entry]
    if kind == _LITERAL or kind in (5, 6) or (large and kind in (7, 8)):
        return _value(kind, data, entry + 1, depth + 1)
    (offset,) = number.unpack_from(data, entry + 1)
    if offset <= 0:
        raise IndexError("offset of a JSON value")
    return _value(kind, data, start + offset, depth + 1)


def _literal(code: int) -> str:
    if code not in _LITERALS:
        raise malformed(f"a JSON literal of unknown code {code}")
    return _LITERALS[code]


def _double(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise malformed("a JSON number that is none")
    return repr(value)


def _opaque(kind: int, data: bytes) -> str:
    """What JSON has no type for. The server shows dates and times as strings, other types as base64."""
    if kind == _DECIMAL:
        return decimal_text(data[2:], data[0], data[1])
    if kind in (_DATE, _TIME, _DATETIME, _TIMESTAMP):
        packed = struct.unpack("<q", data)[0]
        return _quote(_clock(kind, packed))
    return _quote(f"base64:type{kind}:{base64.b64encode(data).decode()}")


def _clock(kind: int, packed: int) -> str:
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    whole, microseconds = packed >> 24, packed & 0xFFFFFF
    if kind == _TIME:
        return f"{sign}{whole >> 12 & 1023:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}.{microseconds:06d}"
    date, clock = whole >> 17, whole & 0x1FFFF
    day = f"{(date >> 5) // 13:04d}-{(date >> 5) % 13:02d}-{date & 31:02d}"
    if kind == _DATE:
        return day
    return f"{day} {clock >> 12:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}.{microseconds:06d}"


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first; at most five bytes."""
    size = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
    raise malformed("a JSON length that does not end")


def _take(data: bytes, at: int, size: int) -> bytes:
    taken = data[at : at + size]
    if len(taken) != size:
        raise IndexError("a JSON string")
    return taken
