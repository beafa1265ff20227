"""MySQL's packed decimals → text. Pure. Nine digits lie in four bytes, fewer in fewer; the sign is the top bit."""

from typing import Final

_BYTES_OF_DIGITS: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def decimal_bytes(precision: int, scale: int) -> int:
    """How many bytes a DECIMAL(precision, scale) takes."""
    whole = precision - scale
    return whole // 9 * 4 + _BYTES_OF_DIGITS[whole % 9] + scale // 9 * 4 + _BYTES_OF_DIGITS[scale % 9]


def decimal_text(data: bytes, precision: int, scale: int) -> str:
    """`-123.4500` with exactly `scale` digits after the point."""
    negative = not data[0] & 0x80
    packed = bytes([data[0] ^ 0x80, *data[1:]])
    if negative:
        packed = bytes(byte ^ 0xFF for byte in packed)
    whole_digits = precision - scale
    groups = [whole_digits % 9, *[9] * (whole_digits // 9)]
    digits, at = _groups(packed, 0, groups)
    fraction, _ = _groups(packed, at, [*[9] * (scale // 9), scale % 9])
    text = (digits.lstrip("0") or "0") + (f".{fraction}" if scale else "")
    return f"-{text}" if negative and text.strip("0.") else text


def _groups(packed: bytes, at: int, groups: list[int]) -> tuple[str, int]:
    parts = []
    for count in groups:
        if count:
            size = _BYTES_OF_DIGITS[count]
            number = f"{int.from_bytes(packed[at : at + size], 'big'):0{count}d}"
            if len(number) > count:
                raise IndexError(f"a group of {count} digits holds {number}")
            parts.append(number)
            at += size
    return "".join(parts), at
