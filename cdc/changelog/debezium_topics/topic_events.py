"""What stands in the topics, and which of it was seen before. Pure.

A connector that is restarted writes again what it had not noted as written, and goes on from there. Within a partition
events come in commit order, so what comes again is recognised by its place in that order: the commit before its
transaction (`source.sequence`), its number in the transaction, or its own place in the source's log. Whatever is not
certainly a repeat is an event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from cdc.changelog.debezium_topics.options import Place
from cdc.events import RowChange, TableName, Truncate
from cdc.lsn import Lsn
from strangler.errors import StranglerError

CLOCK_SKEW_US: Final = 5_000_000
"""Commit times follow the order of commits only so closely."""
_MOST_DIGESTS: Final = 2_000
_SAVED_DIGESTS: Final = 64

Operation = Literal["c", "u", "d", "r", "t"]
Seen = Literal["new", "repeat", "other history"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """A record as Kafka has it."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicEvent:
    """One row event or truncate.

    `previous`: where the commit before its transaction lies, if the writer said. `order`: its number in the
    transaction, if the writer counts (`in_block`). `digest`: (of the key, of what it says).
    `error`: why it cannot be applied.
    """

    place: Place
    offset: int
    table: TableName
    op: Operation
    xid: int
    lsn: Lsn
    previous: Lsn | None
    order: int | None
    time_us: int
    digest: tuple[int, int]
    keyed: bool
    size: int
    raw: Raw
    change: RowChange | Truncate
    error: StranglerError | None = None

    @property
    def in_block(self) -> bool:
        """Its transaction has an END in the transaction topic."""
        return self.order is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndMark:
    """The END of a transaction. `lsn`: the byte after its commit record. `counts`: events by table."""

    offset: int
    xid: int
    lsn: Lsn
    time_us: int
    counts: Mapping[TableName, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Newest:
    """The newest event of a partition. `digests`: what was seen at its place in the source's log, (key, what it says),
    newest first, as a chain that later ones share."""

    xid: int
    lsn: int
    previous: int | None
    order: int | None
    time_us: int
    digests: "Chain | None" = None

    def seen(self, event: TopicEvent, said: Mapping[int, int]) -> Seen:
        """What a following event of the same partition is. Rows of a snapshot are always new: they say what is.

        `said`: what the newest event of each key said at this place of the source's log, as far as this reader saw.
        """
        if event.op == "r":
            return "new"
        if event.xid == self.xid:
            return "repeat" if self._again(event, said) else "new"
        if self.previous is None:
            is_older = event.lsn < self.lsn and event.time_us <= self.time_us
            return "repeat" if is_older and event.previous is None else "new"
        if (event.previous or 0) >= self.previous or event.lsn >= self.previous:
            return "new"
        return "repeat" if event.time_us <= self.time_us + CLOCK_SKEW_US else "other history"

    def _again(self, event: TopicEvent, said: Mapping[int, int]) -> bool:
        if event.order is not None and self.order is not None:
            return event.order <= self.order
        if event.lsn != self.lsn:
            return event.lsn < self.lsn
        key, says = event.digest
        return said.get(key) == says

    def as_json(self) -> list[Any]:
        kept = [[each.key, each.said] for each in islice(chained(self.digests), _SAVED_DIGESTS)]
        return [self.xid, self.lsn, self.previous, self.order, self.time_us, kept]


class Chain(NamedTuple):
    """A linked list, so that what is noted with an offset never knows of later events."""

    key: int
    said: int
    earlier: "Chain | None"
    length: int


def chained(chain: Chain | None) -> Iterator[Chain]:
    """From the newest on."""
    while chain is not None:
        yield chain
        chain = chain.earlier


def said_by(newest: "Newest | None") -> dict[int, int]:
    """By key, as far as it was kept."""
    chain = None if newest is None else newest.digests
    return {each.key: each.said for each in reversed(list(chained(chain)))}


def newest_of(event: TopicEvent, before: Newest | None) -> Newest | None:
    """What is known after `event`, which is new. A snapshot's row says nothing about the order of others."""
    if event.op == "r":
        return before
    earlier = None
    if before is not None and (before.xid, before.lsn) == (event.xid, event.lsn):
        earlier = before.digests
    length = 1 if earlier is None else earlier.length + 1
    if length > _MOST_DIGESTS:
        earlier, length = None, 1
    return Newest(
        xid=event.xid,
        lsn=event.lsn,
        previous=event.previous,
        order=event.order,
        time_us=max(event.time_us, before.time_us) if before else event.time_us,
        digests=None if event.in_block else Chain(*event.digest, earlier, length),
    )


def newest_from_json(found: Sequence[Any] | None) -> Newest | None:
    """The inverse of `Newest.as_json`."""
    if found is None:
        return None
    xid, lsn, previous, order, time_us, kept = found
    chain: Chain | None = None
    for length, (key, said) in enumerate(reversed(kept), 1):
        chain = Chain(key, said, chain, length)
    return Newest(xid=xid, lsn=lsn, previous=previous, order=order, time_us=time_us, digests=chain)
