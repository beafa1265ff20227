"""`strangler cdc`: the stream worker, its lag, and the events themselves."""

import json
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from psycopg.conninfo import conninfo_to_dict

from cdc.link import LinkSpec
from cdc.metrics.exporter import MetricsExporter
from cdc.tail import tail_database, tail_log
from cdc.worker import StreamWorker, stop_on_signals
from commands.change_logs import ChangeLogs
from commands.context import Context
from commands.lag import lag, thresholds
from commands.mapping import table_name
from commands.outbox import outbox
from commands.output import service_argument, stderr
from commands.sequences import SequencePusher
from commands.streams import MoveStreams
from strangler.clock import SystemClock
from strangler.errors import BadInput
from strangler.settings import StreamSettings

_POLL_S = 0.3


@click.group()
def cdc() -> None:
    """Change data capture: run the worker, see its lag, read the events."""


cdc.add_command(lag)
cdc.add_command(outbox)


@cdc.command("stream")
@service_argument
@click.pass_obj
def stream(context: Context, service: str | None) -> None:
    """Run the stream worker of one service, both directions, until SIGTERM. `strangler up` does this for you.

    It waits until the move is prepared, and again after it has ended.

    \b
    Example: strangler cdc stream catalog
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    plan = context.plan(context.service(service))
    stop = threading.Event()
    stop_on_signals(stop)
    with MoveStreams(context.settings, plan, SystemClock()) as streams:
        while not stop.is_set():
            if streams.wanted():
                _run_while_wanted(streams, context.settings.stream, stop)
            stop.wait(_POLL_S)


def _run_while_wanted(streams: MoveStreams, settings: StreamSettings, stop: threading.Event) -> None:
    """One worker run; ends when the move is deprovisioned or `stop` is set."""
    ended = threading.Event()

    def watch() -> None:
        while not stop.wait(_POLL_S) and streams.wanted():
            if ended.is_set():
                return
        ended.set()

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    with SequencePusher(streams) as push:
        links = streams.links()
        worker = StreamWorker(links, push_sequences=push, open_log=streams.change_logs.of_link)
        watcher.start()
        try:
            with _metrics(links, worker, settings):
                worker.run(ended)
        finally:
            ended.set()
            watcher.join()


@contextmanager
def _metrics(links: Sequence[LinkSpec], worker: StreamWorker, settings: StreamSettings) -> Iterator[None]:
    """The worker's Prometheus endpoint, when settings name an address."""
    if not settings.metrics:
        yield
        return
    exporter = MetricsExporter(
        links, worker.meters(), address=settings.metrics, thresholds=thresholds(settings), clock=SystemClock()
    )
    exporter.start()
    try:
        yield
    finally:
        exporter.close()


@cdc.command("tail")
@service_argument
@click.option("--source", metavar="URL", help="A database to capture, instead of a service's change log.")
@click.option("--table", "tables", multiple=True, metavar="T", help="With --source; may be given several times.")
@click.option("--direction", type=click.Choice(["forward", "reverse"]), default="forward", show_default=True)
@click.option("--until-now", is_flag=True, help="Stop at the position that the source has now.")
@click.option("--format", "format_", type=click.Choice(["debezium"]), default="debezium", show_default=True)
@click.pass_obj
def tail(
    context: Context,
    service: str | None,
    source: str | None,
    tables: tuple[str, ...],
    direction: str,
    until_now: bool,
    format_: str,
) -> None:
    """Print change events, one JSON line each: {"topic", "key", "value"}.

    \b
    Example: strangler cdc tail catalog --until-now
    Example: strangler cdc tail --source postgresql://db/store --table product
    """
    if source is not None:
        if not tables:
            raise BadInput(thing="cdc tail --source", reason="no table is named", mend="add --table NAME")
        stderr.print("events from now on; Ctrl-C ends it")
        events = tail_database(
            source,
            [table_name(table) for table in tables],
            name=f"strangler_tail_{uuid.uuid4().hex[:12]}",
            logical_name="strangler",
            until_now=until_now,
        )
    else:
        plan = context.plan(context.service(service))
        is_reverse = direction == "reverse"
        log = ChangeLogs(context.settings).to_read(plan.move, "reverse" if is_reverse else "forward")
        side = context.settings.service(plan.service) if is_reverse else context.settings.legacy
        database = str(conninfo_to_dict(side.database).get("dbname") or plan.move)
        events = tail_log(log, logical_name=plan.move, database=database, until_now=until_now)
    for event in events:
        click.echo(json.dumps({"topic": event.topic, "key": event.key, "value": event.value}, default=str))
