"""Reading the segments of a local change log, by the writer's own process or another."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cdc.changelog.codec import RelationTable, decode_relation, decode_transaction
from cdc.changelog.logged_changes import LoggedChanges, pass_over
from cdc.changelog.long_codec import decode_head
from cdc.changelog.memory import position_expired
from cdc.changelog.packs import decode_pack
from cdc.changelog.segments import (
    BEGIN,
    END,
    HEADER,
    PACK,
    RELATION,
    TRANSACTION,
    Frame,
    SegmentFile,
    damaged,
    list_segments,
    refuse_damage,
    scan,
    segment_path,
)
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn, format_lsn, parse_lsn
from strangler.errors import StranglerError

TRIMMED_FILE: Final = "trimmed"
"""Holds how far retention went, or where an empty log was started, as a position."""

_COMPLETING: Final = frozenset((HEADER, TRANSACTION, PACK, END))


def read_trimmed(folder: Path) -> Lsn:
    """What the file says; 0 without it."""
    try:
        return parse_lsn((folder / TRIMMED_FILE).read_text().strip())
    except FileNotFoundError:
        return ZERO


class Durable(NamedTuple):
    """Bytes of the newest segment that are on disk; earlier segments are whole."""

    segment: Lsn
    size: int


class _Cursor(NamedTuple):
    """After transaction `lsn`, at `offset` of `segment`. `relations`: those that the segment defined before it."""

    segment: Lsn
    offset: int
    lsn: Lsn
    relations: RelationTable


class SegmentReader:
    """Remembers where the last read ended, so that following a log does not scan it again. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cursor: _Cursor | None = None
        self._lock = threading.Lock()

    def first_lsn(self) -> Lsn:
        """See `ChangeLog.first_lsn`."""
        return read_trimmed(self._folder)

    def last_lsn(self) -> Lsn:
        """Newest whole transaction in the files."""
        segments = list_segments(self._folder)
        for segment in reversed(segments):
            start = self._start(segment, None)
            last = start.lsn
            for frame in scan(segment_path(self._folder, segment), start.offset):
                last = max(last, frame.lsn) if frame.kind in _COMPLETING else last
            if last:
                return last
        return self.first_lsn()

    def read(self, after: Lsn, durable: Durable | None) -> Iterator[Transaction]:
        """See `ChangeLog.read`. `durable`: where to stop, when the caller is the writer and knows."""
        if durable is not None:
            come = self._come_in(durable.segment, after)
            if come is not None:
                return iter(()) if come == durable.size else self._read([durable.segment], after, durable)
        first_lsn = self.first_lsn()
        if after < first_lsn:
            raise position_expired(f"change log {self._folder}", after, first_lsn)
        segments = [segment for segment in list_segments(self._folder) if durable is None or segment <= durable.segment]
        first = max((index for index, segment in enumerate(segments) if segment <= after), default=0)
        return self._read(segments[first:], after, durable)

    def _come_in(self, newest: Lsn, after: Lsn) -> int | None:
        """The offset in the newest segment from which reading goes on, when the last read has come that far.

        Nothing before it is needed, and retention never reaches into the newest segment: no need to look at the folder.
        """
        cursor = self._start(newest, after)
        return cursor.offset or None

    def _read(self, segments: list[Lsn], after: Lsn, durable: Durable | None) -> Iterator[Transaction]:
        before: Lsn | None = None
        for index, segment in enumerate(segments):
            limit = durable.size if durable is not None and durable.segment == segment else None
            reading = _SegmentReading(segment_path(self._folder, segment), self._start(segment, after))
            try:
                yield from reading.transactions(after, before, limit)
                if limit is None:
                    refuse_damage(reading.path, reading.stopped_at, sealed=index + 1 < len(segments))
                elif reading.offset < limit:
                    raise damaged(reading.path, reading.stopped_at, "a record fails its checksum")
            except FileNotFoundError:
                # Retention may have removed the first one meanwhile; the next one's header says whether it was needed.
                if index or len(segments) == 1:
                    raise self._gone(after, segment) from None
                continue
            except _SegmentMissing:
                raise self._gone(after, segment) from None
            finally:
                self._remember(segment, reading)
            before = reading.lsn

    def _start(self, segment: Lsn, after: Lsn | None) -> _Cursor:
        """Where to begin in `segment`: where the last read ended, if that is not too far (`after` None: never is)."""
        with self._lock:
            cursor = self._cursor
        if cursor is not None and cursor.segment == segment and (after is None or cursor.lsn <= after):
            return cursor
        return _Cursor(segment, 0, ZERO, RelationTable())

    def _remember(self, segment: Lsn, reading: "_SegmentReading") -> None:
        cursor = _Cursor(segment, reading.offset, reading.lsn, reading.relations)
        with self._lock:
            if self._cursor is None or cursor.lsn >= self._cursor.lsn:
                self._cursor = cursor

    def _gone(self, after: Lsn, segment: Lsn) -> StranglerError:
        first_lsn = self.first_lsn()
        if after < first_lsn:
            return position_expired(f"change log {self._folder}", after, first_lsn)
        path = segment_path(self._folder, segment)
        return damaged(path, 0, f"it or the segment before it is missing, needed after {format_lsn(after)}")


