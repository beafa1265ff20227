"""Puts recorded events into real topics, and runs a consumer of them."""

import json
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
from kafka import KafkaProducer

from cdc.changelog.debezium_topics.consume import ConsumeSpec, TopicsWorker, ends_now
from cdc.changelog.debezium_topics.options import TopicsOptions
from cdc.changelog.debezium_topics.positions import PositionStore
from cdc.changelog.debezium_topics.tables import same_tables
from cdc.changelog.kafka.connection import ensure_topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.debezium import DebeziumOptions
from cdc.debezium.catalog_reader import read_catalog
from cdc.debezium.topic_names import table_topic
from cdc.events import TableName
from cdc.link import LinkLimits
from cdc.schema import reflect
from cdc.server_kinds import is_postgresql
from strangler.clock import SystemClock

NAME = "foreign"
STREAM = f"strangler_{NAME}_forward"


class Topics:
    """Topics of one prefix; `send` keeps the order of its records within each partition."""

    def __init__(self, bootstrap, tables, partitions=1, transactions=True):
        self.prefix = f"dbz{uuid.uuid4().hex[:8]}"
        self.options = KafkaOptions(bootstrap=bootstrap, prefix=self.prefix)
        self.tables = [TableName(name=name) for name in tables]
        wanted = {table_topic(self.prefix, "public", name): partitions for name in tables}
        wanted |= {f"{self.prefix}.transaction": 1} if transactions else {}
        self.made = ensure_topics(self.options, wanted | {f"__debezium-heartbeat.{self.prefix}": 1})
        self._producer = KafkaProducer(bootstrap_servers=bootstrap)

    def send(self, records, old_prefix, with_schema=True):
        """`records`: (topic, key, value, headers). What belongs to other topics is left out."""
        for topic, key, value, headers in records:
            name = topic.replace(old_prefix, self.prefix, 1)
            if name not in self.made or (key is None and value is None):
                continue
            body = [None if text is None else _body(text, with_schema) for text in (key, value)]
            heads = [(name, text.encode()) for name, text in (headers or {}).items() if text is not None]
            self._producer.send(name, key=body[0], value=body[1], headers=heads)
        self._producer.flush()

    def close(self):
        self._producer.close()


@contextmanager
def topics_maker(bootstrap):
    """Gives a function that makes `Topics` at these brokers; all are closed at the end."""
    made = []

    def make(*arguments, **options):
        made.append(Topics(bootstrap, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _body(text, with_schema):
    parsed = json.loads(text)
    if not with_schema and isinstance(parsed, dict) and parsed.keys() == {"schema", "payload"}:
        return json.dumps(parsed["payload"]).encode()
    return text.encode()


def spec(topics, target, source=None, *, accept=(), modes=None, on_bad_row="park", **options):
    """`source`: its types are known, as records without schema need."""
    PositionStore(target, STREAM).provision()
    origin = reflect(source, topics.tables) if source else None
    return ConsumeSpec(
        name=NAME,
        target_dsn=target,
        folder=Path(tempfile.gettempdir()),
        mapping=same_tables(target, topics.tables, origin),
        topics=TopicsOptions(
            kafka=topics.options,
            tables=tuple(topics.tables),
            written=DebeziumOptions(topic_prefix=topics.prefix, **(modes or {})),
            accept_columns=frozenset(accept),
            types_known=source is not None,
            **{"idle_s": 0.3, **options},
        ),
        catalog=read_catalog(source or target, topics.tables),
        source=origin,
        on_bad_row=on_bad_row,
        limits=LinkLimits(retry_min_s=0.05, retry_max_s=0.2, takeover_s=5.0, status_s=0.2),
    )


@contextmanager
def consuming(chosen):
    """A worker, stopped at the end."""
    worker = TopicsWorker(chosen, SystemClock())
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def consume_all(chosen, timeout_s=60):
    """Apply what the topics hold. Fails with the stream's error when it stops."""
    ends = ends_now(chosen.topics)
    with consuming(chosen) as worker:
        deadline = time.monotonic() + timeout_s
        while not worker.applied_through(ends):
            view = worker.view()
            assert view.state != "stopped", view.error
            assert time.monotonic() < deadline, (view, ends, PositionStore(chosen.target_dsn, STREAM).load())
            time.sleep(0.05)
    if is_postgresql(chosen.target_dsn):
        assert parked(chosen.target_dsn) == []


def stops(chosen, timeout_s=30):
    """The error that the stream stops with."""
    with consuming(chosen) as worker:
        deadline = time.monotonic() + timeout_s
        while worker.view().state != "stopped":
            assert time.monotonic() < deadline, worker.view()
            time.sleep(0.05)
        return worker.view().error


def parked(dsn):
    query = "SELECT source_table, key, operation, reason FROM strangler.parked_row"
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


def rows(dsn, table, columns="*"):
    """Text forms of all rows, sorted."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET extra_float_digits = 3; SET timezone = 'UTC'; SET lc_monetary = 'C'")
        found = connection.execute(f"SELECT {columns} FROM {table} x")
        names = [column.name for column in found.description]
        cast = ", ".join(f'x."{name}"::text' for name in names)
        return names, sorted(map(repr, connection.execute(f"SELECT {cast} FROM {table} x").fetchall()))
