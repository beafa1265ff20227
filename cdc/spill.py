"""Messages of a transaction that is too large for memory: a file without a name, gone with the process.

The file is unlinked as soon as it is open, so a crash leaves nothing behind and the disk is free again when the
transaction that uses it is forgotten. It is no storage: what is not in the change log yet is sent again by the source.
"""

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cdc.errors import LogUnwritable
from cdc.growing_text import GrowingText

_LENGTH: Final = struct.Struct(">I")
_BLOCK_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 5
LARGE_BYTES: Final = 4 << 20
"""Messages from this size on are never held as bytes if that can be avoided."""


class SpillFile:
    """Records in order of arrival. Written by one thread, then read by any, again and again."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: on a real disk; the system's temporary folder when None."""
        self._place = str(folder or tempfile.gettempdir())
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, prefix="spill-", buffering=0)  # noqa: SIM115 - own lifetime
        except OSError as error:
            raise self._unwritable(error) from None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._written = 0

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def append(self, record: bytes | memoryview) -> None:
        """Raises `LogUnwritable` when the disk refuses."""
        size = len(record)
        self._pending.append(_LENGTH.pack(size))
        self._pending_bytes += size + _LENGTH.size
        if isinstance(record, bytes) and size < LARGE_BYTES:
            self._pending.append(record)
            if self._pending_bytes >= _BLOCK_BYTES:
                self._flush()
        else:
            self._flush()
            self._write(memoryview(record))

    def records(self) -> "Iterator[bytes | LargeRecord]":
        """Every record, one of `LARGE_BYTES` or more as a reader."""
        self._flush()
        at, end = 0, self._written
        while at < end:
            block = os.pread(self._file.fileno(), min(_BLOCK_BYTES, end - at), at)
            start = 0
            while start + _LENGTH.size <= len(block):
                (size,) = _LENGTH.unpack_from(block, start)
                stop = start + _LENGTH.size + size
                if stop > len(block):
                    break
                yield block[start + _LENGTH.size : stop]
                start = stop
            at += start
            if start == 0:
                (size,) = _LENGTH.unpack_from(block)
                yield self._one(at + _LENGTH.size, size)
                at += _LENGTH.size + size

    def _one(self, at: int, size: int) -> "bytes | LargeRecord":
        record = LargeRecord(self._file.fileno(), at, size)
        return record if size >= LARGE_BYTES else record.take(size)

    def _flush(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            self._pending, self._pending_bytes = [], 0
            self._write(memoryview(data))

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                count = self._file.write(data) or 0
                self._written += count
                data = data[count:]
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> LogUnwritable:
        return LogUnwritable.because(error, f"spill file in {self._place}")


class LargeRecord:
    """A record that is read piece by piece. See `cdc.pgoutput_large.MessageReader`."""

    def __init__(self, descriptor: int, at: int, size: int) -> None:
        self._descriptor, self._at, self._end = descriptor, at, at + size
        self.size = size
        self.head = os.pread(descriptor, _HEAD_BYTES, at)

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError(f"{size} bytes where {self.left} are left")
        if size <= _BLOCK_BYTES:
            data = os.pread(self._descriptor, size, self._at)
            self._at += size
            return data
        return b"".join(self._pieces(size))

    def text(self, size: int) -> str:
        if size > self.left:
            raise ValueError(f"{size} bytes where {self.left} are left")
        if size <= _BLOCK_BYTES:
            return self.take(size).decode()
        text = GrowingText()
        for piece in self._pieces(size):
            text.add(piece)
        return text.finish()

    def _pieces(self, size: int) -> Iterator[bytes]:
        stop = self._at + size
        while self._at < stop:
            yield self.take(min(_BLOCK_BYTES, stop - self._at))
