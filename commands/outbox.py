"""`strangler cdc outbox`: the rows of an outbox table, delivered as domain events."""

import logging
import re
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import click

from cdc.changelog.local import LocalChangeLog
from cdc.connections import open_database
from cdc.error_policy import Policy, policy_for
from cdc.events import TableName
from cdc.lsn import Lsn, before_boundary
from cdc.outbox.options import OutboxOptions, parse_placements
from cdc.outbox.relay import OutboxRelay, run_relay
from cdc.outbox.sinks import DatabaseSink, EventSink, KafkaSink, LineSink, PositionFile
from cdc.postgres_source import PostgresSource
from cdc.provision import deprovision_source, provision_source
from cdc.schema_changes.standing import StandingTables
from cdc.source_port import ChangeSource
from cdc.worker import stop_on_signals
from commands.change_logs import ChangeLogs
from commands.context import Context
from commands.layout import Layout
from commands.mapping import table_name
from commands.output import service_argument, stderr
from strangler.clock import Clock, SystemClock
from strangler.errors import BadInput, StranglerError
from strangler.settings import OutboxSettings, Settings

_RETRY_S: Final = (0.2, 10.0)

Receiver = Literal["lines", "kafka", "database"]


@click.command("outbox")
@service_argument
@click.option("--side", type=click.Choice(["service", "legacy"]), default="service", show_default=True)
@click.option(
    "--to",
    default="lines",
    show_default=True,
    metavar="lines|kafka|URL",
    envvar="STRANGLER_OUTBOX_TO",
    show_envvar=True,
    help="JSON lines on stdout; topics of [stream.kafka]; or the consumer's PostgreSQL, exactly once.",
)
@click.option("--until-now", is_flag=True, help="Stop when everything committed before the start is delivered.")
@click.option("--drop", is_flag=True, help="Remove slot, publication and position of this relay instead.")
@click.pass_obj
def outbox(context: Context, service: str | None, side: str, to: str, until_now: bool, drop: bool) -> None:
    """Deliver the rows of an outbox table as domain events, in commit order, until SIGTERM.

    What its columns mean stands in [services.NAME.outbox] or [legacy.outbox]. Each receiver has a replication slot and
    a position of its own: killed at any moment it goes on where it was, and what comes twice carries the same id. The
    first start begins now; earlier rows are not events.

    \b
    Example: strangler cdc outbox catalog
    Example: strangler cdc outbox catalog --to postgresql://consumer/db
    """
    relay = _relay_of(context, service, side, to)
    if drop:
        deprovision_source(relay.dsn, relay.stream)
        shutil.rmtree(relay.folder, ignore_errors=True)
        stderr.print(f"removed: {relay.stream}")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    stop_on_signals(stop)
    _run(relay, stop, until_now=until_now)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Relay:
    """One outbox table and one receiver of its events."""

    settings: Settings
    stream: str
    dsn: str
    folder: Path
    options: OutboxOptions
    to: str

    @property
    def receiver(self) -> Receiver:
        return "lines" if self.to == "lines" else "kafka" if self.to == "kafka" else "database"

    def open_sink(self) -> EventSink:
        position = PositionFile(self.folder / "position")
        match self.receiver:
            case "lines":
                return LineSink(position)
            case "kafka":
                kafka = ChangeLogs(self.settings).kafka_options(self.stream, "forward")
                return KafkaSink(replace(kafka, prefix=self.stream), position)
            case "database":
                return DatabaseSink(self.to, self.stream)

    def open_source(self, clock: Clock, *, position: Lsn, resume_from: Lsn) -> ChangeSource:
        return PostgresSource(
            self.dsn,
            slot=self.stream,
            publication=self.stream,
            position=position,
            resume_from=resume_from,
            clock=clock,
        )


def _relay_of(context: Context, service: str | None, side: str, to: str) -> _Relay:
    settings = context.settings
    name = "legacy" if side == "legacy" else context.service(service)
    chosen = settings.legacy if side == "legacy" else settings.service(name)
    section = "legacy.outbox" if side == "legacy" else f"services.{name}.outbox"
    if chosen.outbox is None:
        raise BadInput(
            thing=f"[{section}]",
            reason="strangler.toml does not have it",
            mend=f'add [{section}] with table = "outbox" and, where they differ, the names of its columns',
        )
    if to not in ("lines", "kafka") and not to.startswith(("postgresql://", "postgres://")):
        raise BadInput(thing="--to", reason="not lines, kafka or a postgresql:// URL", mend="name one of the three")
    kind = to if to in ("lines", "kafka") else "database"
    stream = re.sub(r"[^a-z0-9_]", "_", f"strangler_outbox_{name}_{kind}".lower())[:63]
    return _Relay(
        settings=settings,
        stream=stream,
        dsn=chosen.database,
        folder=Layout.of(settings).outbox(stream),
        options=outbox_options(chosen.outbox),
        to=to,
    )


def outbox_options(settings: OutboxSettings) -> OutboxOptions:
    """Raises `OutboxInvalid`."""
    return OutboxOptions(
        table=table_name(settings.table),
        id=settings.id,
        key=settings.key,
        route_by=settings.route_by,
        payload=settings.payload,
        timestamp=settings.timestamp,
        topic_regex=settings.topic_regex,
        topic=settings.topic,
        expand_json=settings.expand_json,
        tombstone_on_empty=settings.tombstone_on_empty,
        place=parse_placements(settings.place),
        invalid_operation=settings.invalid_operation,
    )


def _run(relay: _Relay, stop: threading.Event, *, until_now: bool) -> None:
    """With `until_now` every error ends it; otherwise what can pass is tried again."""
    clock = SystemClock()
    wait_s = _RETRY_S[0]
    while not stop.is_set():
        began_s = clock.monotonic()
        try:
            _session(relay, stop, clock, until_now=until_now)
            return
        except StranglerError as error:
            if until_now or policy_for(error) is not Policy.RETRY:
                raise
            stderr.print(str(error), markup=False)
        if clock.monotonic() - began_s > _RETRY_S[1]:
            wait_s = _RETRY_S[0]
        stop.wait(wait_s)
        wait_s = min(wait_s * 2, _RETRY_S[1])


def _session(relay: _Relay, stop: threading.Event, clock: Clock, *, until_now: bool) -> None:
    tables: Sequence[TableName] = [relay.options.table]
    start = provision_source(relay.dsn, relay.stream, tables)
    standing = StandingTables(
        source_dsn=relay.dsn,
        stream=relay.stream,
        tables=tables,
        folder=relay.folder,
        anew="make good what its receiver has missed, then `strangler cdc outbox --drop` and start it anew",
    )
    standing.remember()
    until = _end_of_log(relay.dsn) if until_now else None
    log = LocalChangeLog(relay.folder / "log")
    try:
        sink = relay.open_sink()
        try:
            run_relay(
                open_source=lambda *, position, resume_from: relay.open_source(
                    clock, position=position, resume_from=resume_from
                ),
                log=log,
                relay=OutboxRelay(log, relay.options, sink),
                start=start,
                stopped=stop.is_set,
                clock=clock,
                until=until,
                watch=standing.look,
            )
        finally:
            sink.close()
    finally:
        log.close()


def _end_of_log(dsn: str) -> Lsn:
    """Everything that has committed starts at or before it."""
    with open_database(dsn) as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS at").fetchone()
    assert row is not None
    return before_boundary(int(row["at"]))
