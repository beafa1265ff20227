"""One reader's way through the log: the journal, and the rows that it names."""

from collections.abc import Collection, Iterator
from typing import Final

from cdc.changelog.kafka.journal import Journal
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.partitions import KafkaChanges, PartitionReader, Relations, merged
from cdc.changelog.kafka.records import End, Start
from cdc.changelog.memory import position_expired
from cdc.errors import LogDamaged, PositionExpired
from cdc.events import Change, Transaction
from cdc.insert_run import HeldChanges, Run
from cdc.lsn import ZERO, Lsn, format_lsn
from strangler.clock import Clock

_IN_MEMORY_EVENTS: Final = 10_000
_IN_MEMORY_BYTES: Final = 8 << 20


class ReadSession:
    """Has come to `last`. Not to be used by two threads at a time."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self.journal = self._journal = Journal(options, clock)
        self._rows = PartitionReader(options, clock)
        self._relations = Relations(options, clock)
        self._next: int | None = None
        self.last = ZERO

    def transactions(self, after: Lsn, end: int | None) -> Iterator[Transaction]:
        """Those later than `after` whose END lies before offset `end` (None: all that are there now)."""
        for entry in self._ends(after, end):
            if entry.commit_lsn > after:
                yield self._transaction(entry)

    def needed_after(self, through: Lsn) -> dict[tuple[str, int], int]:
        """For each partition the first offset that must stay when everything through `through` may go."""
        journal_topic = Topics(prefix=self._options.prefix).transaction
        begin, stop = self._journal.bounds()
        newest, _ = self._journal.last_lsn()
        found: dict[tuple[str, int], int] = {}
        for offset, entry in self._journal.entries(begin, stop):
            if isinstance(entry, End):
                if entry.commit_lsn > through or entry.commit_lsn >= newest:
                    break
                found[journal_topic, 0] = offset + 1
                for where in entry.ranges:
                    place = (where.topic, where.partition)
                    found[place] = max(found.get(place, 0), where.last + 1)
        return found

    def rewind(self) -> None:
        """Forget how far it has come, keep its connections."""
        self._next, self.last = None, ZERO

    def close(self) -> None:
        self._journal.close()
        self._rows.close()

    def _ends(self, after: Lsn, end: int | None) -> Iterator[End]:
        """ENDs in the order of the log, each transaction once; some may be at or below `after`."""
        begin, stop = (0, end) if end is not None and self._next is not None else self._journal.bounds()
        stop = stop if end is None else end
        is_searched = self._next is None
        if self._next is None or self._next < begin:
            self._next, self.last = self._search(after, begin, stop), after
            is_searched = True
        try:
            yield from self._chain(after, self._next, stop)
        except (_Gap, PositionExpired):
            # The search landed where two appenders overlapped, or retention overtook an idle session.
            self._refuse_expired(max(after, self.last))
            begin, _ = self._journal.bounds()
            if not is_searched and self._next >= begin:
                raise
            self._next, self.last = begin, max(after, self.last)
            yield from self._chain(after, begin, stop)

    def _refuse_expired(self, after: Lsn) -> None:
        first_lsn = self._journal.first_lsn()
        if after < first_lsn:
            raise position_expired(self._journal.thing, after, first_lsn)

    def _search(self, after: Lsn, begin: int, stop: int) -> int:
        self._refuse_expired(after)
        return self._journal.search(after, begin, stop)

    def _chain(self, after: Lsn, start: int, stop: int) -> Iterator[End]:
        """Every END says which transaction came before it: none is left out, none comes twice."""
        for offset, entry in self._journal.entries(start, stop):
            if isinstance(entry, End) and entry.commit_lsn > self.last:
                if entry.previous > self.last:
                    raise _Gap(
                        thing=self._journal.thing,
                        reason=f"nothing leads from {format_lsn(self.last)} to the transaction at "
                        f"{format_lsn(entry.commit_lsn)}, which follows {format_lsn(entry.previous)}",
                        mend="somebody removed records of the transaction topic: deprovision the stream and copy anew",
                    )
                self._next, self.last = offset + 1, Lsn(entry.commit_lsn)
                yield entry
            elif isinstance(entry, Start) and entry.position > self.last:
                if entry.position > after:
                    raise position_expired(self._journal.thing, after, Lsn(entry.position))
                self.last = Lsn(entry.position)
            self._next = offset + 1
        self._next = max(self._next or 0, stop)

    def _transaction(self, end: End) -> Transaction:
        if end.events > _IN_MEMORY_EVENTS or end.size > _IN_MEMORY_BYTES:
            changes: Collection[Change] = KafkaChanges(self._options, self._clock, end, self._relations)
        else:
            parts = list(merged(self._rows, end, self._relations))
            single = tuple([part for part in parts if not isinstance(part, Run)])
            changes = single if len(single) == len(parts) else HeldChanges(parts)
        return Transaction(
            xid=end.xid,
            commit_lsn=Lsn(end.commit_lsn),
            end_lsn=Lsn(end.end_lsn),
            commit_time_us=end.commit_time_us,
            origin=end.origin,
            changes=changes,
        )


class _Gap(LogDamaged):
    """An END whose predecessor was not seen."""
