"""A stream whose log is a foreign connector's topics: apply and status, without capture, slot or copy."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cdc.apply_loop import ApplyLoop
from cdc.changelog.debezium_topics.changes import without_positions
from cdc.changelog.debezium_topics.consumer import TopicConsumer
from cdc.changelog.debezium_topics.log import DebeziumTopicsLog
from cdc.changelog.debezium_topics.options import Place, TopicsOptions
from cdc.changelog.debezium_topics.positions import PositionStore
from cdc.changelog.debezium_topics.tables import both_schemas
from cdc.chunk_handover import ChunkHandover
from cdc.debezium.catalog import TypeCatalog
from cdc.errors import BrokerUnreachable, DatabaseUnreachable
from cdc.events import Transaction
from cdc.link import LinkLimits, LinkSpec
from cdc.link_signals import LinkView
from cdc.loops import Loop
from cdc.mapping.compiled import compile_mapping
from cdc.mapping.model import MoveMapping
from cdc.metrics.meter import StreamMeter
from cdc.metrics.metered import MeteredSignals
from cdc.server_kinds import is_postgresql
from cdc.sql_target.value_types import value_types
from cdc.status_loop import StatusLoop
from cdc.tables import Schema
from strangler.clock import Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumeSpec:
    """`name`: of the stream, unique in the target. `mapping`: of the source's tables. `source`: their structure; None:
    that of their targets, in PostgreSQL alone. `catalog`: the source's types."""

    name: str
    target_dsn: str = field(repr=False)
    folder: Path
    mapping: MoveMapping
    topics: TopicsOptions
    catalog: TypeCatalog
    source: Schema | None = None
    limits: LinkLimits = field(default_factory=LinkLimits)
    on_bad_row: Literal["park", "stop"] = "park"


class TopicsWorker:
    """Runs one stream in threads of its own."""

    def __init__(self, spec: ConsumeSpec, clock: Clock) -> None:
        self._clock, self._stop, self._status_stop = clock, threading.Event(), threading.Event()
        self.link, self.options = link_of(spec), spec.topics
        self._positions = PositionStore(spec.target_dsn, self.link.stream)
        self.meter = StreamMeter()
        self._signals = MeteredSignals(self.meter, clock)
        self._log = DebeziumTopicsLog(
            spec.topics,
            stream=self.link.stream,
            positions=self._positions,
            catalog=spec.catalog,
            clock=clock,
            spill_folder=spec.folder,
            captured=self._signals.captured,
            given=self._given,
        )
        handover = ChunkHandover(in_flight=1)
        self._apply = ApplyLoop(
            self.link, self._log, signals=self._signals, handover=handover, clock=clock, stop=self._stop
        )
        status = StatusLoop(self.link, signals=self._signals, meter=self.meter, stop=self._status_stop)
        self._loops = [
            self._loop("apply", self._apply.session, self._stop),
            self._loop("status", status.session, self._status_stop),
        ]

    def start(self) -> None:
        """Raises `StreamBusy` when another consumer runs the stream."""
        try:
            self._apply.prepare()
        except (BrokerUnreachable, DatabaseUnreachable) as error:
            self._signals.trouble("apply", error)
        for loop in self._loops:
            loop.start()

    def view(self) -> LinkView:
        """The stream's state now."""
        return self._signals.view()

    def applied_through(self, ends: Mapping[Place, int]) -> bool:
        """The target holds everything before these offsets."""
        places = self._positions.load().places
        return all(end == 0 or (place in places and places[place][0] >= end) for place, end in ends.items())

    def stop(self) -> None:
        """Finish the batch in hand, then give everything back."""
        self._stop.set()
        self._signals.wake()
        self._loops[0].join()
        self._status_stop.set()
        self._loops[1].join()
        self._log.close()

    def _given(self, transaction: Transaction) -> None:
        now_s = self._clock.monotonic()
        self.meter.batch_begins(now_s)
        self.meter.captured([without_positions(transaction)], now_s)

    def _loop(self, part: str, session: Callable[[], None], stop: threading.Event) -> Loop:
        return Loop(
            part,
            self.link.stream,
            session,
            signals=self._signals,
            limits=self.link.limits,
            clock=self._clock,
            stop=stop,
        )


def ends_now(options: TopicsOptions) -> dict[Place, int]:
    """Where the partitions of the tables end now. Raises `LogNotFound`, `BrokerUnreachable`."""
    consumer = TopicConsumer(options)
    try:
        places = [place for place in consumer.discover() if place[0] in options.table_topics]
        consumer.look_at(places)
        consumer.refuse_without_topics()
        return consumer.ends()
    finally:
        consumer.close()


def link_of(spec: ConsumeSpec) -> LinkSpec:
    """The stream to the applier: the mapping, and the table of positions as one that is mapped as it is.

    Raises `MappingInvalid`, `SchemaChanged`, `DatabaseUnreachable`.
    """
    mapping, source, target = both_schemas(spec.mapping, spec.target_dsn, spec.source)
    return LinkSpec(
        move=spec.name,
        direction="forward",
        source_dsn="",
        target_dsn=spec.target_dsn,
        log_folder=spec.folder,
        mapper=compile_mapping(mapping, source, target),
        source_keys={name: source.tables[name].primary_key for name in spec.mapping.source_tables},
        follows_copy=False,
        limits=spec.limits,
        on_bad_row=spec.on_bad_row,
        value_types={} if is_postgresql(spec.target_dsn) else value_types(mapping, source),
    )
