"""A transaction too long for one record ⇄ bytes, in bounded memory. Pure.

It is a head, then pieces in this order: a relation before the first change that needs it, parts of some changes each,
runs of inserts, and the large values of a change, cut up, before the part with that change. A part names a large value
by its number within the part, as an extension type that no text can be mistaken for.
"""

import struct
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import msgpack
import numpy as np

from cdc.changelog.codec import (
    RelationTable,
    change_fields,
    change_from,
    encode_relation,
    foreign_content,
    pack_unchanged,
    unpack,
    unpack_ext,
)
from cdc.events import UNCHANGED, Change, Relation, RowChange, Transaction, Truncate
from cdc.growing_text import GrowingText
from cdc.insert_run import InsertRun, Run, runs_of
from cdc.lsn import Lsn

PART_BYTES: Final = 256 << 10
"""A part ends with the first change that reaches this size."""
LARGE_VALUE: Final = 256 << 10
"""A value of this many characters or bytes and more travels in pieces of its own."""
LARGE_CODE: Final = 2

_LENGTHS: Final = "<u4"
_NUMBER: Final = struct.Struct(">I")
_STARTS, _BINARY = 1, 2
"""First byte of a value's piece: it is the first one; the value is of bytes, not of text."""


class RelationPiece(NamedTuple):
    body: bytes


class ValuePiece(NamedTuple):
    body: bytes


class PartPiece(NamedTuple):
    body: bytes


class RunPiece(NamedTuple):
    body: bytes


Piece = RelationPiece | ValuePiece | PartPiece | RunPiece


class Head(NamedTuple):
    """All of a transaction but its changes."""

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int
    origin: str | None
    changes: int


def encode_head(transaction: Transaction) -> bytes:
    packed: bytes = msgpack.packb(
        (
            transaction.xid,
            transaction.commit_lsn,
            transaction.end_lsn,
            transaction.commit_time_us,
            transaction.origin,
            len(transaction.changes),
        )
    )
    return packed


def decode_head(data: bytes | memoryview) -> Head:
    return Head(*unpack(data))


def encode_pieces(changes: Collection[Change], table: RelationTable) -> Iterator[Piece]:
    """`table` takes the new relations."""
    packer = msgpack.Packer(default=pack_unchanged, autoreset=False)
    changes_in_part, values_in_part = 0, False
    last: Relation | None = None
    for change in runs_of(changes):
        for relation in _relations(change):
            if relation is not last:
                last = relation
                if table.number(relation) is None:
                    table.add(relation)
                    yield RelationPiece(encode_relation(relation))
        if isinstance(change, Run):
            assert isinstance(change, InsertRun), "rows of a chunk are not logged"
            if changes_in_part:
                yield PartPiece(_part(packer, changes_in_part))
                changes_in_part, values_in_part = 0, False
            yield RunPiece(_encode_run(change, table))
            continue
        fields: Any = change_fields(change, table)
        del change
        if _is_large(fields):
            large: list[str | bytes] = []
            fields = _without_large(fields, large)
            for value in large:
                yield from _value_pieces(value)
            del value, large
            values_in_part = True
        packer.pack(fields)
        changes_in_part += 1
        if values_in_part or len(packer.getbuffer()) >= PART_BYTES:
            yield PartPiece(_part(packer, changes_in_part))
            changes_in_part, values_in_part = 0, False
    if changes_in_part:
        yield PartPiece(_part(packer, changes_in_part))


class PartReader:
    """The pieces of one transaction → its changes. `relations` takes those that the pieces describe."""

    def __init__(self, relations: RelationTable) -> None:
        self._relations = relations
        self._values: list[str | bytes] = []
        self._growing: GrowingText | bytearray | None = None

    def value(self, body: bytes | memoryview) -> None:
        """Take a piece of a large value."""
        try:
            if body[0] & _STARTS:
                self._end_value()
                self._growing = bytearray() if body[0] & _BINARY else GrowingText()
            growing = self._growing
            if isinstance(growing, GrowingText):
                growing.add(body[1:])
            elif growing is not None:
                growing += body[1:]
        except (IndexError, ValueError) as error:
            raise foreign_content(error) from None

    def part(self, body: bytes | memoryview) -> Iterator[Change]:
        """The changes of a part, each of which is decoded now."""
        try:
            self._end_value()
        except ValueError as error:
            raise foreign_content(error) from None
        values, self._values = self._values, []

        def large(code: int, data: bytes) -> object:
            if code == LARGE_CODE:
                return values[_NUMBER.unpack(data)[0]]
            return unpack_ext(code, data)

        changes = [change_from(fields, self._relations) for fields in unpack(body, large)]
        values.clear()
        changes.reverse()
        while changes:
            yield changes.pop()

    def run(self, body: bytes | memoryview) -> InsertRun:
        """A run of inserts, which stay as they are."""
        number, streamed, lengths, messages = unpack(body)
        return InsertRun(self._relations[number], messages, np.frombuffer(lengths, _LENGTHS).astype(np.int64), streamed)

    def _end_value(self) -> None:
        if self._growing is not None:
            growing, self._growing = self._growing, None
            self._values.append(growing.finish() if isinstance(growing, GrowingText) else bytes(growing))


def _encode_run(run: InsertRun, table: RelationTable) -> bytes:
    fields = (table.number(run.relation), run.streamed, run.lengths.astype(_LENGTHS).tobytes(), run.messages)
    packed: bytes = msgpack.packb(fields)
    return packed


def _relations(change: Change | Run) -> tuple[Relation, ...]:
    if isinstance(change, RowChange | Run):
        return (change.relation,)
    return change.relations if isinstance(change, Truncate) else ()


def _is_large(fields: Any) -> bool:
    for field in fields:
        if isinstance(field, tuple):
            for value in field:
                if value is not None and value is not UNCHANGED and len(value) >= LARGE_VALUE:
                    return True
        elif isinstance(field, bytes) and len(field) >= LARGE_VALUE:
            return True
    return False


def _without_large(value: Any, large: list[str | bytes]) -> Any:
    """`value` with each large one in it replaced by its number in `large`."""
    if isinstance(value, tuple):
        return tuple([_without_large(one, large) for one in value])
    if isinstance(value, str | bytes) and len(value) >= LARGE_VALUE:
        large.append(value)
        return msgpack.ExtType(LARGE_CODE, _NUMBER.pack(len(large) - 1))
    return value


def _value_pieces(value: str | bytes) -> Iterator[ValuePiece]:
    binary = _BINARY if isinstance(value, bytes) else 0
    for start in range(0, len(value), LARGE_VALUE):
        piece = value[start : start + LARGE_VALUE]
        flags = binary | (0 if start else _STARTS)
        yield ValuePiece(bytes([flags]) + (piece if isinstance(piece, bytes) else piece.encode()))


def _part(packer: Any, count: int) -> bytes:
    changes: bytes = packer.bytes()
    packer.reset()
    head: bytes = msgpack.Packer().pack_array_header(count)
    return head + changes
