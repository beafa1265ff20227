"""What was read of one partition and does not stand in the target yet. Pure."""

from collections import deque
from typing import Final

from cdc.changelog.debezium_topics.options import Place
from cdc.changelog.debezium_topics.topic_events import EndMark, Newest, Seen, TopicEvent, newest_of, said_by

MOST_EVENTS: Final = 5_000
MOST_BYTES: Final = 8 << 20

Progress = tuple[int, Newest | None]
"""The next offset to read, and the newest event before it."""


class Queued:
    """An event or END, when it came, and how far the partition has come when it is done."""

    __slots__ = ("arrived_s", "item", "progress")

    def __init__(self, item: TopicEvent | EndMark, progress: Progress, arrived_s: float) -> None:
        self.item, self.progress, self.arrived_s = item, progress, arrived_s


class PlaceQueue:
    """One partition, in the order of its offsets; repeats are left out."""

    def __init__(self, place: Place, progress: Progress) -> None:
        self.place = place
        self.waiting: deque[Queued] = deque()
        self.done: Progress = progress
        self.saved: Progress = progress
        self.reached_s = float("-inf")
        """When the partition was last known to be read to its end."""
        self.open_progress: Progress | None = None
        """Of what was taken for a unit that is not whole yet."""
        self._newest = progress[1]
        self._said = said_by(progress[1])
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= MOST_EVENTS or self._bytes >= MOST_BYTES

    @property
    def newest(self) -> Newest | None:
        """The newest event that was read."""
        return self._newest

    def seen(self, event: TopicEvent) -> Seen:
        """Whether it was read before."""
        return "new" if self._newest is None else self._newest.seen(event, self._said)

    def event(self) -> TopicEvent | None:
        """The next event, if there is one."""
        item = self.waiting[0].item if self.waiting else None
        return item if isinstance(item, TopicEvent) else None

    def add(self, event: TopicEvent, now_s: float) -> None:
        """A new event."""
        before, self._newest = self._newest, newest_of(event, self._newest)
        if self._newest is not before and not event.in_block:
            if before is None or (before.xid, before.lsn) != (event.xid, event.lsn):
                self._said = {}
            self._said[event.digest[0]] = event.digest[1]
            if len(self._said) > MOST_EVENTS:
                del self._said[next(iter(self._said))]
        self._bytes += event.size
        self.waiting.append(Queued(event, (event.offset + 1, self._newest), now_s))

    def add_end(self, end: EndMark, newest: Newest, now_s: float) -> None:
        """An END, in the transaction topic."""
        self._newest = newest
        self.waiting.append(Queued(end, (end.offset + 1, newest), now_s))

    def skip(self, offset: int) -> None:
        """A record without an event."""
        if self.waiting:
            last = self.waiting[-1]
            last.progress = (offset + 1, last.progress[1])
        elif self.open_progress is not None:
            self.open_progress = (offset + 1, self.open_progress[1])
        else:
            self.done = (offset + 1, self.done[1])

    def take(self) -> Queued:
        """The next one; its unit is not whole until `finish`."""
        taken = self.waiting.popleft()
        if isinstance(taken.item, TopicEvent):
            self._bytes -= taken.item.size
        self.open_progress = taken.progress
        return taken

    def finish(self) -> None:
        """What was taken is a unit now."""
        if self.open_progress is not None:
            self.done, self.open_progress = self.open_progress, None
