"""`strangler cdc consume`: apply the topics of a Debezium connector that is not ours."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cdc.changelog.debezium_topics.consume import ConsumeSpec, TopicsWorker, ends_now
from cdc.changelog.debezium_topics.options import TopicsOptions
from cdc.changelog.debezium_topics.positions import PositionStore
from cdc.changelog.debezium_topics.tables import same_tables
from cdc.debezium import options as modes
from cdc.debezium.catalog import TableShape, TypeCatalog
from cdc.debezium.catalog_reader import read_catalog
from cdc.debezium.options import DebeziumOptions
from cdc.events import TableName
from cdc.link import LinkLimits, stream_name
from cdc.mapping.model import MoveMapping
from cdc.metrics.topics import TopicsExporter
from cdc.schema import reflect
from cdc.server_kinds import is_postgresql
from cdc.worker import stop_on_signals
from commands.context import Context
from commands.handling_modes import handling_mode_options
from commands.kafka_options import kafka_options, kafka_security_options
from commands.mapping import move_mapping, table_name
from commands.output import stderr
from strangler.clock import SystemClock
from strangler.errors import BadInput, PromiseBroken

_POLL_S = 0.2


class _Stopped(PromiseBroken):
    """The stream cannot go on by itself; the error that stopped it, as it was."""


@click.command("consume")
@click.option("--bootstrap", required=True, metavar="HOST:PORT,…", help="Brokers of the connector's cluster.")
@click.option("--topic-prefix", required=True, metavar="NAME", help="The connector's topic.prefix.")
@click.option("--to", "target", required=True, metavar="URL", help="The database to apply to (docs/targets.md).")
@click.option("--table", "tables", multiple=True, metavar="T", help="May be given several times.")
@click.option("--plan-of", metavar="SERVICE", help="Tables and mapping of this service's plan, instead of --table.")
@click.option("--source", metavar="URL", help="The connector's database, to learn its types; nothing is read of it.")
@click.option("--name", metavar="NAME", help="Of the stream, unique in the target. Default: the topic prefix.")
@click.option("--accept", "accepted", multiple=True, metavar="T.COLUMN", help="Believe this column, whatever it lost.")
@click.option(
    "--transactions",
    type=click.Choice(["use", "ignore"]),
    default="use",
    show_default=True,
    help="Whole transactions by PREFIX.transaction, when it is there (provide.transaction.metadata).",
)
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(min=0.05, max=3600),
    default=1.0,
    show_default=True,
    help="Without that topic: seconds of quiet after which a transaction counts as whole.",
)
@click.option("--accept-incomplete", is_flag=True, help="Go on although topics have lost records.")
@click.option("--nulls-kept", is_flag=True, help="The connector's converters have replace.null.with.default=false.")
@click.option("--until-now", is_flag=True, help="Stop at the records that the topics hold now.")
@click.option("--forget", is_flag=True, help="Remove the stream from the target, and do nothing else.")
@click.option("--on-bad-row", type=click.Choice(["park", "stop"]), default="park", show_default=True)
@click.option("--placeholder", default=modes.PLACEHOLDER, show_default=True, help="unavailable.value.placeholder")
@click.option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there (docs/monitoring.md).")
@kafka_security_options
@handling_mode_options
@click.pass_obj
def consume(
    context: Context,
    /,
    bootstrap: str,
    topic_prefix: str,
    target: str,
    tables: tuple[str, ...],
    plan_of: str | None,
    source: str | None,
    name: str | None,
    accepted: tuple[str, ...],
    transactions: Any,
    idle_s: float,
    accept_incomplete: bool,
    nulls_kept: bool,
    until_now: bool,
    forget: bool,
    on_bad_row: Any,
    placeholder: str,
    metrics: str | None,
    security: str,
    sasl_mechanism: str | None,
    username: str | None,
    password: str | None,
    cafile: str | None,
    **handling_modes: Any,
) -> None:
    """Apply a Debezium connector's topics (PostgreSQL, JSON) to a database, until SIGTERM or Ctrl-C.

    Where the stream stands is written by the transaction that writes the rows, so it goes on after any crash with
    nothing lost or applied twice. A value that Debezium's form does not carry exactly stops the stream unless its
    column is accepted by name (docs/debezium-compatibility.md).

    A target that is not PostgreSQL needs --source, for the types.

    \b
    Example: strangler cdc consume --bootstrap kafka:9092 --topic-prefix store --table product --to postgresql://db/shop
    Example: strangler cdc consume --bootstrap kafka:9092 --topic-prefix store --plan-of catalog --to postgresql://db/shop
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    address = _address(metrics)
    stream = stream_word(name or topic_prefix)
    positions = PositionStore(target, stream_name(stream, "forward"))
    if forget:
        positions.forget()
        return
    if source is None and not is_postgresql(target):
        raise BadInput(
            thing="--to",
            reason="is no PostgreSQL database: whether its columns hold the values depends on the source's types",
            mend="name the connector's database: --source URL (only its catalog is read)",
        )
    mapping = _mapping(context, plan_of, tables, target, source)
    topics = TopicsOptions(
        kafka=kafka_options(
            bootstrap,
            topic_prefix,
            security=security,
            sasl_mechanism=sasl_mechanism,
            username=username,
            password=password,
            cafile=cafile,
        ),
        tables=mapping.source_tables,
        written=DebeziumOptions(topic_prefix=topic_prefix, unavailable_value_placeholder=placeholder, **handling_modes),
        accept_columns=frozenset(accepted),
        idle_s=idle_s,
        accept_incomplete=accept_incomplete,
        transactions=transactions,
        types_known=source is not None,
        nulls_are_kept=nulls_kept,
    )
    positions.provision()
    spec = ConsumeSpec(
        name=stream,
        target_dsn=target,
        folder=context.config_path.resolve().parent / ".strangler" / "consume" / stream,
        mapping=mapping,
        topics=topics,
        catalog=_catalog(source, target, mapping),
        source=reflect(source, mapping.source_tables) if source else None,
        limits=LinkLimits(),
        on_bad_row=on_bad_row,
    )
    worker = TopicsWorker(spec, SystemClock())
    with _metrics(worker, address):
        _run(worker, ends_now(topics) if until_now else None)


