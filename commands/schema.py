"""`strangler cdc schema`: the forms that the moved tables have had, what was followed and what is stopped."""

from collections.abc import Sequence
from typing import Any

import click

from cdc.link import Direction
from cdc.schema_changes.store import Met, load_met
from commands.context import Context
from commands.followed import followed_columns
from commands.mapping import move_mapping, table_name
from commands.output import json_option, print_json, print_rows, service_argument, stderr
from commands.streams import MoveStreams
from migration_plans.plan import Plan
from strangler.clock import SystemClock
from strangler.errors import BadInput

_DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")


@click.command("schema")
@service_argument
@click.option(
    "--accept",
    metavar="TABLE",
    help="Say that a stopped table's target and plan now fit the source as it is; nothing is altered by this.",
)
@click.option("--direction", type=click.Choice(_DIRECTIONS), default="forward", show_default=True, help="For --accept.")
@json_option
@click.pass_obj
def schema(context: Context, service: str | None, accept: str | None, direction: Direction, as_json: bool) -> None:
    """The forms of each moved table as the stream met them, what was followed, what stopped and how to go on.

    What may be followed is set by kind in strangler.toml under [stream.on_schema_change], to follow, ignore or stop:
    added_nullable, added_constant, added_computed, dropped, renamed, widened, label_added, null_allowed, null_refused.

    \b
    Example: strangler cdc schema --json
    Example: strangler cdc schema catalog --accept product
    """
    plan = context.plan(context.service(service))
    with MoveStreams(context.settings, plan, SystemClock()) as streams:
        if accept is not None:
            _accept(streams, plan, accept, direction)
        met = {each: load_met(streams.target_dsn(each), streams.stream(each)) for each in _DIRECTIONS}
    rows = [_facts(name, each) for name, seen in met.items() for each in seen]
    if as_json:
        print_json({"tables": rows, "not_in_plan": drift(plan, met["forward"])})
        return
    print_rows(
        ("direction", "table", "form", "state", "changes", "mend"),
        [(r["direction"], r["table"], r["form"], r["state"], "\n".join(r["changes"]), r["mend"]) for r in rows],
        title=f"source tables of {plan.move}",
    )
    for line in drift(plan, met["forward"]):
        stderr.print(line)


def drift(plan: Plan, met: Sequence[Met]) -> list[str]:
    """Where the plan file is behind what the stream follows, one line per column."""
    lines: list[str] = []
    mapped = {str(table.source): table for table in move_mapping(plan).tables}
    for each in followed_columns(plan, met):
        table = mapped[each.table]
        named = {rule.source for target in table.targets for rule in target.columns} | table.dropped.keys()
        if each.was in named:
            lines.append(f"the plan says {each.was!r} for {each.table}.{each.column}: it was renamed")
        elif each.came and each.column not in named:
            to = f"map it under {table.targets[0].table}" if each.target else "list it under `dropped`"
            lines.append(f"the plan does not name {each.table}.{each.column}, which came meanwhile: {to}")
    return lines


def _accept(streams: MoveStreams, plan: Plan, name: str, direction: Direction) -> None:
    table = table_name(name)
    known = plan.tables if direction == "forward" else plan.target_tables
    if table not in {table_name(each) for each in known}:
        raise BadInput(
            thing=f"table {name!r}", reason="is not of this move", mend=f"use one of: {', '.join(sorted(known))}"
        )
    form = streams.schema(direction).accept(table)
    stderr.print(f"{table}: accepted with {', '.join(column.name for column in form.columns)}; verify before you go on")


def _facts(direction: str, met: Met) -> dict[str, Any]:
    return {
        "direction": direction,
        "table": met.table,
        "form": met.version,
        "state": met.state,
        "columns": {column.name: column.type for column in met.form.columns},
        "changes": list(met.changes),
        "mend": met.mend,
        "position": met.position,
        "at": met.noted_at,
    }
