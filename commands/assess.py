"""`strangler assess`: where to cut a monolith, from facts about it."""

from pathlib import Path

import click

from commands.output import json_option, print_facts, print_json, print_rows, stderr, stdout
from migration_plans.assess.assessment import Assessment, assess
from migration_plans.assess.facts_file import load_facts

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
@json_option
def assess_command(facts_path: Path, seed: int, as_json: bool) -> None:
    """Propose services, an order of extraction, and the sagas that a cut makes necessary. Needs no database.

    \b
    Example: strangler assess --facts facts.json --json
    """
    facts = load_facts(facts_path, ignored=lambda key: stderr.print(f"{facts_path}: key {key!r} is not known, ignored"))
    assessment = assess(facts, seed=seed)
    if as_json:
        print_json(assessment.as_dict())
    else:
        _show(assessment)


def _show(assessment: Assessment) -> None:
    shown = assessment.as_dict()
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
    _show_first(
        ("saga", "calls", "steps"),
        [
            (saga["functionality"], f"{saga['calls']:g}", " → ".join(_step(step) for step in saga["steps"]))
            for saga in sorted(shown["sagas"], key=lambda saga: (-saga["calls"], saga["functionality"]))
        ],
        title="write transactions that become sagas",
    )
    _show_first(
        ("foreign key", "to", "columns", "on delete"),
        [
            (f"{key['from']} ({key['from_service']})", f"{key['to']} ({key['to_service']})", *_rule(key))
            for key in shown["cut_foreign_keys"]
        ],
        title="cut foreign keys",
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
    print_facts({name: shown["metrics"][name] for name in ("complexity_mean", "complexity_max")})


def _extraction(step: dict[str, object], *, is_last: bool) -> tuple[object, ...]:
    if is_last:
        return step["service"], "", "", "is what remains"
    advice = "" if step["worthwhile"] else "costs more than it gains: share the database for now"
    return step["service"], f"{step['benefit']:.3f}", f"{step['cost']:.3f}", advice


def _step(step: dict[str, object]) -> str:
    marks = {"pivot": " (pivot)", "compensatable": " (undo)", "check": " (reads)"}
    return f"{step['service']}{marks.get(str(step['kind']), '')}"


def _rule(key: dict[str, list[str]]) -> tuple[str, str]:
    return ", ".join(key["columns"]), str(key["on_delete"])


def _show_first(headings: tuple[str, ...], rows: list[tuple[object, ...]], *, title: str) -> None:
    if not rows:
        return
    print_rows(headings, rows[:_SHOWN_MOST], title=f"{len(rows)} {title}")
    if len(rows) > _SHOWN_MOST:
        stdout.print(f"… and {len(rows) - _SHOWN_MOST} more: --json shows all")
