"""Rows and changes of a table without a key while it is copied, in files without a name: gone with the process."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cdc.copied_rows import CopiedRows
from cdc.copy_source import FilledRows
from cdc.events import Row
from cdc.parking.payload import decode_events, encode_events
from cdc.spill import LargeRecord, SpillFile
from cdc.whole_table import Held, HeldBack

_XID: Final = struct.Struct(">Q")
_PART_BYTES: Final = 4 << 20
_PART_ROWS: Final = 20_000


class RowsOnDisk(FilledRows):
    """Filled by the copier, then read by the applier."""

    def __init__(self, folder: Path | None, *, wanted: Callable[[], None] = lambda: None) -> None:
        """`folder`: as for `SpillFile`; it has to hold the table as text. `wanted`: raises when nobody waits for the
        rows any more."""
        self._file = SpillFile(folder)
        self._wanted = wanted
        self._count = 0

    def add(self, line: bytes) -> None:
        if self._count % _PART_ROWS == 0:
            self._wanted()
        self._file.append(line)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        for part in self.parts():
            yield from part

    def parts(self) -> Iterator[CopiedRows]:
        lines, size = list[bytes](), 0
        for record in self._file.records():
            line = _whole(record)
            lines.append(line)
            size += len(line)
            if size >= _PART_BYTES or len(lines) >= _PART_ROWS:
                yield CopiedRows(lines)
                lines, size = [], 0
        if lines:
            yield CopiedRows(lines)


class HeldOnDisk(HeldBack):
    """Changes that wait for the end of the copy."""

    def __init__(self, folder: Path | None) -> None:
        self._file = SpillFile(folder)
        self._count = 0

    def append(self, held: Held) -> int:
        """Raises `LogUnwritable`."""
        xid, change = held
        self._file.append(_XID.pack(xid) + encode_events([change]))
        self._count += 1
        return self._count - 1

    def __iter__(self) -> Iterator[Held]:
        for record in self._file.records():
            data = _whole(record)
            (xid,) = _XID.unpack_from(data)
            (change,) = decode_events(data[_XID.size :])
            yield xid, change


def _whole(record: bytes | LargeRecord) -> bytes:
    return record if isinstance(record, bytes) else record.take(record.size)
