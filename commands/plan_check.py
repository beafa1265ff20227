"""`strangler plan check` and `plan rules`: may this plan run, and what is asked of it."""

from pathlib import Path

import click

from commands.asked_paths import recorded_paths
from commands.context import Context
from commands.output import json_option, print_json, print_rows, service_argument, stderr, stdout
from commands.preflight import other_plans, preflight_problems
from migration_plans.gather.requests import RecordedRequest, requests_of
from migration_plans.lint import Rule, rules
from strangler.errors import BadInput


@click.command("check")
@service_argument
@click.option(
    "--requests",
    type=click.Path(path_type=Path),
    help="Recorded requests: both applications are asked for paths with parameters as clients ask for them.",
)
@json_option
@click.pass_obj
def check(context: Context, service: str | None, requests: Path | None, as_json: bool) -> None:
    """Mapping, types, keys, crossing foreign keys, dependents, servers, routes and lint. Changes nothing.

    What each rule of lint is about: `strangler plan rules`. What changed since: `strangler plan diff`.

    \b
    Example: strangler plan check --requests run.jsonl
    """
    name = context.service(service)
    checked = context.plan(name)
    for unread in other_plans(context.settings, name)[1]:
        stderr.print(f"not compared with {unread.thing}: {unread.reason}", markup=False)
    recorded = recorded_paths(checked, _recorded(requests)) if requests else {}
    problems = preflight_problems(
        context.settings, checked, recorded=recorded, note=lambda text: stderr.print(text, markup=False)
    )
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


def _recorded(path: Path) -> list[RecordedRequest]:
    """Raises `LogUnreadable`."""
    try:
        with path.open(encoding="utf-8") as lines:
            return requests_of(lines, thing=str(path), torn=lambda text: stderr.print(text, markup=False))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            thing=str(path),
            reason=f"cannot be read: {error}",
            mend="name what `strangler gather record` wrote, or a HAR",
        ) from None


@click.command("rules")
@click.argument("rule", required=False)
@json_option
def rules_command(rule: str | None, as_json: bool) -> None:
    """The rules of lint, or one of them: what it refuses, why, and what to do instead. Needs no plan.

    \b
    Example: strangler plan rules todo-left
    """
    chosen = [each for each in rules() if rule in (None, each.id)]
    if not chosen:
        raise BadInput(
            thing=f"rule {rule!r}", reason="there is none", mend=f"use one of: {', '.join(each.id for each in rules())}"
        )
    if as_json:
        print_json([_entry(each) for each in chosen])
    else:
        print_rows(("rule", "refuses", "why", "instead"), [tuple(_entry(each).values()) for each in chosen])


def rules_table() -> str:
    """All rules as a Markdown table, as docs/plan-check.md has it."""
    rows = [tuple(_entry(each).values()) for each in rules()]
    lines = [f"| `{name}` | {' | '.join(texts)} |" for name, *texts in rows]
    return "\n".join(["| rule | refuses | why | instead |", "|---|---|---|---|", *lines]) + "\n"


def _entry(rule: Rule) -> dict[str, str]:
    return {"rule": rule.id, "refuses": rule.refuses, "why": rule.why, "instead": rule.instead}
