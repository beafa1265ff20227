"""Events of many partitions → the source's transactions, in commit order. Pure.

With a transaction topic (`provide.transaction.metadata`) an END says how many events of each table belong to it, and in
which order transactions committed: units are exactly the source's transactions.

Without it the promise is weaker. Events are grouped by transaction id, and a group counts as whole when every partition
has shown a later one, or nothing more has come for `idle_s` and every partition was read to its end after that. What
comes still later is a unit of its own, after others that it should have come before: no event is lost and the order of
each key is kept, but a reader may see half a transaction. What cannot bear that is refused: truncates and rows without
a key where a topic has several partitions.

Rows of a snapshot are units of their own in any case: they have no transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from typing import Final, Protocol

from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.place_queue import PlaceQueue, Progress
from cdc.changelog.debezium_topics.refusals import incomplete, other_history, out_of_order, without_journal
from cdc.changelog.debezium_topics.topic_events import CLOCK_SKEW_US, EndMark, Newest, TopicEvent
from cdc.events import TableName
from cdc.lsn import ZERO, Lsn

_SNAPSHOT_ROWS: Final = 5_000
_PATIENCE: Final = 30
"""So many times `idle_s` an END waits for events that every partition's end says are not there."""


class EventStore(Protocol):
    """Keeps the events of one partition that belong to a unit, in order; they may be more than fit into memory."""

    def append(self, event: TopicEvent) -> None: ...

    def __iter__(self) -> Iterator[TopicEvent]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One transaction, or a part of one or of a snapshot. `progress`: where partitions stand after it.

    `lsn`: the source's commit, or the newest event's place. `is_whole`: an END said so.
    """

    xid: int
    lsn: Lsn
    time_us: int
    stores: tuple[EventStore, ...]
    progress: Mapping[Place, Progress]
    is_whole: bool = False

    def events(self) -> Iterator[TopicEvent]:
        """In the order in which they happened. A row that left its key comes before the one that arrived."""
        return merge(*self.stores, key=_order)


def _order(event: TopicEvent) -> tuple[int, int]:
    return (event.lsn if event.order is None else event.order, event.op != "d")


class _Open:
    """A unit that is being filled."""

    def __init__(self, xid: int, end: EndMark | None, now_s: float) -> None:
        self.xid, self.end, self.arrived_s = xid, end, now_s
        self.stores: dict[Place, EventStore] = {}
        self.counts: Counter[TableName] = Counter()
        first = (ZERO, None if end is None else 0)
        self.at: defaultdict[Place, tuple[Lsn, int | None]] = defaultdict(lambda: first)
        self.lsn, self.time_us = (ZERO, 0) if end is None else (end.lsn, end.time_us)


class TopicAssembler:
    """Feed every record of every partition in the order of its offsets; `take` gives what is whole."""

    def __init__(self, *, journal: Place | None, idle_s: float, new_store: Callable[[], EventStore]) -> None:
        self._journal_place, self._idle_s, self._new_store = journal, idle_s, new_store
        self._queues: dict[Place, PlaceQueue] = {}
        self._tables: dict[TableName, list[PlaceQueue]] = {}
        self._by_topic: dict[str, list[PlaceQueue]] = {}
        self._journal: PlaceQueue | None = None
        self._open: _Open | None = None

    def add_place(self, place: Place, progress: Progress, table: TableName | None) -> None:
        """A partition that is read from now on; `table` None: it holds no events of tables."""
        queue = self._queues[place] = PlaceQueue(place, progress)
        if place == self._journal_place:
            self._journal = queue
        if table is not None:
            self._tables.setdefault(table, []).append(queue)
            self._by_topic.setdefault(place[0], []).append(queue)

    def is_full(self, place: Place) -> bool:
        """It should not be read on before something was taken."""
        return self._queues[place].is_full

    @property
    def is_empty(self) -> bool:
        """Nothing waits."""
        return self._open is None and not any(queue.waiting for queue in self._queues.values())

    def feed(self, event: TopicEvent, now_s: float) -> None:
        """Raises `SlotMismatch` for one of another history of the source."""
        queue = self._queues[event.place]
        seen = queue.seen(event)
        if seen == "other history":
            raise other_history(event.place, event.offset)
        if seen == "repeat":
            queue.skip(event.offset)
        else:
            queue.add(event, now_s)

    def feed_end(self, end: EndMark, now_s: float) -> None:
        """Raises `SlotMismatch` as `feed` does."""
        queue = self._journal
        assert queue is not None
        newest = queue.newest
        if newest is not None and end.lsn <= newest.lsn:
            if end.time_us > newest.time_us + CLOCK_SKEW_US:
                raise other_history(queue.place, end.offset)
            queue.skip(end.offset)
            return
        at_us = max(end.time_us, newest.time_us) if newest else end.time_us
        queue.add_end(end, Newest(xid=end.xid, lsn=end.lsn, previous=None, order=None, time_us=at_us), now_s)

    def skip(self, place: Place, offset: int) -> None:
        """A record without an event."""
        self._queues[place].skip(offset)

    def reached(self, places: Iterable[Place], at_s: float) -> None:
        """At `at_s` these partitions held nothing that was not fed."""
        for place in places:
            self._queues[place].reached_s = at_s

    def take(self, now_s: float) -> Unit | None:
        """The next unit. Raises `LogDamaged` when events that an END counts are certainly not there."""
        if self._open is None:
            if (unit := self._snapshot()) is not None:
                return unit
            self._open = self._next_assumed() if self._without_end() else self._next_ended(now_s)
        opened = self._open
        if opened is None:
            return None
        self._draw(opened)
        if not (self._is_assumed_whole(opened) if opened.end is None else self._is_whole(opened, opened.end, now_s)):
            return None
        self._open = None
        return self._unit(opened)

    def progress(self) -> Unit | None:
        """What was passed over since, when nothing waits: a unit without events."""
        if not self.is_empty:
            return None
        unit = Unit(xid=0, lsn=ZERO, time_us=0, stores=(), progress=self._moved())
        return unit if unit.progress else None

    def _snapshot(self) -> Unit | None:
        stores: list[EventStore] = []
        time_us, count = 0, 0
        for queue in self._table_queues():
            if not _is_snapshot(queue.event()):
                continue
            store = self._new_store()
            stores.append(store)
            while (event := queue.event()) is not None and event.op == "r" and count < _SNAPSHOT_ROWS:
                queue.take()
                store.append(event)
                time_us, count = max(time_us, event.time_us), count + 1
            queue.finish()
        if not stores:
            return None
        # The rows of one key lie in one partition, so partitions need not be woven.
        return Unit(xid=0, lsn=ZERO, time_us=time_us, stores=tuple(stores), progress=self._moved())

    def _without_end(self) -> list[TopicEvent]:
        """The next events that no END counts."""
        return [event for queue in self._table_queues() if (event := queue.event()) and not self._has_end(event)]

    def _next_assumed(self) -> _Open | None:
        """The oldest transaction without an END to come, once it seems whole or is too large to wait as it is."""
        oldest = min(self._without_end(), key=lambda event: (event.previous or ZERO, event.time_us, event.lsn))
        waiting = [queue for queue in self._table_queues() if queue.waiting]
        own = [queue for queue in waiting if queue.waiting[-1].item.xid == oldest.xid]
        arrived = [q.waiting[-1 if q in own else 0].arrived_s for q in waiting if q.waiting[0].item.xid == oldest.xid]
        opened = _Open(oldest.xid, None, max(arrived))
        if any(queue.is_full for queue in own) or self._is_past(opened, own):
            return opened
        return None

    def _is_past(self, opened: _Open, own: list[PlaceQueue]) -> bool:
        """Every partition has shown something later, or was read to its end `idle_s` after the newest event."""
        quiet_s = opened.arrived_s + self._idle_s
        return all((q.waiting and q not in own) or q.reached_s >= quiet_s for q in self._table_queues())

    def _is_assumed_whole(self, opened: _Open) -> bool:
        return self._is_past(opened, [])

    def _next_ended(self, now_s: float) -> _Open | None:
        """The next END that counts events of tables that are read."""
        journal = self._journal
        if journal is None:
            self._refuse_without_journal(now_s)
        while journal is not None and journal.waiting:
            end = journal.take().item
            assert isinstance(end, EndMark)
            counts = {table: count for table, count in end.counts.items() if table in self._tables}
            if counts:
                return _Open(end.xid, replace(end, counts=counts), now_s)
            journal.finish()
        return None

    def _refuse_without_journal(self, now_s: float) -> None:
        """The topic comes into being with the first transaction, and may be seen a moment later than the tables'."""
        for queue in self._table_queues():
            if queue.waiting and now_s - queue.waiting[0].arrived_s > _PATIENCE * self._idle_s:
                assert self._journal_place is not None
                raise without_journal(self._journal_place[0])

    def _is_whole(self, opened: _Open, end: EndMark, now_s: float) -> bool:
        for table, count in end.counts.items():
            if opened.counts[table] >= count:
                continue
            queues = self._tables[table]
            late_s = opened.arrived_s + _PATIENCE * self._idle_s
            if all(queue.waiting or queue.reached_s >= late_s for queue in queues):
                blocked = next((queue.event() for queue in queues if queue.waiting), None)
                raise incomplete(end, table, count, opened.counts[table], blocked)
            return False
        return True

    def _has_end(self, event: TopicEvent) -> bool:
        """Its END has come or will come."""
        return self._journal_place is not None and event.in_block

    def _draw(self, opened: _Open) -> None:
        """Move what belongs to the open unit out of the queues."""
        end = opened.end
        queues = self._table_queues() if end is None else [q for table in end.counts for q in self._tables[table]]
        for queue in queues:
            while (event := queue.event()) is not None and self._belongs(event, opened):
                opened.arrived_s = max(opened.arrived_s, queue.take().arrived_s)
                store = opened.stores.get(queue.place)
                if store is None:
                    store = opened.stores[queue.place] = self._new_store()
                if event.op == "r":
                    # A chunk of an incremental snapshot in the middle: it keeps its place in its partition.
                    event = replace(event, lsn=opened.at[queue.place][0], order=opened.at[queue.place][1])
                else:
                    opened.counts[event.table] += 1
                    opened.at[queue.place] = (event.lsn, event.order)
                    event = self._ordered(event) if end is None else event
                if end is None:
                    opened.lsn = max(opened.lsn, event.lsn)
                    opened.time_us = max(opened.time_us, event.time_us)
                store.append(event)

    def _belongs(self, event: TopicEvent, opened: _Open) -> bool:
        if event.op == "r":
            return True
        return event.xid == opened.xid and self._has_end(event) is (opened.end is not None)

    def _ordered(self, event: TopicEvent) -> TopicEvent:
        """With the refusal of what needs an order that is not known."""
        if (event.op == "t" or not event.keyed) and len(self._by_topic[event.place[0]]) > 1 and event.error is None:
            return replace(event, error=out_of_order(event))
        return event

    def _unit(self, opened: _Open) -> Unit:
        for queue in self._queues.values():
            queue.finish()
        return Unit(
            xid=opened.xid,
            lsn=opened.lsn,
            time_us=opened.time_us,
            stores=tuple(opened.stores.values()),
            progress=self._moved(),
            is_whole=opened.end is not None,
        )

    def _moved(self) -> dict[Place, Progress]:
        """Where partitions stand that have moved since the last unit."""
        moved = {}
        for place, queue in self._queues.items():
            if queue.done[0] != queue.saved[0]:
                moved[place] = queue.saved = queue.done
        return moved

    def _table_queues(self) -> list[PlaceQueue]:
        return [queue for queues in self._tables.values() for queue in queues]


def _is_snapshot(event: TopicEvent | None) -> bool:
    return event is not None and event.op == "r"
