"""`strangler doctor`: can we reach everything, and is it fit?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import httpx

from cdc.doctor import examine_source, examine_target
from cdc.errors import DatabaseUnreachable
from cdc.events import TableName
from cdc.link import Direction, stream_name
from cdc.schema_changes.store import load_met
from commands.context import Context
from commands.mapping import table_name
from commands.output import json_option, print_json, service_argument, stdout
from commands.schema import drift
from migration_plans.plan import Plan
from strangler.errors import PromiseBroken
from strangler.settings import SideSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """One line of the report."""

    part: str
    check: str
    ok: bool
    thing: str
    reason: str
    mend: str


@click.command()
@service_argument
@json_option
@click.pass_obj
def doctor(context: Context, service: str | None, as_json: bool) -> None:
    """Examine databases, applications and data plane. Changes nothing; exit code 1 when something is unfit.

    \b
    Example: strangler doctor --json
    """
    found = examine(context, context.service(service))
    if as_json:
        print_json([_as_dict(each) for each in found])
    else:
        for each in found:
            mark = "[green]ok  [/]" if each.ok else "[red]unfit[/]"
            stdout.print(f"{mark} {each.part}: {each.check}, {each.thing}" + ("" if each.ok else f": {each.reason}"))
            if not each.ok and each.mend:
                stdout.print(f"      mend: {each.mend}")
    unfit = [each for each in found if not each.ok]
    if unfit:
        raise PromiseBroken(
            thing="doctor", reason=f"{len(unfit)} of {len(found)} checks failed", mend="mend them from the top"
        )


def examine(context: Context, service: str) -> list[Examination]:
    """Every check of both databases as source and as target, both applications, proxy and gate."""
    settings, plan = context.settings, context.plan(service)
    sides: dict[str, tuple[SideSettings, list[TableName], Direction]] = {
        "legacy": (settings.legacy, [table_name(name) for name in plan.tables], "forward"),
        "service": (settings.service(service), [table_name(name) for name in plan.target_tables], "reverse"),
    }
    found: list[Examination] = []
    for side, (where, tables, outgoing) in sides.items():
        findings = examine_source(where.database, tables, stream=stream_name(plan.move, outgoing))
        findings += examine_target(where.database, tables)
        found += [
            Examination(part=f"{side} database", check=f.check, ok=f.ok, thing=f.thing, reason=f.reason, mend=f.mend)
            for f in dict.fromkeys(findings)
        ]
        found.append(_answering(f"{side} application", where.url, "start it, or correct its url in strangler.toml"))
    found += _schema_changes(settings.service(service).database, plan)
    found.append(_answering("Envoy", f"http://{settings.router.admin}/ready", "run `strangler up`"))
    found.append(_answering("write gate", f"http://{settings.router.gate}/status", "run `strangler up`"))
    return found


def _schema_changes(service_dsn: str, plan: Plan) -> Iterator[Examination]:
    """What the stream met since the plan was written: it follows some of it, and stops at the rest."""
    try:
        met = load_met(service_dsn, stream_name(plan.move, "forward"))
    except DatabaseUnreachable:
        return
    for each in met:
        if each.state != "met":
            reason = "; ".join(each.changes)
            yield Examination(
                part="stream", check="schema", ok=False, thing=f"table {each.table}", reason=reason, mend=each.mend
            )
    for line in drift(plan, met):
        yield Examination(part="stream", check="schema", ok=True, thing=line, reason="followed", mend="")


def _answering(part: str, url: str, mend: str) -> Examination:
    try:
        httpx.get(url, timeout=3.0, trust_env=False)
        ok, reason = True, "answers"
    except httpx.HTTPError as error:
        ok, reason = False, f"does not answer: {type(error).__name__}"
    return Examination(part=part, check="answers HTTP", ok=ok, thing=url, reason=reason, mend=mend)


def _as_dict(each: Examination) -> dict[str, Any]:
    return {
        "part": each.part,
        "check": each.check,
        "ok": each.ok,
        "thing": each.thing,
        "reason": each.reason,
        "mend": each.mend,
    }
