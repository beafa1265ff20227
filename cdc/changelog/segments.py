"""One segment file of the local change log: frames, and telling a torn tail from damage.

    frame   = u32 length of payload · u32 crc32 of payload · payload        (little endian)
    payload = "SCL1" · u8 kind · u64 synced_to · u64 lsn · body

A transaction is one frame, small ones share one (PACK); a long one is BEGIN · (RELATION | VALUE | PART | RUN)* · END
and counts when END is whole.

`synced_to` is how much of the file was known to be on disk when the frame was written. A bad frame at an offset below
the `synced_to` of any later whole frame was on disk and has been damaged; otherwise the crash hit the write and the
frame, with whatever of its batch follows, never counted as appended.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cdc.errors import LogDamaged
from cdc.lsn import Lsn

HEADER, RELATION, TRANSACTION, BEGIN, PART, VALUE, END, RUN, PACK = 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Kinds of frames. `lsn` of a header: the last position of the segment before (0: none). Of the others: `commit_lsn`
of the transaction (a pack: of its last one), or of the one that the relation was first needed for."""

_FRAME: Final = struct.Struct("<II")
_PAYLOAD: Final = struct.Struct("<4sBQQ")
_MAGIC: Final = b"SCL1"
_SUFFIX: Final = ".log"
_READ_AHEAD_BYTES: Final = 1 << 20


class Frame(NamedTuple):
    """A whole frame; `end` is the offset after it."""

    kind: int
    synced_to: int
    lsn: Lsn
    body: memoryview
    end: int


class Head(NamedTuple):
    """What the head of a frame says; `end` is the offset after the frame."""

    kind: int
    lsn: Lsn
    end: int


def encode_frame(kind: int, synced_to: int, lsn: Lsn, body: bytes) -> bytes:
    head = _PAYLOAD.pack(_MAGIC, kind, synced_to, lsn)
    crc = zlib.crc32(body, zlib.crc32(head))
    return b"".join((_FRAME.pack(len(head) + len(body), crc), head, body))


def segment_path(folder: Path, first_lsn: Lsn) -> Path:
    """Named by the first transaction, so that names sort in commit order."""
    return folder / f"{first_lsn:016X}{_SUFFIX}"


def list_segments(folder: Path) -> list[Lsn]:
    """First positions of the segments that exist, oldest first."""
    return sorted(Lsn(int(path.stem, 16)) for path in folder.glob(f"{'?' * 16}{_SUFFIX}"))


class SegmentFile:
    """A segment held open for reading: what it held stays readable when retention removes it.

    Any number of readers at their own offsets share it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.path = path

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def bytes_on_disk(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """Fewer bytes than `size` at the end."""
        return os.pread(self._descriptor, size, offset)


def scan(source: Path | SegmentFile, start: int = 0, limit: int | None = None) -> Iterator[Frame]:
    """Whole frames from offset `start`, up to the first that is not, or to offset `limit`."""
    file = SegmentFile(source) if isinstance(source, Path) else source
    offset = start
    ahead, ahead_at = b"", start
    while limit is None or offset < limit:
        at = offset - ahead_at
        if len(ahead) - at < _FRAME.size:
            wanted = _READ_AHEAD_BYTES if limit is None else min(_READ_AHEAD_BYTES, limit - offset)
            ahead, ahead_at, at = file.read_at(offset, wanted), offset, 0
            if len(ahead) < _FRAME.size:
                return
        length, crc = _FRAME.unpack_from(ahead, at)
        if length < _PAYLOAD.size:
            return
        at += _FRAME.size
        if len(ahead) - at >= length:
            payload = ahead[at : at + length]
        elif offset + _FRAME.size + length > file.bytes_on_disk:
            return
        else:
            ahead, ahead_at = file.read_at(offset, _FRAME.size + max(length, _READ_AHEAD_BYTES)), offset
            payload = ahead[_FRAME.size : _FRAME.size + length]
        frame = _frame(payload, length, crc, offset)
        if frame is None:
            return
        offset = frame.end
        yield frame


def head_at(file: SegmentFile, offset: int) -> Head | None:
    """The head of the frame at `offset`, its body unread; None unless all of the frame is in the file."""
    data = file.read_at(offset, _FRAME.size + _PAYLOAD.size)
    if len(data) < _FRAME.size + _PAYLOAD.size:
        return None
    length, _ = _FRAME.unpack_from(data)
    magic, kind, _, lsn = _PAYLOAD.unpack_from(data, _FRAME.size)
    end = offset + _FRAME.size + length
    if magic != _MAGIC or length < _PAYLOAD.size or end > file.bytes_on_disk:
        return None
    return Head(kind, lsn, end)


def _frame(payload: bytes, length: int, crc: int, offset: int) -> Frame | None:
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    magic, kind, synced_to, lsn = _PAYLOAD.unpack_from(payload)
    if magic != _MAGIC:
        return None
    return Frame(kind, synced_to, lsn, memoryview(payload)[_PAYLOAD.size :], offset + _FRAME.size + length)


def refuse_damage(path: Path, stopped_at: int, *, sealed: bool) -> None:
    """Called where `scan` stopped. Raises `LogDamaged` unless it is the end, or a tail that a crash has torn.

    `sealed`: a later segment exists, so this one was whole on disk.
    """
    if stopped_at >= path.stat().st_size:
        return
    if sealed:
        raise damaged(path, stopped_at, "a record fails its checksum")
    if _has_later_frame(path, stopped_at) and next(scan(path, stopped_at), None) is None:
        raise damaged(path, stopped_at, "a record fails its checksum, and later ones are whole")


def damaged(path: Path, offset: int, reason: str) -> LogDamaged:
    """The error for a segment that cannot be read on."""
    return LogDamaged(
        thing=f"change log {path}",
        reason=f"{reason} (at byte {offset})",
        mend="restore the folder from a backup, or move it away and deprovision, provision and copy the stream anew",
    )


def _has_later_frame(path: Path, stopped_at: int) -> bool:
    """A whole frame after `stopped_at` that was written when the bytes at `stopped_at` were already on disk."""
    file = SegmentFile(path)
    for start in _magic_offsets(file, stopped_at):
        if start > stopped_at:
            frame = next(scan(file, start), None)
            if frame is not None and frame.synced_to > stopped_at:
                return True
    return False


def _magic_offsets(file: SegmentFile, offset: int) -> Iterator[int]:
    """Where frames may start, from `offset` on."""
    while data := file.read_at(offset, _READ_AHEAD_BYTES):
        at = data.find(_MAGIC)
        while at >= 0:
            yield offset + at - _FRAME.size
            at = data.find(_MAGIC, at + 1)
        if len(data) < len(_MAGIC):
            return
        offset += len(data) - len(_MAGIC) + 1
