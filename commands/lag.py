"""`strangler cdc lag`: how far each stream is behind, when it will have caught up, and what needs a person."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from cdc.errors import StreamAlert
from cdc.lag import StreamLag
from cdc.link import Direction
from cdc.metrics.alerts import OF_A_MOVE, OF_ITS_OWN, Alert, Commands, Thresholds, alerts
from cdc.metrics.forecast import Forecast, ProgressSample, forecast
from commands.context import Context
from commands.output import json_option, print_error, print_json, print_rows, service_argument, stderr
from commands.own_stream import OwnEnds, own_stream_options
from commands.streams import MoveStreams
from commands.topics_lag import topics_lag_options
from strangler.clock import SystemClock
from strangler.settings import StreamSettings

_DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")
_BETWEEN_SAMPLES_S = 1.0

_COLUMNS: Mapping[str, str] = {
    "direction": "direction",
    "state": "state",
    "seconds": "seconds",
    "bytes": "bytes",
    "waiting": "events_waiting",
    "caught up in": "caught_up_in",
    "transactions": "transactions",
    "events": "events",
    "slot": "slot",
    "slot retains": "wal_retained_bytes",
    "until lost": "wal_headroom_bytes",
}

Seen = Mapping[Direction, tuple[StreamLag, Forecast]]
Readers = Mapping[Direction, Callable[[], StreamLag]]


def thresholds(settings: StreamSettings) -> Thresholds:
    """`[stream] alert_wal_bytes`, `alert_lag_seconds`."""
    return Thresholds(wal_bytes=settings.alert_wal_bytes, lag_seconds=settings.alert_lag_seconds)


@click.command("lag")
@topics_lag_options
@service_argument
@own_stream_options
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds.")
@json_option
@click.pass_obj
def lag(
    context: Context, service: str | None, own: OwnEnds | None, watch: bool, interval: float, as_json: bool
) -> None:
    """How far each stream is behind its source: bytes of log, seconds, events, by table, and when it is caught up.

    Exits with 1, naming the slot and the mend, when a stream stopped, rows are parked, or the log that the source
    retains or the lag is above `stream.alert_wal_bytes` or `stream.alert_lag_seconds`.

    \b
    Example: strangler cdc lag --json
    Example: strangler cdc lag catalog --watch
    Example: strangler cdc lag --source mysql://root@db/shop --target postgresql://db/orders
    Example: strangler cdc lag --bootstrap kafka:9092 --topic-prefix store --target postgresql://db/shop
    """
    interval_s = interval if watch else _BETWEEN_SAMPLES_S
    if own is not None:
        stream = own.stream()
        readers: Readers = {"forward": stream.lag}
        _report(own.name, readers, thresholds(StreamSettings()), OF_ITS_OWN, interval_s, watch, as_json)
        return
    plan = context.plan(context.service(service))
    with MoveStreams(context.settings, plan, SystemClock()) as streams:
        readers = {direction: partial(streams.stream_lag, direction) for direction in _DIRECTIONS}
        _report(plan.move, readers, thresholds(context.settings.stream), OF_A_MOVE, interval_s, watch, as_json)


def _report(
    name: str,
    readers: Readers,
    limits: Thresholds,
    commands: Commands,
    interval_s: float,
    watch: bool,
    as_json: bool,
) -> None:
    """Show once, or again and again; then raise what somebody must be told."""
    for seen in _samples(readers, interval_s):
        raised = [alert for each, _ in seen.values() for alert in alerts(each, limits, commands)]
        _show(name, seen, raised, as_json=as_json)
        if not watch:
            break
    _refuse(raised)


def _samples(readers: Readers, interval_s: float) -> Iterator[Seen]:
    """A rate needs two readings; a stream that is caught up needs only one."""
    before = {direction: _read(reader) for direction, reader in readers.items()}
    if all(each.bytes == 0 for each, _ in before.values()):
        yield _forecasts(before, before)
    while True:
        time.sleep(interval_s)
        now = {direction: _read(reader) for direction, reader in readers.items()}
        yield _forecasts(before, now)
        before = now


_Readings = Mapping[Direction, tuple[StreamLag, ProgressSample]]


def _read(reader: Callable[[], StreamLag]) -> tuple[StreamLag, ProgressSample]:
    each = reader()
    return each, ProgressSample.of(each.source_lsn, each.bytes, time.monotonic())


def _forecasts(before: _Readings, now: _Readings) -> Seen:
    return {direction: (each, forecast(before[direction][1], sample)) for direction, (each, sample) in now.items()}


def _refuse(raised: list[Alert]) -> None:
    errors = [StreamAlert(thing=alert.thing, reason=alert.reason, mend=alert.mend) for alert in raised]
    for error in errors[:-1]:
        print_error(error)
    for error in errors[-1:]:
        raise error


def _show(move: str, seen: Seen, raised: list[Alert], *, as_json: bool) -> None:
    rows = [_row(direction, each, ahead) for direction, (each, ahead) in seen.items()]
    tables = [_table_row(direction, table) for direction, (each, _) in seen.items() for table in each.tables]
    if as_json:
        for row in rows:
            row["tables"] = [table for table in tables if table["direction"] == row["direction"]]
            row["alerts"] = [asdict(alert) for alert in raised if alert.thing.endswith(str(row["stream"]))]
        print_json(rows)
        return
    facing = {name: key for name, key in _COLUMNS.items() if any(row[key] is not None for row in rows)}
    print_rows(tuple(facing), [tuple(row[key] for key in facing.values()) for row in rows], title=f"streams of {move}")
    if tables:
        headings = tuple(name.replace("_", " ") for name in tables[0])
        print_rows(headings, [tuple(row.values()) for row in tables], title="tables")
    for row in rows:
        if row["error"]:
            stderr.print(f"{row['stream']}: {row['error'].get('thing')}: {row['error'].get('reason')}", markup=False)


def _row(direction: Direction, each: StreamLag, ahead: Forecast) -> dict[str, Any]:
    return {
        "direction": direction,
        "stream": each.stream,
        "state": each.state,
        "seconds": each.seconds,
        "bytes": each.bytes,
        "events_waiting": each.events_waiting,
        "caught_up_in": str(ahead),
        "caught_up_in_s": ahead.seconds,
        "transactions": each.transactions,
        "events": each.events,
        "wal_retained_bytes": each.wal_retained_bytes,
        "wal_headroom_bytes": each.wal_headroom_bytes,
        "slot": each.wal_status,
        "error": each.error,
    }


def _table_row(direction: Direction, table: Any) -> dict[str, Any]:
    return {
        "direction": direction,
        "table": table.table,
        "events_waiting": table.events_waiting,
        "last_applied": table.last_applied,
        "copy": table.copy_state,
        "copied_rows": table.copied_rows,
        "estimated_rows": table.estimated_rows,
        "parked_rows": table.parked_rows,
    }
