"""A JSON body as a typed tree: exact numbers, duplicate keys seen, NaN and Infinity kept."""

import json
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

from router.compare.errors import UnreadableBody

Tree = Any
"""None, bool, int, Decimal, NonFinite, str, list[Tree] or dict[str, Tree] (DuplicateKeys where a key came twice)."""

PREVIEW_CHARS = 160


class NonFinite(Enum):
    """The three literals that Python and JavaScript write although JSON has no such numbers."""

    NAN = "NaN"
    INFINITY = "Infinity"
    NEGATIVE_INFINITY = "-Infinity"


class DuplicateKeys(dict[str, Tree]):
    """An object in which a key came more than once; as a dict it holds the last of each."""

    def __init__(self, pairs: list[tuple[str, Tree]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def repeated(self) -> list[str]:
        """The names that came more than once, sorted."""
        seen: set[str] = set()
        again: set[str] = set()
        for name, _ in self.pairs:
            (again if name in seen else seen).add(name)
        return sorted(again)


class Kind(StrEnum):
    """The JSON type of a node."""

    NULL = "null"
    BOOLEAN = "boolean"
    NUMBER = "number"
    STRING = "string"
    ARRAY = "array"
    OBJECT = "object"


_KINDS: dict[type, Kind] = {
    type(None): Kind.NULL,
    bool: Kind.BOOLEAN,
    int: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    NonFinite: Kind.NUMBER,
    str: Kind.STRING,
    list: Kind.ARRAY,
    dict: Kind.OBJECT,
    DuplicateKeys: Kind.OBJECT,
}


def kind_of(node: Tree) -> Kind:
    return _KINDS[type(node)]


def _object(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else DuplicateKeys(pairs)


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=NonFinite, object_pairs_hook=_object)
_LONG_INTEGER_DECODER = json.JSONDecoder(
    parse_float=Decimal, parse_int=Decimal, parse_constant=NonFinite, object_pairs_hook=_object
)


def parse(body: bytes) -> Tree:
    """Read a JSON body in UTF-8, -16 or -32. Raises `UnreadableBody`."""
    try:
        try:
            text = body.decode("utf-8-sig" if body.startswith(b"\xef\xbb\xbf") else "utf-8")
        except UnicodeDecodeError:
            text = body.decode(json.detect_encoding(body))
        if "\0" in text[:4]:
            text = body.decode(json.detect_encoding(body))
        return _decode(text)
    except (ValueError, ArithmeticError) as error:
        raise UnreadableBody(f"not JSON: {error}") from None
    except RecursionError:
        raise UnreadableBody("nested too deeply") from None


def _decode(text: str) -> Tree:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer longer than the interpreter's limit on digits
        return _LONG_INTEGER_DECODER.decode(text)


def identical(left: Tree, right: Tree) -> bool:
    """Same types and values throughout; unlike `==`, true is not 1. Key order does not matter."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        if len(left) != len(right):
            return False
        return all(key in right and identical(value, right[key]) for key, value in left.items())
    if kind is list:
        return len(left) == len(right) and all(map(identical, left, right))
    if kind is DuplicateKeys:
        return len(left.pairs) == len(right.pairs) and all(
            a == b and identical(x, y) for (a, x), (b, y) in zip(left.pairs, right.pairs, strict=True)
        )
    return bool(left == right)


def preview(node: Tree, limit: int = PREVIEW_CHARS) -> str:
    """Short JSON text of a node, cut at `limit` characters."""
    parts: list[str] = []
    _write(node, parts, limit)
    text = "".join(parts)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _write(node: Tree, parts: list[str], room: int) -> int:
    """Append the text of `node`; stops soon after `room` is used up. Returns what is left of it."""
    if room <= 0:
        return room
    if isinstance(node, dict):
        return _write_all(
            [(f"{json.dumps(key)}: ", value) for key, value in list(node.items())[:50]], "{}", parts, room
        )
    if isinstance(node, list):
        return _write_all([("", value) for value in node[:50]], "[]", parts, room)
    text = json.dumps(node[:room], ensure_ascii=False) if isinstance(node, str) else _scalar_text(node)
    parts.append(text)
    return room - len(text)


def _write_all(items: list[tuple[str, Tree]], brackets: str, parts: list[str], room: int) -> int:
    parts.append(brackets[0])
    room -= 2
    for index, (label, value) in enumerate(items):
        if room <= 0:
            break
        lead = (", " if index else "") + label
        parts.append(lead)
        room = _write(value, parts, room - len(lead))
    parts.append(brackets[1])
    return room


def _scalar_text(node: Tree) -> str:
    if node is None:
        return "null"
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, NonFinite):
        return node.value
    try:
        return str(node)
    except ValueError:
        return "(a very long integer)"
