"""JSON numbers and decimals → PostgreSQL text forms. Pure."""

import base64
import math
import struct
from decimal import Decimal
from typing import Final

_FIXED_BELOW: Final = {True: 6, False: 15}
"""PostgreSQL prints an exponent from this power of ten on (single, double precision) and below 10^-4."""


def float_text(number: float, *, single: bool) -> str:
    """The shortest digits that give the same float again, as PostgreSQL prints them."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    sign, digits, exponent = Decimal(_shortest_single(number) if single else repr(number)).as_tuple()
    shown = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not shown:
        return "-0" if sign else "0"
    assert isinstance(exponent, int)
    power = len("".join(map(str, digits)).lstrip("0")) + exponent - 1
    if -4 <= power < _FIXED_BELOW[single]:
        text = _fixed(shown, power)
    else:
        fraction = f".{shown[1:]}" if len(shown) > 1 else ""
        text = f"{shown[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return f"-{text}" if sign else text


def _fixed(digits: str, power: int) -> str:
    if power < 0:
        return "0." + "0" * (-power - 1) + digits
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def _shortest_single(number: float) -> str:
    wanted = _single(number)
    for digits in range(9):
        text = f"{number:.{digits}e}"
        if _single(float(text)) == wanted:
            return text
    raise ValueError(f"{number!r} is no single-precision number")


def _single(number: float) -> bytes:
    """Bytes of the nearest single-precision float; none when there is none."""
    try:
        return struct.pack("<f", number)
    except OverflowError:
        return b""


def decimal_text(unscaled_base64: str, scale: int) -> str:
    """Bytes of a whole number and its scale, as `numeric` prints it. Raises `ValueError`."""
    unscaled = int.from_bytes(base64.b64decode(unscaled_base64), "big", signed=True)
    if scale <= 0:
        return str(unscaled * 10**-scale)
    digits = str(abs(unscaled)).rjust(scale + 1, "0")
    return f"{'-' if unscaled < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def money_text(amount: str) -> str:
    """`-1234.56` as `money` prints it in the C locale: `-$1,234.56`. Raises `ValueError`."""
    return f"{Decimal(amount):,.2f}".replace("-", "-$") if amount.startswith("-") else f"${Decimal(amount):,.2f}"
