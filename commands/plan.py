"""`strangler plan`: show it, check it."""

import click

from commands.context import Context
from commands.output import json_option, print_json, print_rows, service_argument, stdout
from commands.plan_diff import accept, diff
from commands.plan_graph import graph
from commands.plan_new import new
from commands.preflight import preflight_problems
from strangler.errors import BadInput


@click.group()
def plan() -> None:
    """Read a plan, check it against both databases, see what changed since it was written, draw it."""


plan.add_command(diff)
plan.add_command(accept)
plan.add_command(graph)
plan.add_command(new)


@plan.command("show")
@service_argument
@json_option
@click.pass_obj
def show(context: Context, service: str | None, as_json: bool) -> None:
    """The plan as it is understood: tables and mapping, routes, bounds.

    \b
    Example: strangler plan show catalog
    """
    shown = context.plan(context.service(service))
    if as_json:
        print_json(shown.model_dump(mode="json", by_alias=True))
        return
    stdout.print(f"[bold]{shown.move}[/] — {shown.why}")
    print_rows(
        ("table", "→", "column", "from", "rule"),
        [
            (source, target, column, rule.source or "", _rule(rule.lookup, rule.scale, rule.constant))
            for source, table in shown.tables.items()
            for target, columns in table.targets.items()
            for column, rule in columns.items()
        ],
        title="mapping",
    )
    print_rows(
        ("endpoint", "kind", "methods", "path"),
        [(route.id, route.kind, " ".join(route.methods), route.path) for route in shown.routes],
        title="routes",
    )


@plan.command("check")
@service_argument
@json_option
@click.pass_obj
def check(context: Context, service: str | None, as_json: bool) -> None:
    """Mapping, types, keys, crossing foreign keys, dependents, servers and lint. Changes nothing.

    \b
    Example: strangler plan check --json
    """
    name = context.service(service)
    checked = context.plan(name)
    problems = preflight_problems(context.settings, checked)
    if as_json:
        print_json([{"thing": thing, "reason": reason, "mend": mend} for thing, reason, mend in problems])
    elif problems:
        print_rows(("thing", "reason", "mend"), problems, title=f"{len(problems)} problems")
    else:
        stdout.print(f"{checked.move}: no problem found")
    if problems:
        raise BadInput(
            thing=f"plan {checked.move}",
            reason=f"{len(problems)} problems",
            mend="mend them from the top and check again",
        )


def _rule(lookup: dict[str, str] | None, scale: int | None, constant: str | None) -> str:
    if lookup:
        return ", ".join(f"{source}→{target}" for source, target in lookup.items())
    if scale:
        return f"× {scale}"
    return f"constant {constant!r}" if constant is not None else ""
