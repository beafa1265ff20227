"""Exact arithmetic and look-ups on PostgreSQL text forms. Pure; every function raises ValueError with the reason."""

import re
from collections.abc import Callable, Mapping

Convert = Callable[[str], str]

_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?\Z")


def shift_up(text: str, digits: int) -> str:
    """`('12.34', 2)` → `'1234'`: times 10^digits, exactly; the result must be a whole number."""
    sign, whole, fraction = _split(text)
    if fraction[digits:].strip("0"):
        raise ValueError(f"{text} times {10**digits} is not a whole number")
    result = (whole + fraction[:digits].ljust(digits, "0")).lstrip("0") or "0"
    return result if result == "0" else sign + result


def shift_down(text: str, digits: int) -> str:
    """`('1234', 2)` → `'12.34'`: divided by 10^digits, exactly; the result has at least `digits` decimals."""
    sign, whole, fraction = _split(text)
    padded = whole.zfill(digits + 1)
    head = padded[:-digits].lstrip("0") or "0"
    tail = padded[-digits:] + fraction
    if not (head + tail).strip("0"):
        sign = ""
    return f"{sign}{head}.{tail}"


def look_up(text: str, table: Mapping[str, str]) -> str:
    if text not in table:
        raise ValueError(f"value {text!r} is not in the lookup ({', '.join(sorted(table))})")
    return table[text]


def _split(text: str) -> tuple[str, str, str]:
    match = _DECIMAL.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a finite decimal number")
    return match[1], match[2], match[3] or ""
