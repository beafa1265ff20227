"""`strangler cdc tail`: the events themselves, as Debezium records or without loss."""

import os
import signal
import sys
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import click
from psycopg.conninfo import conninfo_to_dict

from cdc.debezium import DebeziumEncoder, DebeziumOptions
from cdc.debezium.catalog_reader import read_catalog
from cdc.debezium.lossless import LosslessWriter
from cdc.events import TableName, Transaction
from cdc.server_kinds import is_mysql
from cdc.tail import tail_database, tail_log
from commands.change_logs import ChangeLogs
from commands.context import Context
from commands.handling_modes import handling_mode_options
from commands.mapping import table_name, typed_table
from commands.output import service_argument, stderr
from commands.tail_mysql import mysql_tail
from strangler.clock import SystemClock
from strangler.errors import BadInput

Lines = Callable[[Transaction], Iterable[str]]


@click.command("tail")
@service_argument
@click.option("--source", metavar="URL", help="A database to capture, instead of a service's change log.")
@click.option("--table", "tables", multiple=True, metavar="T", help='May be given several times; "a.b" in quotes.')
@click.option("--direction", type=click.Choice(["forward", "reverse"]), default="forward", show_default=True)
@click.option("--until-now", is_flag=True, help="Stop at the position that the source has now.")
@click.option(
    "--snapshot/--no-snapshot",
    default=None,
    help="With --source: first the rows that are there (op r). On by default with --until-now.",
)
@click.option("--format", "format_", type=click.Choice(["debezium", "lossless"]), default="debezium", show_default=True)
@click.option("--schemas", is_flag=True, help="Keys and values as {schema, payload}, as Connect's JsonConverter does.")
@click.option("--transactions", is_flag=True, help="Transaction blocks, and BEGIN and END on their own topic.")
@click.option("--topic-prefix", metavar="NAME", help="Debezium's topic.prefix: the move, or strangler.")
@handling_mode_options
@click.pass_obj
def tail(
    context: Context,
    /,
    service: str | None,
    source: str | None,
    tables: tuple[str, ...],
    direction: str,
    until_now: bool,
    snapshot: bool | None,
    format_: str,
    schemas: bool,
    transactions: bool,
    topic_prefix: str | None,
    **handling_modes: Any,
) -> None:
    """Print change events, one JSON line each: {"topic", "key", "value"}, and "headers" where there are any.

    Values are as Debezium 3.6 writes them; what its form cannot carry is named in the header __strangler.lost
    (docs/debezium-compatibility.md). --format lossless prints our own lines, which lose nothing.

    \b
    Example: strangler cdc tail catalog --until-now
    Example: strangler cdc tail --source postgresql://db/store --table product --until-now
    Example: strangler cdc tail --source postgresql://db/store --table product --format lossless
    Example: strangler cdc tail --source mysql://root@db/store --table product --until-now
    """
    named = list(dict.fromkeys(typed_table(table) for table in tables))

    def lines(default_prefix: str, dsn: str, catalog_of: list[TableName]) -> Lines:
        if format_ == "lossless":
            return LosslessWriter().lines
        catalog = read_catalog(dsn, catalog_of)
        options = DebeziumOptions(
            topic_prefix=topic_prefix or default_prefix,
            database=str(conninfo_to_dict(dsn).get("dbname") or default_prefix),
            schemas_enable=schemas,
            provide_transaction_metadata=transactions,
            **handling_modes,
        )
        return _debezium_lines(DebeziumEncoder(options, catalog))

    if source is not None:
        if service is not None:
            raise BadInput(
                thing="cdc tail --source",
                reason=f"is a database of its own, not service {service}",
                mend="leave out SERVICE, or --source",
            )
        if not named:
            raise BadInput(thing="cdc tail --source", reason="no table is named", mend="add --table NAME")
        if is_mysql(source):
            events, mysql_lines = mysql_tail(
                source,
                named,
                until_now=until_now,
                format_=format_,
                topic_prefix=topic_prefix or "strangler",
                schemas_enable=schemas,
                provide_transaction_metadata=transactions,
                **handling_modes,
            )
            _print(events, mysql_lines)
            return
        wants_snapshot = until_now if snapshot is None else snapshot
        if not until_now:
            stderr.print("events from now on; Ctrl-C ends it")
        found = tail_database(
            source,
            named,
            name=f"strangler_tail_{uuid.uuid4().hex[:12]}",
            snapshot=wants_snapshot,
            until_now=until_now,
        )
        _print(found, lines("strangler", source, named))
        return
    plan = context.plan(context.service(service))
    is_reverse = direction == "reverse"
    log = ChangeLogs(context.settings).to_read(plan.move, "reverse" if is_reverse else "forward")
    side = context.settings.service(plan.service) if is_reverse else context.settings.legacy
    logged = [table_name(table) for table in plan.tables]
    _print(tail_log(log, tables=named, until_now=until_now), lines(plan.move, side.database, logged))


def _debezium_lines(encoder: DebeziumEncoder) -> Lines:
    clock = SystemClock()

    def lines(transaction: Transaction) -> Iterator[str]:
        now_us = int(clock.now().timestamp() * 1_000_000)
        for record in encoder.records(transaction, processed_at_us=now_us, snapshot="true"):
            yield record.as_line()

    return lines


def _print(transactions: Generator[Transaction, None, None], lines: Lines) -> None:
    """Until the end, Ctrl-C or SIGTERM; a reader that has gone (`| head`) is an end like any other."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with closing(transactions):
            for transaction in transactions:
                for line in lines(transaction):
                    click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        signal.signal(signal.SIGTERM, before)
