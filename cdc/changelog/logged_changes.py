"""The changes of a long transaction in a segment: decoded while they are iterated, again and again."""

from collections.abc import Iterator

from cdc.changelog.codec import RelationTable, decode_relation
from cdc.changelog.long_codec import PartReader
from cdc.changelog.segments import END, PART, RELATION, RUN, VALUE, SegmentFile, damaged, head_at, scan
from cdc.events import Change
from cdc.insert_run import ChangesInRuns, InsertRun

_INSIDE = frozenset((RELATION, VALUE, PART, RUN))


class LoggedChanges(ChangesInRuns):
    """Holds its segment open, so that retention may remove the file meanwhile. Any thread, any number of iterations.

    Raises `LogDamaged` while it is iterated when a record fails its checksum.
    """

    def __init__(self, file: SegmentFile, start: int, end: int, relations: RelationTable, count: int) -> None:
        """From offset `start`, after BEGIN, to `end`, after END. `relations`: those that the segment defined before."""
        self._file, self._start, self._end = file, start, end
        self._relations, self._count = relations, count

    def __len__(self) -> int:
        return self._count

    def runs(self) -> Iterator[Change | InsertRun]:
        relations = self._relations.copy()
        reader = PartReader(relations)
        offset = self._start
        for frame in scan(self._file, self._start, self._end):
            offset = frame.end
            if frame.kind == PART:
                yield from reader.part(frame.body)
            elif frame.kind == RUN:
                yield reader.run(frame.body)
            elif frame.kind == VALUE:
                reader.value(frame.body)
            elif frame.kind == RELATION:
                relations.add(decode_relation(frame.body))
        if offset < self._end:
            raise damaged(self._file.path, offset, "a record fails its checksum")


def pass_over(file: SegmentFile, offset: int, limit: int | None, relations: RelationTable) -> tuple[int, bool]:
    """From offset `offset`, after BEGIN, to after END: by the heads of the frames, their bodies unread.

    Returns where it came and whether that is the end; if not, no whole frame of the transaction is there (yet).
    `relations` takes those that are described in between.
    """
    while limit is None or offset < limit:
        head = head_at(file, offset)
        if head is None:
            break
        if head.kind == RELATION or head.kind == END:
            frame = next(scan(file, offset), None)
            if frame is None:
                break
            if frame.kind == END:
                return frame.end, True
            relations.add(decode_relation(frame.body))
        elif head.kind not in _INSIDE:
            break
        offset = head.end
    return offset, False
