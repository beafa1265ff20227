"""The topics as a `ChangeLog` to read: committed transactions in commit order, as far as the topics tell it.

Ordering: the source's commit order (see `assembly` for what is promised without a transaction topic). `commit_lsn`
strictly increases; it is the source's own where an END says it, else a number that follows it closely.
Position: an `Lsn` alone does not say where to read on, so every transaction carries rows of `strangler.topic_position`.
A reader that asks for another position than the one it was given last is taken back to what the target holds.
Durability, retention: Kafka's and the connector's own affair. Nothing is appended, nothing is removed.
Concurrency: one reader, which is the target's applier.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cdc.changelog.debezium_topics.assembly import TopicAssembler, Unit
from cdc.changelog.debezium_topics.changes import SpillingStore, changes_of
from cdc.changelog.debezium_topics.consumer import TopicConsumer
from cdc.changelog.debezium_topics.options import Place, TopicsOptions
from cdc.changelog.debezium_topics.positions import PositionStore, TopicPositions
from cdc.changelog.debezium_topics.reading import RecordReader
from cdc.changelog.debezium_topics.refusals import many_journals, orphan
from cdc.changelog.debezium_topics.tombstones import DeletesSeen
from cdc.changelog.debezium_topics.topic_events import EndMark, Raw, TopicEvent
from cdc.changelog.kafka.connection import compacted_topics
from cdc.changelog.port import ChangeLog
from cdc.debezium.catalog import TypeCatalog
from cdc.errors import LogInUse, StreamBusy
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn, format_lsn
from strangler.clock import Clock

_WAIT_S: Final = 0.2
_LONGEST_S: Final = 1.0
"""A reader that waits for the rest of a transaction is given a chance to stop."""
_DISCOVER_EVERY_S: Final = 5.0
_NOTE_EVERY_S: Final = 1.0
"""How often positions move over records that hold nothing."""


class DebeziumTopicsLog:
    """See `ChangeLog`; `catalog`: the types of the source's tables; `captured`: told how far events were read; `given`:
    told each transaction before the applier gets it, some of them again after a step back."""

    def __init__(
        self,
        options: TopicsOptions,
        *,
        stream: str,
        positions: PositionStore,
        catalog: TypeCatalog,
        clock: Clock,
        spill_folder: Path | None = None,
        captured: Callable[[Lsn], None] = lambda lsn: None,
        given: Callable[[Transaction], None] = lambda transaction: None,
    ) -> None:
        self._options, self._stream, self._positions, self._catalog = options, stream, positions, catalog
        self._clock, self._folder, self._captured, self._given = clock, spill_folder, captured, given
        self._session: _Session | None = None
        self._last = ZERO

    def start(self, position: Lsn) -> None:
        """The connector has begun it."""

    def append(self, transactions: Sequence[Transaction]) -> None:
        """Raises `LogInUse`."""
        raise LogInUse(
            thing=f"topics of prefix {self._options.prefix}",
            reason="are written by Debezium alone",
            mend="read them; write a log of your own",
        )

    def last_lsn(self) -> Lsn:
        """Of the newest transaction that was read."""
        return self._last

    def first_lsn(self) -> Lsn:
        """Whether anything is missing shows when the partitions are opened."""
        return ZERO

    def read(self, after: Lsn) -> Iterator[Transaction]:
        """What is whole by now, then stop. Waits a moment when there is nothing. Raises `PositionExpired`,
        `SlotMismatch`, `LogDamaged`, `LogNotFound`, `UntrustedValues`, `ValueRefused`, `DecodeError`,
        `BrokerUnreachable`."""
        if self._session is not None and self._session.last != after:
            self._end_session()
        wait_s = _WAIT_S
        try:
            session = self._session = self._session or self._open(after)
            while (transaction := session.next(wait_s)) is not None:
                self._last = transaction.commit_lsn
                wait_s = 0.0
                self._given(transaction)
                yield transaction
        except GeneratorExit:
            raise
        except BaseException:
            self._end_session()
            raise

    def trim(self, through: Lsn) -> None:
        """The topics are not ours to remove."""

    def close(self) -> None:
        self._end_session()

    def _open(self, after: Lsn) -> "_Session":
        found = self._positions.load()
        if found.position != after:
            raise StreamBusy(
                thing=f"stream {self._stream}",
                reason=f"its target stands at {format_lsn(found.position)}, not at {format_lsn(after)}: somebody else "
                "moved it",
                mend="let one consumer run at a time",
            )
        reader = RecordReader(self._options, self._catalog)
        return _Session(self._options, self._stream, reader, found, self._clock, self._folder, self._captured)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _Session:
    """One way through the topics, from the target's positions to an error or a step back. Has given `last`."""

    def __init__(
        self,
        options: TopicsOptions,
        stream: str,
        reader: RecordReader,
        saved: TopicPositions,
        clock: Clock,
        folder: Path | None,
        captured: Callable[[Lsn], None],
    ) -> None:
        self._captured = captured
        self._options, self._stream, self._reader, self._clock = options, stream, reader, clock
        self._saved = saved
        self.last = saved.position
        self._consumer = TopicConsumer(options)
        self._places: list[Place] = []
        self._tables, self._deletes = options.table_topics, DeletesSeen()
        self._discovered_s = self._noted_s = self._looked_s = float("-inf")
        self._newest_us = 0
        try:
            places = self._consumer.discover()
            self._assembler = TopicAssembler(
                journal=(options.transaction_topic, 0) if options.transactions == "use" else None,
                idle_s=options.idle_s,
                new_store=lambda: SpillingStore(reader, folder),
            )
            self._add(places)
            self._consumer.refuse_without_topics()
        except BaseException:
            self._consumer.close()
            raise

    def next(self, wait_s: float) -> Transaction | None:
        """The next transaction; None when there is none now, after waiting `wait_s`."""
        deadline_s = self._clock.monotonic() + max(wait_s, _LONGEST_S)
        while True:
            unit = self._assembler.take(self._clock.monotonic())
            if unit is None:
                came = self._fill(wait_s)
                if came and self._clock.monotonic() < min(deadline_s, self._looked_s + self._options.idle_s):
                    continue
                self._look_around()
                unit = self._assembler.take(self._clock.monotonic()) or self._progress()
                if unit is None:
                    if came and self._clock.monotonic() < deadline_s:
                        continue
                    return None
            return self._transaction(unit)

    def close(self) -> None:
        self._consumer.close()

    def _fill(self, wait_s: float) -> bool:
        """Whether anything came."""
        self._consumer.hold_back([place for place in self._places if self._assembler.is_full(place)])
        now_s, came, newest = self._clock.monotonic(), False, ZERO
        for place, offset, raw in self._consumer.poll(wait_s):
            came = True
            self._refuse_orphan(place, offset, raw)
            item = self._reader.read(place, offset, raw)
            if raw.value:
                self._deletes.saw(place, raw.key, is_delete=isinstance(item, TopicEvent) and item.op == "d")
            if isinstance(item, TopicEvent):
                self._assembler.feed(item, now_s)
                newest = max(newest, item.lsn)
            elif isinstance(item, EndMark):
                self._assembler.feed_end(item, now_s)
            else:
                self._newest_us = max(self._newest_us, item.time_us)
                self._assembler.skip(place, offset)
        if newest:
            self._captured(newest)
        return came

    def _refuse_orphan(self, place: Place, offset: int, raw: Raw) -> None:
        """What was lost before the stream began is accepted, if it is, with all the rest."""
        if raw.value or raw.key is None or self._options.accept_incomplete or place[0] not in self._tables:
            return
        if self._deletes.is_orphan(place, offset, raw.key):
            raise orphan(place, offset)

    def _look_around(self) -> None:
        """Are the partitions at their ends, are there new ones?"""
        now_s = self._looked_s = self._clock.monotonic()
        if not self._assembler.is_empty:
            self._assembler.reached(self._consumer.at_end(), now_s)
        if now_s - self._discovered_s >= _DISCOVER_EVERY_S:
            self._add(self._consumer.discover())

    def _add(self, places: list[Place]) -> None:
        self._discovered_s = self._clock.monotonic()
        if not places:
            return
        if any(partition > 0 for topic, partition in places if topic == self._options.transaction_topic):
            raise many_journals(self._options.transaction_topic)
        self._reader.distrust_unchanged(
            compacted_topics(self._options.kafka, {topic for topic, _ in places} & self._tables.keys())
        )
        for place, progress in self._consumer.read_from(places, self._saved.places, self._saved.topic_ids).items():
            self._assembler.add_place(place, progress, self._tables.get(place[0]))
            if place in self._saved.places:
                self._deletes.begin(place, progress[0])
            self._places.append(place)

    def _progress(self) -> Unit | None:
        now_s = self._clock.monotonic()
        if now_s - self._noted_s < _NOTE_EVERY_S:
            return None
        self._noted_s = now_s
        return self._assembler.progress()

    def _transaction(self, unit: Unit) -> Transaction:
        position = self.last = Lsn(max(unit.lsn, self.last + 1))
        self._newest_us = max(self._newest_us, unit.time_us)
        return Transaction(
            xid=unit.xid,
            commit_lsn=position,
            end_lsn=position,
            commit_time_us=unit.time_us or self._newest_us,
            changes=changes_of(unit, self._stream, self._reader, self._consumer.topic_ids),
        )


_: type[ChangeLog] = DebeziumTopicsLog
