"""`strangler plan show`: a plan as it is understood."""

import click

from commands.context import Context
from commands.output import json_option, print_json, print_rows, service_argument, stdout


@click.command("show")
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


def _rule(lookup: dict[str, str] | None, scale: int | None, constant: str | None) -> str:
    if lookup:
        return ", ".join(f"{source}→{target}" for source, target in lookup.items())
    if scale:
        return f"× {scale}"
    return f"constant {constant!r}" if constant is not None else ""
