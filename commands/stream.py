"""`strangler cdc stream`: the stream worker of one service."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from cdc.link import LinkSpec
from cdc.metrics.exporter import MetricsExporter
from cdc.worker import StreamWorker, stop_on_signals
from commands.context import Context
from commands.lag import thresholds
from commands.output import service_argument
from commands.own_stream import OwnEnds, OwnStream, own_stream_options
from commands.streams import MoveStreams
from strangler.clock import SystemClock
from strangler.settings import StreamSettings

_POLL_S = 0.3


@click.command("stream")
@service_argument
@own_stream_options
@click.option(
    "--table", "tables", multiple=True, metavar="T", help="With --source; `T=OTHER` where the target differs."
)
@click.option("--copy/--no-copy", "copies", default=True, help="With --source: first the rows that are there. Default.")
@click.option("--remove", is_flag=True, help="With --source: end that stream for good; copied rows stay.")
@click.pass_obj
def stream(
    context: Context, service: str | None, own: OwnEnds | None, tables: tuple[str, ...], copies: bool, remove: bool
) -> None:
    """Run the stream worker of one service, both directions, until SIGTERM. `strangler up` does this for you.

    It waits until the move is prepared, and again after it has ended.

    With --source and --target it is a stream of its own, outside of any move: it copies the tables, then follows them.
    Killed or stopped it goes on where it was. MySQL, MariaDB or PostgreSQL → anything in docs/targets.md.

    \b
    Example: strangler cdc stream catalog
    Example: strangler cdc stream --source mysql://root@db/shop --target postgresql://db/orders --table item
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if own is not None:
        _run_own(own.stream(tables=tables, copies=copies), remove=remove)
        return
    plan = context.plan(context.service(service))
    stop = threading.Event()
    stop_on_signals(stop)
    with MoveStreams(context.settings, plan, SystemClock()) as streams:
        while not stop.is_set():
            if streams.wanted():
                _run_while_wanted(streams, context.settings.stream, stop)
            stop.wait(_POLL_S)


def _run_own(own: OwnStream, *, remove: bool) -> None:
    if remove:
        own.remove()
        return
    stop = threading.Event()
    stop_on_signals(stop)
    link = own.link()
    own.provision()
    StreamWorker([link]).run(stop)


def _run_while_wanted(streams: MoveStreams, settings: StreamSettings, stop: threading.Event) -> None:
    """One worker run; ends when the move is deprovisioned or `stop` is set."""
    ended = threading.Event()

    def watch() -> None:
        while not stop.wait(_POLL_S) and streams.wanted():
            if ended.is_set():
                return
        ended.set()

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    links = streams.links()
    worker = StreamWorker(links, push_sequences=streams.keep_sequences_ahead, open_log=streams.change_logs.of_link)
    watcher.start()
    try:
        with _metrics(links, worker, settings), streams.change_logs.publishing_parked(links):
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
