"""`strangler parked`: the rows that a target refused, and what to do about them.

A row's number says which stream it is of: `f12` came from legacy and waits before the service's database, `r7` the
other way round. Rows of a stream of its own are all `f`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from cdc.applier import Applier
from cdc.errors import RowsParked, StreamBusy
from cdc.events import UNCHANGED, RowChange, Truncate
from cdc.link import Direction, LinkSpec
from cdc.lsn import format_lsn
from cdc.parking import requests
from cdc.parking.model import RequestKind
from cdc.parking.requests import ParkedSeen
from commands.context import Context
from commands.output import json_option, print_facts, print_json, print_rows, stderr
from commands.own_stream import OwnEnds, own_stream_options
from commands.streams import MoveStreams
from strangler.clock import SystemClock
from strangler.errors import BadInput, Refused

_DIRECTIONS: dict[str, Direction] = {"f": "forward", "r": "reverse"}
_SERVED_S = 30.0
_POLL_S = 0.1

service_option = click.option("--service", help="May be left out when strangler.toml names only one.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Where one stream's parked rows lie. `link`: for serving here when no worker runs; None where only it can."""

    stream: str
    target_dsn: str = field(repr=False)
    link: Callable[[], LinkSpec] | None


class ParkedNotFirst(Refused):
    """Another parked change of the same row comes first."""


@click.group()
def parked() -> None:
    """Rows that a target refused: see them, try them again, leave them out."""


@parked.command("list")
@service_option
@own_stream_options
@json_option
@click.pass_obj
def list_(context: Context, service: str | None, own: OwnEnds | None, as_json: bool) -> None:
    """What is parked, in stream order. `refused` rows need somebody; `waiting` ones follow by themselves.

    \b
    Example: strangler parked list
    Example: strangler parked list --source mysql://root@db/shop --target postgresql://db/orders
    """
    with _streams(context, service, own) as streams:
        seen = [(name, each) for name, waiting in streams.items() for each in _rows(waiting)]
    if as_json:
        print_json([_facts(name, each) for name, each in seen])
    elif not seen:
        stderr.print("nothing is parked")
    else:
        rows = [
            (
                f"{name}{each.row.id}",
                each.row.parked.table,
                "whole table" if each.row.parked.whole_table else _key(each),
                each.row.parked.operation,
                each.request or each.row.parked.state,
                each.row.parked.refusal.reason,
            )
            for name, each in seen
        ]
        print_rows(("id", "table", "key", "op", "state", "reason"), rows)


@parked.command("show")
@click.argument("number", metavar="ID")
@service_option
@own_stream_options
@json_option
@click.pass_obj
def show(context: Context, number: str, service: str | None, own: OwnEnds | None, as_json: bool) -> None:
    """One parked row: the event as the source sent it, and why the target refused it.

    \b
    Example: strangler parked show f12
    """
    name, id = _parse(number)
    with _streams(context, service, own) as streams:
        seen = _one(streams, name, id)
    facts = {**_facts(name, seen), "events": [_event(event) for event in seen.row.parked.events]}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


