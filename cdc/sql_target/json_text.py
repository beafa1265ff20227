"""JSON columns: documents as they are, PostgreSQL arrays as JSON arrays with every number digit for digit. Pure."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from cdc.sql_target.columns import SqlColumn

_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision", "oid"})
_DOCUMENTS = frozenset({"json", "jsonb"})
_DEEPEST = 6
"""PostgreSQL's own limit of array dimensions."""


def is_array(source_type: str | None) -> bool:
    return bool(source_type) and str(source_type).endswith("[]")


def array_to_json(text: str, element: str) -> str:
    """`{1,NULL}` of `integer` → `[1,null]`. Raises ValueError for shifted bounds and for what JSON has no form for."""
    if not text.startswith("{"):
        raise ValueError("is an array with bounds of its own, which JSON has not")
    tree, end = _parse(text, 0, 1)
    if end != len(text):
        raise ValueError("is no array")
    return _render(tree, element.partition("(")[0])


def parse_array(text: str) -> list[Any]:
    """`{a,"b,c",NULL,{d}}` → `["a", "b,c", None, ["d"]]`."""
    tree, end = _parse(text, 0, 1)
    if end != len(text):
        raise ValueError("is no array")
    return tree


def _parse(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    """The array that starts at `at`; returns it and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("is an array with too many dimensions")
    items: list[Any] = []
    at += 1
    if text[at : at + 1] == "}":
        return items, at + 1
    while True:
        item, at = _item(text, at, depth)
        items.append(item)
        mark = text[at : at + 1]
        if mark == "}":
            return items, at + 1
        if mark != ",":
            raise ValueError("is no array")
        at += 1


def _item(text: str, at: int, depth: int) -> tuple[Any, int]:
    first = text[at : at + 1]
    if first == "{":
        return _parse(text, at, depth + 1)
    if first == '"':
        return _quoted(text, at + 1)
    end = at
    while end < len(text) and text[end] not in ",}":
        end += 1
    word = text[at:end]
    return (None if word == "NULL" else word), end


def _quoted(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while True:
        end = at
        while end < len(text) and text[end] not in '\\"':
            end += 1
        parts.append(text[at:end])
        if end >= len(text):
            raise ValueError("is no array")
        if text[end] == '"':
            return "".join(parts), end + 1
        parts.append(text[end + 1 : end + 2])
        at = end + 2


def _render(item: Any, element: str) -> str:
    if item is None:
        return "null"
    if isinstance(item, list):
        return "[" + ",".join(_render(each, element) for each in item) + "]"
    if element in _NUMBERS:
        if not Decimal(item).is_finite():
            raise ValueError(f"holds {item}, which JSON has not")
        return str(item)
    if element == "boolean":
        return "true" if item == "t" else "false"
    if element in _DOCUMENTS:
        return str(item)
    return json.dumps(item, ensure_ascii=False)


def json_for(column: SqlColumn, source_type: str | None) -> Callable[[str], str]:
    """The check of a document on its way into `column`."""

    def convert(text: str) -> str:
        if source_type not in _DOCUMENTS:
            _load(text)
        if not column.stored_as_text:
            _refuse_changed_by_parsing(text)
        if column.numeric_affinity and _turns_into_number(text):
            raise ValueError(f"is a bare number, which {column.declared} would rewrite; declare the column TEXT")
        return text

    return convert


def _load(text: str, **options: Any) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, **options)
    except RecursionError:
        raise ValueError("is JSON nested too deep to check") from None
    except json.JSONDecodeError:
        raise ValueError("is no JSON document") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"holds {name}, which JSON has not")


def _refuse_changed_by_parsing(text: str) -> None:
    """A native JSON type keeps 64-bit integers and doubles, and one value per key."""
    _load(text, parse_int=_check_integer, parse_float=_check_float, object_pairs_hook=_check_object)


def _check_integer(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**64:
        raise ValueError(f"holds the number {digits[:40]}, of which the JSON type keeps only a double")
    return value


def _check_float(digits: str) -> float:
    value = float(digits)
    if Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"holds the number {digits[:40]}, of which the JSON type keeps only a double")
    return value


def _check_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("is a document with a key given twice, of which the JSON type keeps one")
    return found


def _turns_into_number(text: str) -> bool:
    bare = text.strip()
    if bare[:1] not in "-0123456789" or not bare:
        return False
    return not (bare == text and bare.lstrip("-").isdigit() and str(int(bare)) == bare and abs(int(bare)) < 2**63)
