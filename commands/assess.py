"""`strangler assess`: where to cut a monolith, from facts about it."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from commands.assess_coupling import show_coupling
from commands.output import json_option, print_facts, print_rows, stderr, stdout
from migration_plans.assess.assessment import Assessment, assess
from migration_plans.assess.decisions import Decisions
from migration_plans.assess.decisions_file import load_decisions
from migration_plans.assess.facts_file import load_facts
from migration_plans.assess.sagas import Step
from strangler.durable_files import replace_file
from strangler.errors import BadInput

_SHOWN_MOST = 20
"""Rows of a table in the terminal; `--json` has all."""


@click.command("assess")
@click.option(
    "--facts",
    "facts_path",
    type=click.Path(path_type=Path),
    required=True,
    help="A facts document: tables, foreign keys, and what each functionality reads and writes (docs/assess.md).",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the ensemble.")
@click.option(
    "--decisions",
    "decisions_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What a person decided, as `strangler boundaries` writes it: a cut to be assessed, and pins that bind.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with a picture there, too.")
@json_option
def assess_command(facts_path: Path, seed: int, decisions_path: Path | None, html: Path | None, as_json: bool) -> None:
    """Propose services, an order of extraction, and the sagas that a cut makes necessary. Needs no database.

    \b
    Example: strangler assess --facts facts.json --json
    """
    facts = load_facts(facts_path, ignored=lambda key: stderr.print(f"{facts_path}: key {key!r} is not known, ignored"))
    decisions = load_decisions(decisions_path) if decisions_path else Decisions()
    assessment = assess(facts, seed=seed, decisions=decisions)
    if html is not None:
        _write_page(html, assessment)
    if as_json:
        _print_document(assessment)
    else:
        _show(assessment)


def _write_page(path: Path, assessment: Assessment) -> None:
    from migration_plans.assess.report_html import render_html

    try:
        replace_file(path, render_html(assessment))
    except OSError as error:
        raise BadInput(
            thing=str(path), reason=f"cannot be written: {error.strerror}", mend="name a file in a folder that can be"
        ) from None
    stderr.print(f"written to {path}", markup=False)


def _print_document(assessment: Assessment) -> None:
    """An entry a line, so that a large answer is neither held as text nor one endless line."""
    try:
        _write_document(assessment)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_document(assessment: Assessment) -> None:
    before = "{"
    for key, value in assessment.document():
        click.echo(f"{before}\n{json.dumps(key)}: ", nl=False)
        before = ","
        if isinstance(value, Mapping):
            _print_entries("{}", (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()))
        else:
            _print_entries("[]", (json.dumps(entry) for entry in value))
    click.echo("\n}")
    sys.stdout.flush()


def _print_entries(brackets: str, entries: Iterator[str]) -> None:
    out, before = sys.stdout, brackets[0]
    for entry in entries:
        out.write(f"{before}\n  {entry}")
        before = ","
    out.write(brackets if before == brackets[0] else f"\n{brackets[1]}")


def _show(assessment: Assessment) -> None:
    shown: dict[str, Any] = {
        key: list(value) if isinstance(value, Iterator) else value
        for key, value in assessment.document()
        if key != "sagas"
    }
    print_rows(
        ("service", "tables", "least stable", "which"),
        [
            (
                service,
                len(tables),
                f"{min(shown['stability'][table] for table in tables):.2f}",
                ", ".join(f"{table}?" if table in shown["contested"] else table for table in tables),
            )
            for service, tables in shown["services"].items()
        ],
        title=f"{len(shown['services'])} services; ? is contested",
    )
    print_rows(
        ("extract", "benefit", "cost", "advice"),
        [_extraction(step, is_last=step is shown["extractions"][-1]) for step in shown["extractions"]],
        title="order",
    )
    sagas = sorted(assessment.sagas(), key=lambda saga: (-saga.calls, saga.functionality, saga.transaction))
    _show_first(
        ("saga", "calls", "steps", "lock", "how"),
        [
            (
                saga.functionality,
                f"{saga.calls:g}",
                " → ".join(map(_step, saga.steps)),
                saga.locked or "",
                "a bulk job: rebuild it"
                if saga.functionality in assessment.bulk_jobs
                else f"{saga.coordination}: {saga.reason}",
            )
            for saga in sagas
        ],
        title="write transactions that become sagas",
    )
    _show_first(
        ("services", "burden", "concentration", "advice"),
        [
            (
                " + ".join(merge["services"]),
                f"{merge['burden']:+.3f}",
                f"{merge['concentration']:+.3f}",
                f"{'merge' if merge['advised'] else 'keep apart'}: {merge['reason']}",
            )
            for merge in shown["merges"]
        ],
        title="merges that would make transactions whole",
    )
    _show_first(
        ("foreign key", "to", "on delete", "treatment", "reason", "to do"),
        [
            (
                f"{key['from']} ({key['from_service']})",
                f"{key['to']} ({key['to_service']})",
                key["on_delete"],
                key["treatment"],
                key["reason"],
                key["todo"],
            )
            for key in shown["cut_foreign_keys"]
        ],
        title="cut foreign keys",
    )
    _show_first(
        ("read", "tables", "home", "calls", "treatment", "reason"),
        [
            (
                f"{read['name'] or 'a statement'} ({read['kind']})",
                ", ".join(read["tables"]),
                read["home"],
                f"{read['calls']:g}",
                read["treatment"],
                read["reason"],
            )
            for read in [*shown["joins"], *shown["queries"]]
        ],
        title="reads over several services",
    )
    show_coupling(shown["coupling"], _show_first)
    _show_first(
        ("service", "store", "reason", "beside"),
        [
            (advice["service"], advice["store"], advice["reason"], ", ".join(advice["beside"]))
            for advice in shown["datastores"]
        ],
        title="datastores",
    )
    _show_first(
        ("contested", "from", "to", "burden", "sagas", "hops"),
        [tuple(move.values()) for move in shown["what_if"]],
        title="contested tables, and what would change if they moved",
    )
    print_rows(
        ("services", "burden", "concentration", "modularity"),
        [
            (cut["services"], cut["burden"], cut["concentration"], cut["modularity"])
            for cut in sorted(
                [shown["metrics"], *(other["metrics"] for other in shown["alternatives"])],
                key=lambda cut: cut["services"],
            )
        ],
        title="other numbers of services",
    )
    metrics = shown["metrics"]
    print_facts(
        {
            "complexity": f"{metrics['complexity_mean']:,} in the mean, {metrics['complexity_max']:,} at most",
            "hubs": _shares(shown["hubs"]),
            "bulk jobs": _shares(shown["bulk_jobs"]),
        }
    )


def _extraction(step: dict[str, object], *, is_last: bool) -> tuple[object, ...]:
    if is_last:
        return step["service"], "", "", "is what remains"
    advice = "" if step["worthwhile"] else "costs more than it gains: share the database for now"
    return step["service"], f"{step['benefit']:.3f}", f"{step['cost']:.3f}", advice


def _shares(shares: Mapping[str, float]) -> str:
    first = [f"{name} ({share:.0%})" for name, share in list(shares.items())[:_SHOWN_MOST]]
    return ", ".join(first) or "none"


def _step(step: Step) -> str:
    marks = {
        "pivot": " (pivot)",
        "compensatable": f" (undo: {step.compensation})",
        "check": " (reads)",
        "retriable": "",
    }
    return f"{step.service}{marks[step.kind]}"


def _show_first(headings: tuple[str, ...], rows: list[tuple[object, ...]], *, title: str) -> None:
    if not rows:
        return
    print_rows(headings, rows[:_SHOWN_MOST], title=f"{len(rows)} {title}")
    if len(rows) > _SHOWN_MOST:
        stdout.print(f"… and {len(rows) - _SHOWN_MOST} more: --json shows all")
