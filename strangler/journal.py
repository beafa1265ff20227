"""The durable journal: what was intended and what was seen, in order, surviving any crash.

One JSON object a line, each with its sequence number and the CRC-32 of its content; `append` returns only after
fsync. A torn last line (the crash hit the write) is cut off when the journal is opened for writing; a bad line
anywhere else is damage and refused.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from strangler.clock import Clock, SystemClock
from strangler.durable_files import sync_folder
from strangler.errors import Refused


@dataclass(frozen=True, kw_only=True)
class JournalEntry:
    """One durable fact. `kind` names it; `data` is JSON."""

    seq: int
    at: datetime
    kind: str
    data: Mapping[str, Any]


class Journal:
    """Append-only, fsynced, one writer (hold a lock), any number of readers."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._next_seq: int | None = None

    def entries(self) -> list[JournalEntry]:
        """All whole entries, oldest first. A torn last line is not an entry."""
        return [entry for entry, _ in self._scan()]

    def append(self, kind: str, **data: Any) -> JournalEntry:
        """Write one entry; on return it is on disk."""
        if self._next_seq is None:
            self._next_seq = self._recover()
        entry = JournalEntry(seq=self._next_seq, at=self._clock.now(), kind=kind, data=data)
        try:
            self._write(_encode(entry))
        except BaseException:
            # Part of the line may be there (a full disk): the next append cuts it off before it writes.
            self._next_seq = None
            raise
        self._next_seq += 1
        return entry

    def _write(self, line: bytes) -> None:
        is_new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self._path.parent)

    def _recover(self) -> int:
        """Cut a torn tail; return the next sequence number."""
        next_seq, end = 0, 0
        for entry, offset in self._scan():
            next_seq, end = entry.seq + 1, offset
        if self._path.exists() and self._path.stat().st_size > end:
            os.truncate(self._path, end)
        return next_seq

    def _scan(self) -> Iterator[tuple[JournalEntry, int]]:
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        offset = 0
        while offset < len(data):
            end = data.find(b"\n", offset)
            line = data[offset:] if end < 0 else data[offset:end]
            entry = None if end < 0 else _decode(line)
            if entry is None:
                if end < 0 or end == len(data) - 1:
                    return
                raise Refused(
                    thing=str(self._path),
                    reason=f"damaged entry at byte {offset}",
                    mend="restore the file from a backup; who owns the tables stands in strangler.ownership of both "
                    "databases",
                )
            offset = end + 1
            yield entry, offset


def _encode(entry: JournalEntry) -> bytes:
    body = json.dumps(
        {"seq": entry.seq, "at": entry.at.isoformat(), "kind": entry.kind, "data": dict(entry.data)},
        separators=(",", ":"),
        sort_keys=True,
    )
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _decode(line: bytes) -> JournalEntry | None:
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        raw = json.loads(body)
    except ValueError:
        return None
    return JournalEntry(seq=raw["seq"], at=datetime.fromisoformat(raw["at"]), kind=raw["kind"], data=raw["data"])
