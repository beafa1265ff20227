"""Checksums of rows, and what identifies a row to a verification. Pure."""

from dataclasses import dataclass
from typing import Final

Key = tuple[str, ...]
_HASH_SPACE: Final = 1 << 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksum:
    """Of a range: rows, and the sum of each of two 64-bit hashes."""

    count: int
    sums: tuple[int, int]


NO_ROWS: Final = Checksum(count=0, sums=(0, 0))


def fold(total: Checksum, chunk: Checksum) -> Checksum:
    """The checksum of two ranges together; order does not matter."""
    first, second = ((a + b) % _HASH_SPACE for a, b in zip(total.sums, chunk.sums, strict=True))
    return Checksum(count=total.count + chunk.count, sums=(first, second))


def hexadecimal(checksum: Checksum) -> str:
    return "".join(f"{part % _HASH_SPACE:016x}" for part in checksum.sums)
