"""The changes of one binlog transaction: in memory while they are few, in a spill file beyond that. Pure.

What is spilled are the row events as the server sent them; they are decoded anew whenever the changes are iterated.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, Protocol

from cdc.events import Change, Iterated, Message, RowChange
from cdc.lsn import Lsn
from cdc.mysql.binlog import Rows
from cdc.mysql.table_map import TableReader
from cdc.mysql.wire import malformed

_HEAD: Final = struct.Struct(">cI")
_MESSAGE_HEAD: Final = struct.Struct(">QH")
_MESSAGE: Final = b"m"


class Large(Protocol):
    """A spilled record too large to be handed over as bytes."""

    @property
    def left(self) -> int: ...

    def take(self, size: int) -> bytes: ...


class Spill(Protocol):
    """Records in order, written once and read again and again."""

    def append(self, record: bytes) -> None: ...

    def records(self) -> Iterable[bytes | Large]: ...


Mark = tuple[int, int, int]
"""A savepoint: changes in memory, records in the spill, changes in all."""


def row_changes(reader: TableReader, rows: Rows) -> list[RowChange]:
    """The changes of one row event."""
    relation, images = reader.relation, reader.images(rows)
    if rows.op == "u":
        if len(images) % 2:
            raise malformed(f"an update of {relation.name} lacks its last new row")
        pairs = zip(images[::2], images[1::2], strict=True)
        return [RowChange(relation=relation, op="u", new=new, old=old) for old, new in pairs]
    if rows.op == "c":
        return [RowChange(relation=relation, op="c", new=new) for new in images]
    return [RowChange(relation=relation, op="d", new=None, old=old) for old in images]


class ChangeBuffer:
    """Collects what one transaction does. `size`: bytes of its row events so far."""

    def __init__(self, *, memory_bytes: int, new_spill: Callable[[], Spill]) -> None:
        self._memory_bytes, self._new_spill = memory_bytes, new_spill
        self._head: list[Change] = []
        self._spill: Spill | None = None
        self._readers: list[TableReader] = []
        self._numbers: dict[int, int] = {}
        self._records = 0
        self._skipped: list[tuple[int, int]] = []
        self._count = 0
        self.size = 0

    def __len__(self) -> int:
        return self._count

    def add_rows(self, reader: TableReader, rows: Rows, size: int) -> int:
        """Decode a row event, which proves its values, and keep it. Returns how many changes it holds."""
        changes = row_changes(reader, rows)
        if self._fits(size):
            self._head += changes
        else:
            number = self._numbers.get(id(reader))
            if number is None:
                number = self._numbers[id(reader)] = len(self._readers)
                self._readers.append(reader)
            self._write(_HEAD.pack(rows.op.encode(), number) + rows.data)
        self._count += len(changes)
        return len(changes)

    def add(self, change: Change, size: int) -> None:
        """Keep one change that is no row. Only messages can follow so many rows that they are spilled."""
        if self._fits(size) or not isinstance(change, Message):
            self._head.append(change)
        else:
            prefix = change.prefix.encode()
            head = _HEAD.pack(_MESSAGE, 0) + _MESSAGE_HEAD.pack(change.lsn, len(prefix))
            self._write(head + prefix + change.content)
        self._count += 1

    def mark(self) -> Mark:
        return len(self._head), self._records, self._count

    def rewind(self, mark: Mark) -> None:
        """Forget what came after a mark."""
        in_memory, records, count = mark
        del self._head[in_memory:]
        if self._records > records:
            self._skipped.append((records, self._records))
        self._count = count

    def finish(self) -> Collection[Change]:
        """What there is; the buffer is not used any more."""
        if self._spill is None:
            return tuple(self._head)
        return SpilledChanges(tuple(self._head), self._spill, tuple(self._readers), tuple(self._skipped), self._count)

    def _fits(self, size: int) -> bool:
        self.size += size
        return self._spill is None and self.size <= self._memory_bytes

    def _write(self, record: bytes) -> None:
        if self._spill is None:
            self._spill = self._new_spill()
        self._spill.append(record)
        self._records += 1


class SpilledChanges(Iterated[Change]):
    """Changes that are decoded while they are iterated."""

    def __init__(
        self,
        head: tuple[Change, ...],
        spill: Spill,
        readers: tuple[TableReader, ...],
        skipped: tuple[tuple[int, int], ...],
        count: int,
    ) -> None:
        self._head, self._spill, self._readers, self._skipped, self._count = head, spill, readers, skipped, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Change]:
        yield from self._head
        for number, record in enumerate(self._spill.records()):
            if not any(first <= number < end for first, end in self._skipped):
                yield from self._changes(record if isinstance(record, bytes) else record.take(record.left))

    def _changes(self, record: bytes) -> Iterable[Change]:
        kind, number = _HEAD.unpack_from(record)
        if kind == _MESSAGE:
            lsn, size = _MESSAGE_HEAD.unpack_from(record, _HEAD.size)
            at = _HEAD.size + _MESSAGE_HEAD.size
            prefix, content = record[at : at + size].decode(), record[at + size :]
            return (Message(prefix=prefix, content=content, transactional=True, lsn=Lsn(lsn)),)
        reader = self._readers[number]
        return row_changes(reader, reader.whole_rows(kind.decode(), record[_HEAD.size :]))