class _SegmentMissing(Exception):
    """The segment does not continue the one before it."""


class _SegmentReading:
    """One pass over one segment; the fields say how far it came, and where it found nothing whole any more."""

    def __init__(self, path: Path, start: _Cursor) -> None:
        self.path = path
        self.offset = self.stopped_at = start.offset
        self.lsn = start.lsn
        self.relations = start.relations.copy()

    def transactions(self, after: Lsn, before: Lsn | None, limit: int | None) -> Iterator[Transaction]:
        """Those later than `after`. `before`: the last position of the segment before, when that was read too."""
        file = SegmentFile(self.path)
        goes_on = True
        while goes_on:
            goes_on = False
            for frame in scan(file, self.offset, limit):
                if frame.kind == BEGIN:
                    known = self.relations.copy()
                    self.stopped_at, goes_on = pass_over(file, frame.end, limit, self.relations)
                    if not goes_on:
                        self.relations = known
                        return
                    self.offset, self.lsn = self.stopped_at, frame.lsn
                    if frame.lsn > after:
                        yield _long_transaction(file, frame, self.offset, known)
                    break
                if frame.kind == PACK:
                    if frame.lsn > after:
                        yield from decode_pack(frame.body, self.relations, after)
                    self.offset, self.lsn = frame.end, frame.lsn
                elif frame.kind == TRANSACTION:
                    transaction = decode_transaction(frame.body, self.relations) if frame.lsn > after else None
                    self.offset, self.lsn = frame.end, frame.lsn
                    if transaction is not None:
                        yield transaction
                else:
                    self._take_description(frame, after, before)
        self.stopped_at = self.offset

    def _take_description(self, frame: Frame, after: Lsn, before: Lsn | None) -> None:
        if frame.kind == RELATION:
            self.relations.add(decode_relation(frame.body))
        elif frame.kind == HEADER:
            if frame.lsn != before if before is not None else frame.lsn > after:
                raise _SegmentMissing
            self.lsn = frame.lsn
        else:
            raise damaged(self.path, self.offset, f"a record of unknown kind {frame.kind}")
        self.offset = frame.end


def _long_transaction(file: SegmentFile, begin: Frame, end: int, relations: RelationTable) -> Transaction:
    head = decode_head(begin.body)
    return Transaction(
        xid=head.xid,
        commit_lsn=Lsn(head.commit_lsn),
        end_lsn=Lsn(head.end_lsn),
        commit_time_us=head.commit_time_us,
        origin=head.origin,
        changes=LoggedChanges(file, begin.end, end, relations, head.changes),
    )