@parked.command("retry")
@click.argument("number", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every refused row, in stream order.")
@service_option
@own_stream_options
@click.pass_obj
def retry(context: Context, number: str | None, everything: bool, service: str | None, own: OwnEnds | None) -> None:
    """Try a refused row again, and with it everything that waits behind it. Exits with 1 when it is still refused.

    \b
    Example: strangler parked retry f12
    Example: strangler parked retry --all
    """
    if (number is None) is not everything:
        raise BadInput(thing="parked retry", reason="needs either an ID or --all", mend="name one of them")
    with _streams(context, service, own) as streams:
        if number is not None:
            name, id = _parse(number)
            _ask(streams[name], [_head(streams, name, id).row.id], "retry", by="", reason="")
            return
        for waiting in streams.values():
            refused = [each.row.id for each in _rows(waiting) if each.row.parked.state == "refused"]
            _ask(waiting, refused, "retry", by="", reason="")


@parked.command("skip")
@click.argument("number", metavar="ID")
@click.option("--reason", required=True, help="Why the two sides may differ here; kept in strangler.parked_audit.")
@click.option("--by", required=True, help="Who decided it.")
@click.option("--queue", is_flag=True, help="Every parked change of the same row, not only the first.")
@service_option
@own_stream_options
@click.pass_obj
def skip(
    context: Context, number: str, reason: str, by: str, queue: bool, service: str | None, own: OwnEnds | None
) -> None:
    """Leave a refused change out for good. It is kept, with its event, in strangler.parked_audit of the target.

    \b
    Example: strangler parked skip f12 --reason "test data" --by ann
    """
    name, id = _parse(number)
    with _streams(context, service, own) as streams:
        head = _head(streams, name, id).row
        ids = [head.id]
        if queue:
            ids = [
                each.row.id
                for each in _rows(streams[name])
                if (each.row.parked.table, each.row.parked.key) == (head.parked.table, head.parked.key)
            ]
        _ask(streams[name], ids, "skip", by=by, reason=reason)


@contextmanager
def _streams(context: Context, service: str | None, own: OwnEnds | None) -> Iterator[Mapping[str, Waiting]]:
    """By the letter of their rows' numbers."""
    if own is not None:
        yield {"f": Waiting(stream=own.stream().stream, target_dsn=own.target_dsn, link=None)}
        return
    with MoveStreams(context.settings, context.plan(context.service(service)), SystemClock()) as streams:
        yield {
            name: Waiting(
                stream=streams.stream(direction),
                target_dsn=streams.target_dsn(direction),
                link=partial(streams.link, direction, takeover_s=0.0),
            )
            for name, direction in _DIRECTIONS.items()
        }


def _rows(waiting: Waiting, ids: Sequence[int] | None = None) -> list[ParkedSeen]:
    return requests.parked_rows(waiting.target_dsn, waiting.stream, ids)


def _parse(number: str) -> tuple[str, int]:
    found = re.fullmatch(r"([fr])(\d{1,18})", number)
    if found is None:
        raise BadInput(
            thing=f"ID {number!r}", reason="is not like f12 or r7", mend="take it from `strangler parked list`"
        )
    return found[1], int(found[2])


def _one(streams: Mapping[str, Waiting], name: str, id: int) -> ParkedSeen:
    found = _rows(streams[name], [id]) if name in streams else []
    if not found:
        raise BadInput(thing=f"{name}{id}", reason="is not parked", mend="see `strangler parked list`")
    return found[0]


def _head(streams: Mapping[str, Waiting], name: str, id: int) -> ParkedSeen:
    seen = _one(streams, name, id)
    if seen.row.parked.state != "refused":
        raise ParkedNotFirst(
            thing=f"{name}{id}",
            reason="waits behind another parked change",
            mend="retry or skip the refused one before it in `strangler parked list`; this one then follows by itself",
        )
    return seen


def _ask(waiting: Waiting, ids: Sequence[int], kind: RequestKind, *, by: str, reason: str) -> None:
    """Leave the request for the worker, or serve it here when there is none."""
    if not ids:
        return
    requests.ask(waiting.target_dsn, waiting.stream, ids, kind, by=by, reason=reason)
    clock = SystemClock()
    deadline = clock.monotonic() + _SERVED_S
    while any(each.request for each in _rows(waiting, ids)):
        if clock.monotonic() >= deadline:
            raise Refused(
                thing=f"{kind} of {len(ids)} parked rows",
                reason=f"the worker of {waiting.stream} did not serve it in {_SERVED_S:.0f} s; it is still asked for",
                mend="see `strangler cdc lag`: does the worker run? Once it does, it serves what was asked",
            )
        if waiting.link is None or not _serve_here(waiting.link):
            clock.sleep(_POLL_S)
    left = _rows(waiting, ids)
    stderr.print(f"{len(ids) - len(left)} of {len(ids)} {'applied' if kind == 'retry' else 'skipped'}")
    if left:
        first = left[0].row.parked.refusal
        raise RowsParked(thing=first.thing, reason=first.reason, mend=first.mend)


def _serve_here(link: Callable[[], LinkSpec]) -> bool:
    """False when a worker runs the stream: it serves."""
    try:
        applier = Applier(link(), clock=SystemClock())
    except StreamBusy:
        return False
    try:
        applier.serve_requests()
    finally:
        applier.close()
    return True


def _key(seen: ParkedSeen) -> str:
    return ", ".join(f"{name}={value}" for name, value in seen.row.parked.key.items())


def _facts(name: str, seen: ParkedSeen) -> dict[str, Any]:
    row, what = seen.row, seen.row.parked
    return {
        "id": f"{name}{row.id}",
        "direction": _DIRECTIONS[name],
        "table": str(what.table),
        "key": dict(what.key),
        "whole_table": what.whole_table,
        "operation": what.operation,
        "state": what.state,
        "request": seen.request,
        "thing": what.refusal.thing,
        "reason": what.refusal.reason,
        "mend": what.refusal.mend,
        "code": what.refusal.code,
        "commit_lsn": format_lsn(what.order[0]),
        "event_index": what.order[1],
        "parked_at": row.parked_at,
        "attempts": row.attempts,
    }


def _event(event: RowChange | Truncate) -> dict[str, Any]:
    if isinstance(event, Truncate):
        return {"op": "t", "tables": [str(relation.table) for relation in event.relations]}
    names = [column.name for column in event.relation.columns]

    def image(row: Sequence[Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        return {
            name: "(unchanged, not sent)" if value is UNCHANGED else value
            for name, value in zip(names, row, strict=True)
        }

    return {"op": event.op, "before": image(event.old), "after": image(event.new)}