def _address(metrics: str | None) -> str | None:
    if metrics is not None:
        host, _, port = metrics.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
            raise BadInput(thing="--metrics", reason=f"{metrics!r} is no HOST:PORT", mend="write it as 127.0.0.1:9911")
    return metrics


@contextmanager
def _metrics(worker: TopicsWorker, address: str | None) -> Iterator[None]:
    if address is None:
        yield
        return
    exporter = TopicsExporter(worker, address=address, clock=SystemClock())
    exporter.start()
    try:
        yield
    finally:
        exporter.close()


def _run(worker: TopicsWorker, ends: Any) -> None:
    """Until it is told to stop, or stands at `ends`, or stopped for a person while somebody waits for that."""
    stop = threading.Event()
    stop_on_signals(stop)
    shown = None
    worker.start()
    try:
        while not stop.wait(_POLL_S):
            view = worker.view()
            if view.error is not None and view.error != shown:
                shown = view.error
                stderr.print(f"{view.state}: {shown['thing']}: {shown['reason']} — {shown['mend']}")
            if ends is None:
                continue
            if view.state == "stopped" and view.error is not None:
                raise _Stopped(**{part: view.error[part] for part in ("thing", "reason", "mend")})
            if worker.applied_through(ends):
                return
    finally:
        worker.stop()


def _mapping(
    context: Context, plan_of: str | None, tables: tuple[str, ...], target: str, source: str | None
) -> MoveMapping:
    if plan_of:
        return move_mapping(context.plan(context.service(plan_of)))
    if not tables:
        raise BadInput(
            thing="cdc consume", reason="no table is named", mend="add --table NAME for each, or --plan-of SERVICE"
        )
    names = [table_name(table) for table in tables]
    return same_tables(target, names, reflect(source, names) if source else None)


def _catalog(source: str | None, target: str, mapping: MoveMapping) -> TypeCatalog:
    """The source's types; without a source those of the columns that take the values as they are."""
    if source is not None:
        return read_catalog(source, mapping.source_tables)
    found = read_catalog(target, mapping.target_tables)
    shapes: dict[TableName, TableShape] = {}
    for table in mapping.tables:
        columns = {
            rule.source: found.shape(each.table).columns[rule.target]
            for each in table.targets
            for rule in each.columns
            if rule.plain and rule.source and rule.target in found.shape(each.table).columns
        }
        shapes[table.source] = TableShape(primary_key=found.shape(table.targets[0].table).primary_key, columns=columns)
    return TypeCatalog(types=found.types, tables=shapes)


def stream_word(name: str) -> str:
    """A part of the name of bookkeeping rows and of the replication origin."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())[:40]
