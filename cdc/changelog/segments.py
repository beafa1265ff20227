"""One segment file of the local change log: frames, and telling a torn tail from damage.

    frame   = u32 length of payload · u32 crc32 of payload · payload        (little endian)
    payload = "SCL1" · u8 kind · u64 synced_to · u64 lsn · body

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

HEADER, RELATION, TRANSACTION = 1, 2, 3
"""Kinds of frames. `lsn` of a header: the last position of the segment before (0: none). Of the others: `commit_lsn`
of the transaction, or of the one that the relation was first needed for."""

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


def scan(path: Path, start: int = 0, limit: int | None = None) -> Iterator[Frame]:
    """Whole frames from offset `start`, up to the first that is not, or to offset `limit`."""
    with path.open("rb", buffering=_READ_AHEAD_BYTES) as file:
        file.seek(start)
        offset = start
        while limit is None or offset < limit:
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                return
            length, crc = _FRAME.unpack(head)
            if length < _PAYLOAD.size or offset + _FRAME.size + length > os.fstat(file.fileno()).st_size:
                return
            frame = _frame(file.read(length), length, crc, offset)
            if frame is None:
                return
            offset = frame.end
            yield frame


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
    data = path.read_bytes()
    at = data.find(_MAGIC, stopped_at)
    while at >= 0:
        start = at - _FRAME.size
        if start > stopped_at:
            length, crc = _FRAME.unpack_from(data, start)
            frame = _frame(data[at : at + length], length, crc, start) if length >= _PAYLOAD.size else None
            if frame is not None and frame.synced_to > stopped_at:
                return True
        at = data.find(_MAGIC, at + 1)
    return False
