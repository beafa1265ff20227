"""The binary description of a table in a table map: types, metadata, and the optional part. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cdc.mysql.wire import length_encoded

INTEGERS: Final = {1: (1, 21, 21), 2: (2, 21, 23), 9: (3, 23, 23), 3: (4, 23, 20), 8: (8, 20, 1700)}
"""Type → (bytes, PostgreSQL type, PostgreSQL type when unsigned)."""
FLOAT, DOUBLE, DATE, YEAR, NEWDATE, VARCHAR, BIT = 4, 5, 10, 13, 14, 15, 16
TIMESTAMP, DATETIME, TIME = 17, 18, 19
JSON, DECIMAL, ENUM, SET, BLOB, VAR_STRING, STRING, GEOMETRY = 245, 246, 247, 248, 252, 253, 254, 255

METADATA_BYTES: Final = {
    **dict.fromkeys((FLOAT, DOUBLE, TIMESTAMP, DATETIME, TIME, JSON, BLOB, GEOMETRY, 242, 249, 250, 251, 140), 1),
    **dict.fromkeys((VARCHAR, BIT, DECIMAL, ENUM, SET, VAR_STRING, STRING, 141), 2),
}
NUMERIC: Final = frozenset({*INTEGERS, FLOAT, DOUBLE, YEAR, DECIMAL})
CHARACTER: Final = frozenset({VARCHAR, BLOB, VAR_STRING, STRING, 140, 141, 249, 250, 251})


@dataclass(kw_only=True, slots=True)
class TableDescription:
    """The optional part of a table map."""

    unsigned: list[bool] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    charsets: list[int] = field(default_factory=list)
    label_charsets: list[int] = field(default_factory=list)
    sets: list[list[bytes]] = field(default_factory=list)
    enums: list[list[bytes]] = field(default_factory=list)
    primary_key: list[int] = field(default_factory=list)


def column_types(kinds: bytes, metadata: bytes) -> list[tuple[int, bytes]]:
    """(real type, its metadata) of each column. ENUM and SET hide in the metadata of STRING."""
    found, at = [], 0
    for kind in kinds:
        size = METADATA_BYTES.get(kind, 0)
        own, at = metadata[at : at + size], at + size
        if len(own) != size:
            raise IndexError("metadata of a column")
        if kind == STRING and own[0] in (ENUM, SET):
            kind = own[0]
        found.append((kind, own))
    return found


def describe(data: bytes, kinds: Sequence[int]) -> TableDescription:
    found, at = TableDescription(), 0
    text_columns = sum(kind in CHARACTER for kind in kinds)
    label_columns = sum(kind in (ENUM, SET) for kind in kinds)
    while at < len(data):
        tag = data[at]
        size, at = length_encoded(data, at + 1)
        part, at = data[at : at + size], at + size
        if len(part) != size:
            raise IndexError("description of a table")
        if tag == 1:
            found.unsigned = _signs(part, kinds)
        elif tag == 2:
            found.charsets = _with_default(_integers(part), text_columns + _geometries(kinds))
        elif tag == 3:
            found.charsets = _integers(part)
        elif tag == 4:
            found.names = [name.decode() for name in _strings(part)]
        elif tag == 5:
            found.sets = _string_lists(part)
        elif tag == 6:
            found.enums = _string_lists(part)
        elif tag == 8:
            found.primary_key = _integers(part)
        elif tag == 9:
            found.primary_key = _integers(part)[::2]
        elif tag == 10:
            found.label_charsets = _with_default(_integers(part), label_columns)
        elif tag == 11:
            found.label_charsets = _integers(part)
    return found


def _geometries(kinds: Sequence[int]) -> int:
    return sum(kind == GEOMETRY for kind in kinds)


def _signs(part: bytes, kinds: Sequence[int]) -> list[bool]:
    """One bit per numeric column, most significant first; spread over all columns."""
    numeric = iter(range(len(part) * 8))
    spread = []
    for kind in kinds:
        bit = next(numeric) if kind in NUMERIC else None
        spread.append(bit is not None and bool(part[bit // 8] & 0x80 >> bit % 8))
    return spread


def _with_default(numbers: Sequence[int], count: int) -> list[int]:
    """The default, then pairs (which of the columns, its own)."""
    spread = [numbers[0]] * count
    for which, own in zip(numbers[1::2], numbers[2::2], strict=True):
        spread[which] = own
    return spread


def _integers(part: bytes) -> list[int]:
    found, at = [], 0
    while at < len(part):
        number, at = length_encoded(part, at)
        found.append(number)
    return found


def _strings(part: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(part):
        one, at = _string(part, at)
        found.append(one)
    return found


def _string_lists(part: bytes) -> list[list[bytes]]:
    found, at = [], 0
    while at < len(part):
        count, at = length_encoded(part, at)
        labels = []
        for _ in range(count):
            one, at = _string(part, at)
            labels.append(one)
        found.append(labels)
    return found


def _string(part: bytes, at: int) -> tuple[bytes, int]:
    size, at = length_encoded(part, at)
    if at + size > len(part):
        raise IndexError("a name")
    return part[at : at + size], at + size
