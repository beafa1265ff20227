"""Writing the segments of a local change log: one process at a time, one fsync a batch."""

import fcntl
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from cdc.changelog.codec import RelationTable, decode_relation, encode_relation, encode_transaction, new_relations
from cdc.changelog.long_codec import PartPiece, RelationPiece, RunPiece, ValuePiece, encode_head, encode_pieces
from cdc.changelog.packs import PACK_BYTES, Pack, encode_pack, in_packs, new_in_pack
from cdc.changelog.reader import TRIMMED_FILE, Durable, read_trimmed
from cdc.changelog.segments import (
    BEGIN,
    END,
    HEADER,
    PACK,
    PART,
    RELATION,
    RUN,
    TRANSACTION,
    VALUE,
    damaged,
    encode_frame,
    list_segments,
    refuse_damage,
    scan,
    segment_path,
)
from cdc.errors import LogInUse
from cdc.events import Relation, Transaction
from cdc.lsn import ZERO, Lsn, format_lsn
from strangler.durable_files import replace_file, sync_folder

_LOCK_FILE: Final = "writer.lock"
_SHORT_CHANGES: Final = 20_000
_SHORT_BYTES: Final = 4 << 20
"""Up to both of these a transaction is one record, which its readers hold in memory."""
_WRITE_BYTES: Final = 4 << 20


