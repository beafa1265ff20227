"""Capture → Kafka → target by our worker, against a bare kafka-python pair that moves messages of the same size.

Ours does all its work in one process: decode the slot, produce, consume, apply. The pair has a process for each side,
does nothing else, and writes no database.
"""

import importlib.util
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg

from benchmarks.bare_kafka import pair_rate
from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_table import SOURCE_DDL, UNMAPPED, insert_items
from cdc.changelog.kafka.connection import ensure_topics, open_consumer
from cdc.changelog.kafka.log import KafkaChangeLog
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import SlotInUse
from cdc.link import LinkSpec
from cdc.mapping.compiled import compile_mapping
from cdc.positions import start_ledger
from cdc.provision import deprovision_source, provision_source, provision_target
from cdc.schema import reflect
from cdc.worker import StreamWorker
from sandbox.kafka import start_kafka
from sandbox.postgres import create_database, start_postgres
from sandbox.supervision import Stack

ROWS = 200_000
ROWS_PER_TRANSACTION = 100
_LONGEST_S = 600.0
_POLL_S = 0.02
_LET_GO_S = 30.0
_SAMPLE = 1000


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    rows = max(ROWS_PER_TRANSACTION, round(ROWS * scale))
    with Stack() as stack:
        bootstrap = start_kafka(stack).bootstrap
        source, target = start_postgres(stack, "source"), start_postgres(stack, "target")
        run = _Runs(stack.folder, bootstrap, source, target, rows)
        yield Case(
            ours=run.ours,
            reference=run.reference,
            unit=f"rows/s, {rows:,} rows × 6 columns in transactions of {ROWS_PER_TRANSACTION}, one broker",
            notes=run.notes,
        )


class _Runs:
    def __init__(self, folder: Path, bootstrap: str, source: str, target: str, rows: int) -> None:
        self._folder, self._bootstrap, self._rows = folder, bootstrap, rows
        self._source_server, self._target_server = source, target
        self._numbers = itertools.count()
        self._size = 0

    def ours(self) -> float:
        return self._streamed("kafka-python")

    def _streamed(self, client: Literal["kafka-python", "confluent"]) -> float:
        """The rows wait in the slot; from the start of the worker to the last row in the target."""
        number = next(self._numbers)
        source = create_database(self._source_server, f"source{number}")
        target = create_database(self._target_server, f"target{number}")
        for dsn in (source, target):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(SOURCE_DDL)
        link = self._link(source, target, f"bench{number}")
        position = provision_source(source, link.stream, link.mapper.source_tables)
        provision_target(target, link.stream)
        start_ledger(target, link.stream, position)
        insert_items(source, self._rows, rows_per_transaction=ROWS_PER_TRANSACTION)
        options = KafkaOptions(bootstrap=self._bootstrap, prefix=link.stream, client=client)
        log = KafkaChangeLog(options, stream=link.stream, keys=link.source_keys)
        seconds = self._follow(link, log)
        _deprovision(source, link.stream)
        self._size = self._size or _value_size(options)
        return self._rows / seconds

    def reference(self) -> float:
        return self._pair(fast=False)

    def notes(self) -> Sequence[str]:
        fast = self._pair(fast=True)
        accelerated = ""
        if importlib.util.find_spec("confluent_kafka"):
            accelerated = f'; ours with client = "confluent": {self._streamed("confluent"):,.0f} rows/s'
        return (
            f"messages of {self._size} bytes; the same pair with CRC-32C in C, as our log has it: {fast:,.0f}/s"
            f"{accelerated}",
        )

    def _pair(self, *, fast: bool) -> float:
        topic = f"bare{next(self._numbers)}"
        ensure_topics(KafkaOptions(bootstrap=self._bootstrap, prefix="bare"), {topic: 1})
        return pair_rate(self._bootstrap, topic, self._rows, self._size, fast=fast)

    def _follow(self, link: LinkSpec, log: KafkaChangeLog) -> float:
        stop = threading.Event()
        worker = threading.Thread(target=StreamWorker([link], open_log=lambda _: log).run, args=(stop,))
        began = time.monotonic()
        worker.start()
        try:
            with psycopg.connect(link.target_dsn, autocommit=True) as connection:
                while connection.execute("SELECT max(id) FROM item").fetchone() != (self._rows,):
                    if time.monotonic() - began > _LONGEST_S or not worker.is_alive():
                        raise WrongResult(thing="stream", reason="did not arrive", mend="see strangler.stream_status")
                    time.sleep(_POLL_S)
                seconds = time.monotonic() - began
                if connection.execute("SELECT count(*) FROM item").fetchone() != (self._rows,):
                    raise WrongResult(thing="stream", reason="lost rows", mend="mend the stream")
        finally:
            stop.set()
            worker.join()
        return seconds

    def _link(self, source: str, target: str, move: str) -> LinkSpec:
        sources, targets = reflect(source, UNMAPPED.source_tables), reflect(target, UNMAPPED.target_tables)
        return LinkSpec(
            move=move,
            direction="forward",
            source_dsn=source,
            target_dsn=target,
            log_folder=self._folder / move,
            mapper=compile_mapping(UNMAPPED, sources, targets),
            source_keys={name: table.primary_key for name, table in sources.tables.items()},
            follows_copy=False,
        )


def _deprovision(source: str, stream: str) -> None:
    """The server may need a moment to see that the worker is gone."""
    deadline = time.monotonic() + _LET_GO_S
    while True:
        try:
            deprovision_source(source, stream)
            return
        except SlotInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _value_size(options: KafkaOptions) -> int:
    """Mean bytes of our rows' values."""
    from kafka import TopicPartition

    where = TopicPartition(Topics(prefix=options.prefix).table("public", "item"), 0)
    consumer = open_consumer(options)
    try:
        consumer.assign([where])
        consumer.seek(where, 0)
        sizes: list[int] = []
        while len(sizes) < _SAMPLE:
            records = consumer.poll(timeout_ms=1000).get(where, [])
            sizes += [len(record.value) for record in records]
            if not records:
                break
    finally:
        consumer.close()
    return sum(sizes) // max(1, len(sizes))
