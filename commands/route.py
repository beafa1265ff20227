"""`strangler route`: who answers which request, and toggling it by hand."""

from typing import Any

import click

from commands.context import Context
from commands.output import RichNarrator, json_option, print_json, print_rows, service_argument
from commands.traffic import traffic_settings
from commands.wiring import exclusive_run
from migration_plans.operations.routes import set_shares
from router.decide import RequestFacts, decide
from router.routes import WHOLE, RouteTable
from router.table_file import RouteTableFile
from strangler.errors import BadInput


@click.group()
def route() -> None:
    """List the routes, explain one request, or set shares by hand."""


def _table(context: Context) -> RouteTable:
    return RouteTableFile(traffic_settings(context.settings).table_path).load()


@route.command("list")
@json_option
@click.pass_obj
def list_(context: Context, as_json: bool) -> None:
    """Every moving endpoint and where its requests go now. What is not listed goes to legacy.

    \b
    Example: strangler route list
    """
    table = _table(context)
    rows = [
        {
            "move": move.move,
            "id": rule.id,
            "kind": rule.kind,
            "methods": list(rule.methods),
            "path": rule.path,
            "service_percent": (100.0 * move.read_share / WHOLE)
            if rule.kind == "read"
            else (100.0 if move.write_owner == "service" else 0.0),
            "inspected_percent": 100.0 * move.inspect_share / WHOLE if rule.kind == "read" else 0.0,
            "gate": "armed" if rule.kind == "write" and move.gate_armed else "off",
        }
        for move in table.moves
        for rule in move.rules
    ]
    if as_json:
        print_json({"version": table.version, "routes": rows})
        return
    print_rows(
        ("move", "endpoint", "methods", "path", "service %", "inspected %", "gate"),
        [
            (
                row["move"],
                row["id"],
                " ".join(_texts(row["methods"])),
                row["path"],
                f"{row['service_percent']:g}",
                f"{row['inspected_percent']:g}",
                row["gate"],
            )
            for row in rows
        ],
        title=f"routes, version {table.version}; everything else goes to legacy",
    )


@route.command("explain")
@click.argument("method")
@click.argument("path")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="May be given several times.")
@json_option
@click.pass_obj
def explain(context: Context, method: str, path: str, headers: tuple[str, ...], as_json: bool) -> None:
    """Which side would answer this request, and by which rule.

    \b
    Example: strangler route explain GET /api/products/7 --header x-customer-id:42
    """
    pairs = dict(_pair(header) for header in headers)
    decision = decide(_table(context), RequestFacts(method=method.upper(), path=path, headers=pairs))
    value = {"backend": decision.backend, "reason": decision.reason, "rule": decision.rule}
    if as_json:
        print_json(value)
    else:
        click.echo(f"{value['backend']} ({value['reason']}, rule {value['rule'] or 'none'})")


@route.command("set")
@service_argument
@click.option("--reads", "reads_percent", type=click.FloatRange(0, 100), help="Share of clients read from the service.")
@click.option("--inspect", "inspect_percent", type=click.FloatRange(0, 100), help="Share of reads compared.")
@click.pass_obj
def set_(context: Context, service: str | None, reads_percent: float | None, inspect_percent: float | None) -> None:
    """Set the share of reads on the service, or of reads that are compared, by hand. Writes move by `cutover` only.

    \b
    Example: strangler route set catalog --reads 10
    """
    if reads_percent is None and inspect_percent is None:
        raise BadInput(thing="route set", reason="nothing to set", mend="give --reads, --inspect or both")
    with exclusive_run(context, service, RichNarrator()) as opened:
        set_shares(opened, reads_percent=reads_percent, inspect_percent=inspect_percent)


def _pair(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        raise BadInput(thing=f"--header {header!r}", reason="is not NAME:VALUE", mend="write x-customer-id:42")
    return name.strip().lower(), value.strip()


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value]