class SegmentWriter:
    """Holds the folder's writer lock from construction to `close`.

    On opening, a torn tail is cut off and a segment without transactions removed. After an `OSError` nothing of the
    batch counts; the next `append` first removes what may have reached the files.
    """

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._pack_bytes = min(PACK_BYTES, segment_bytes)
        self._file: BinaryIO | None = None
        self._size = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._relations = RelationTable()
        self._must_roll_back = False
        self.durable: Durable | None = None
        self.last_lsn = ZERO
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    def start(self, position: Lsn) -> None:
        """See `ChangeLog.start`."""
        if self._must_roll_back:
            self._roll_back()
        if self.durable is None and position > self.last_lsn:
            replace_file(self._folder / TRIMMED_FILE, format_lsn(position))
            self.last_lsn = position

    def append(self, transactions: Sequence[Transaction]) -> None:
        """Write those that are later than `last_lsn`; on return they are on disk."""
        if self._must_roll_back:
            self._roll_back()
        last = self.last_lsn
        later: list[Transaction] = []
        for transaction in transactions:
            if transaction.commit_lsn > last:
                later.append(transaction)
                last = transaction.commit_lsn
        if not later:
            return
        last = self.last_lsn
        for each in in_packs(later, self._pack_bytes):
            self._must_roll_back = True
            first_lsn, last_of_it = (
                (each.first_lsn, each.last_lsn) if isinstance(each, Pack) else (each.commit_lsn,) * 2
            )
            if self._file is None or self._size >= self._segment_bytes:
                self._start_segment(first_lsn, last)
            for kind, body in self._pack_records(each) if isinstance(each, Pack) else self._records(each):
                self._add(encode_frame(kind, self._synced_to(), last_of_it, body))
            last = last_of_it
        self._sync()
        self.last_lsn = last
        self._must_roll_back = False

    def trim(self, through: Lsn) -> None:
        """Remove whole segments whose last position is at or below `through`; never the newest."""
        segments = list_segments(self._folder)
        dropped: list[Lsn] = []
        trimmed = ZERO
        for segment, following in itertools.pairwise(segments):
            header = next(scan(segment_path(self._folder, following)), None)
            if header is None or header.lsn > through:
                break
            dropped.append(segment)
            trimmed = header.lsn
        if dropped:
            replace_file(self._folder / TRIMMED_FILE, format_lsn(trimmed))
            self._unlink(dropped)

    def close(self) -> None:
        """Release the folder. Safe to call twice."""
        self._close_file()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _records(self, transaction: Transaction) -> Iterator[tuple[int, bytes]]:
        """Kind and body of each record of a transaction; a long one is never all in memory."""
        if isinstance(transaction.changes, tuple) and len(transaction.changes) <= _SHORT_CHANGES:
            for relation in new_relations(transaction, self._relations):
                self._relations.add(relation)
                yield RELATION, encode_relation(relation)
            body = encode_transaction(transaction, self._relations)
            if len(body) <= _SHORT_BYTES:
                yield TRANSACTION, body
                return
            del body
        yield BEGIN, encode_head(transaction)
        for piece in encode_pieces(transaction.changes, self._relations):
            yield _KINDS[type(piece)], piece.body
        yield END, b""

    def _pack_records(self, pack: Pack) -> Iterator[tuple[int, bytes]]:
        for relation in new_in_pack(pack, self._relations):
            self._relations.add(relation)
            yield RELATION, encode_relation(relation)
        yield PACK, encode_pack(pack, self._relations)

    def _add(self, frame: bytes) -> None:
        self._pending.append(frame)
        self._pending_bytes += len(frame)
        self._size += len(frame)
        if self._pending_bytes >= _WRITE_BYTES:
            self._write()

    def _start_segment(self, first_lsn: Lsn, previous_lsn: Lsn) -> None:
        if self._file is not None:
            self._sync()
        self._close_file()
        self._file = segment_path(self._folder, first_lsn).open("xb", buffering=0)
        sync_folder(self._folder)
        self.durable = Durable(first_lsn, 0)
        self._relations = RelationTable()
        self._size = 0
        self._add(encode_frame(HEADER, 0, previous_lsn, b""))

    def _write(self) -> None:
        assert self._file is not None
        rest = memoryview(b"".join(self._pending))
        self._forget_pending()
        while rest:
            rest = rest[self._file.write(rest) :]

    def _forget_pending(self) -> None:
        self._pending, self._pending_bytes = [], 0

    def _sync(self) -> None:
        assert self._file is not None
        assert self.durable is not None
        if self._pending:
            self._write()
        os.fsync(self._file.fileno())
        self.durable = Durable(self.durable.segment, self._size)

    def _synced_to(self) -> int:
        return 0 if self.durable is None else self.durable.size

    def _recover(self) -> None:
        """Find the end of what is whole; open the newest segment there."""
        segments = list_segments(self._folder)
        newest = True
        while segments:
            segment = segments.pop()
            path = segment_path(self._folder, segment)
            found = _read_through(path)
            refuse_damage(path, found.stopped_at, sealed=not newest)
            if found.last is not None:
                self._continue(segment, found.end, found.relations)
                self.last_lsn = found.last
                return
            if not newest:
                raise damaged(path, found.end, "a segment without transactions has a later one")
            self._unlink([segment])
            newest = False
        self.last_lsn = read_trimmed(self._folder)

    def _continue(self, segment: Lsn, end: int, relations: RelationTable) -> None:
        path = segment_path(self._folder, segment)
        self._file = path.open("ab", buffering=0)
        if path.stat().st_size > end:
            self._file.truncate(end)
        os.fsync(self._file.fileno())
        self._size = end
        self._relations = relations
        self.durable = Durable(segment, end)

    def _roll_back(self) -> None:
        """After a failed write: remove what is not known to be on disk."""
        self._forget_pending()
        self._close_file()
        kept = self.durable if self.durable is not None and self.durable.size else None
        self._unlink([segment for segment in list_segments(self._folder) if segment > self.last_lsn])
        if kept is not None and kept.segment <= self.last_lsn:
            with segment_path(self._folder, kept.segment).open("r+b") as file:
                file.truncate(kept.size)
                os.fsync(file.fileno())
        self.durable = None
        self._recover()
        self._must_roll_back = False

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _unlink(self, segments: Sequence[Lsn]) -> None:
        for segment in segments:
            segment_path(self._folder, segment).unlink()
        sync_folder(self._folder)


class _Found(NamedTuple):
    """What a segment holds: position of the last whole transaction, offset after it, offset after the last whole
    frame, and the relations up to `end`."""

    last: Lsn | None
    end: int
    stopped_at: int
    relations: RelationTable


def _read_through(path: Path) -> _Found:
    last: Lsn | None = None
    end = stopped_at = 0
    relations = RelationTable()
    described: list[Relation] = []
    in_long = False
    for frame in scan(path):
        stopped_at = frame.end
        if frame.kind == RELATION:
            described.append(decode_relation(frame.body))
        elif frame.kind in (BEGIN, PART, VALUE, RUN):
            in_long = True
        else:
            in_long = False
            last = frame.lsn if frame.kind in (TRANSACTION, PACK, END) else last
        if not in_long:
            end = frame.end
            for relation in described:
                relations.add(relation)
            described = []
    return _Found(last, end, stopped_at, relations)


_KINDS: Final = {RelationPiece: RELATION, PartPiece: PART, ValuePiece: VALUE, RunPiece: RUN}


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LogInUse(
            thing=f"change log {folder}",
            reason="another process writes to it",
            mend="stop the other stream worker; there is one for each move",
        ) from None
    return descriptor
