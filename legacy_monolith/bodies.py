"""Reading requests: JSON bodies against a table of fields, query parameters against ranges."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from flask import request

from legacy_monolith.errors import Invalid

MAX_INT4 = 2**31 - 1
MAX_INT8 = 2**63 - 1
_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
_DIGITS = re.compile(r"[0-9]{1,19}")

Check = Callable[[str, Any], Any]
"""Takes the field's name and its JSON value; returns the value to store or raises Invalid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a body."""

    check: Check
    required: bool = False


Fields = Mapping[str, Field]


def read_body(fields: Fields) -> dict[str, Any]:
    """The checked fields of a body that creates something: required ones are there, unknown ones are not."""
    values = _checked(_json_object(), fields)
    for name, field in fields.items():
        if field.required and name not in values:
            raise Invalid(f"{name} is required")
    return values


def read_change(fields: Fields) -> dict[str, Any]:
    """The checked fields of a body that changes something: any of them, at least one."""
    values = _checked(_json_object(), fields)
    if not values:
        raise Invalid(f"nothing to change: give at least one of {', '.join(fields)}")
    return values


def read_optional_body(fields: Fields) -> dict[str, Any]:
    """As `read_body`, and no body at all is an empty one."""
    return read_body(fields) if request.get_data() else {}


def check_fields(values: Any, fields: Fields, where: str) -> dict[str, Any]:
    """The checked fields of an object inside a body."""
    if not isinstance(values, dict):
        raise Invalid(f"{where} must be an object")
    checked = _checked(values, fields)
    for name, field in fields.items():
        if field.required and name not in checked:
            raise Invalid(f"{where}: {name} is required")
    return checked


def query_integer(name: str, default: int | None, low: int = 0, high: int = MAX_INT8) -> int | None:
    """An integer query parameter within low..high."""
    given = request.args.get(name)
    if given is None:
        return default
    if not _DIGITS.fullmatch(given) or not low <= int(given) <= high:
        raise Invalid(f"{name} must be an integer from {low} to {high}")
    return int(given)


def query_limit() -> int:
    """`limit`: 1..100, default 20."""
    return query_integer("limit", 20, 1, 100) or 20


def _json_object() -> dict[str, Any]:
    try:
        body = json.loads(request.get_data(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid("the body is not JSON") from error
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _checked(values: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    if unknown := values.keys() - fields.keys():
        raise Invalid(f"unknown field: {', '.join(sorted(unknown))[:200]}")
    return {name: fields[name].check(name, value) for name, value in values.items()}


# --- checks -----------------------------------------------------------------------------------------------------------


def text(least: int, most: int | None) -> Check:
    """A string of least..most characters that PostgreSQL can hold."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a string")
        if len(value) < least or (most is not None and len(value) > most):
            raise Invalid(f"{name} must have {least} to {most} characters")
        if not _storable(value):
            raise Invalid(f"{name} has a character that cannot be stored")
        return value

    return check


def pattern(expression: str) -> Check:
    """A string that matches as a whole."""
    compiled = re.compile(expression)

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise Invalid(f"{name} must match {expression}")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """An integer within low..high; true and false are none."""

    def check(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Invalid(f"{name} must be an integer from {low} to {high}")
        return value

    return check


def one_of(choices: tuple[str, ...]) -> Check:
    """One of some strings."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Invalid(f"{name} must be one of {', '.join(choices)}")
        return value

    return check


def or_null(inner: Check) -> Check:
    """The inner check, or null."""

    def check(name: str, value: Any) -> Any:
        return None if value is None else inner(name, value)

    return check


def amount(name: str, value: Any) -> Decimal:
    """Money as a string of up to ten digits and at most two decimals."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise Invalid(f'{name} must be a string like "12.34"')
    return Decimal(value)


def texts(name: str, value: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list):
        raise Invalid(f"{name} must be a list of strings")
    one = text(0, None)
    return [one(name, item) for item in value]


def document(name: str, value: Any) -> str:
    """A JSON object, returned as the text to store."""
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be an object")
    written = json.dumps(value, ensure_ascii=False)
    if "\\u0000" in written or not _storable(written):
        raise Invalid(f"{name} has a character that cannot be stored")
    return written


def objects(name: str, value: Any) -> list[Any]:
    """A list with at least one entry."""
    if not isinstance(value, list) or not value:
        raise Invalid(f"{name} must be a list that is not empty")
    return value


key = integer(0, MAX_INT8)


def _storable(value: str) -> bool:
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
