"""`strangler plan graph`: one extraction, or all proposed services, as a picture."""

from pathlib import Path
from typing import Final

import click

from commands.context import Context
from commands.output import service_argument, stderr
from commands.plan_facts import seen_in
from commands.plan_reality import picture_of
from migration_plans.assess.assessment import assess
from migration_plans.assess.decisions import Decisions
from migration_plans.assess.decisions_file import load_decisions
from migration_plans.assess.facts_file import load_facts
from migration_plans.assess.report_html import render_html
from migration_plans.drift.baseline_file import load_baseline
from migration_plans.drift.picture import SchemaPicture
from migration_plans.graph.dot import as_dot
from migration_plans.graph.extraction import extraction
from migration_plans.graph.mermaid import GITHUB_LETTERS_MOST, as_mermaid
from migration_plans.graph.page import as_page
from migration_plans.graph.services import services
from migration_plans.table_names import plain
from strangler.durable_files import replace_file
from strangler.errors import BadInput, Unreachable

_DRAWN: Final = {"mermaid": as_mermaid, "dot": as_dot, "html": as_page}


@click.command("graph")
@service_argument
@click.option("--format", "form", type=click.Choice(list(_DRAWN)), default="mermaid", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead of printing it.")
@click.option(
    "--facts",
    "facts_path",
    type=click.Path(path_type=Path),
    help="Draw which endpoint uses which table; without SERVICE, draw all services that they propose.",
)
@click.option(
    "--decisions",
    "decisions_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --facts and without SERVICE: draw this cut, as `strangler boundaries` writes it.",
)
@click.pass_obj
def graph(
    context: Context,
    service: str | None,
    form: str,
    out: Path | None,
    facts_path: Path | None,
    decisions_path: Path | None,
) -> None:
    """Draw one extraction: tables and where they go, endpoints, foreign keys cut, who is left behind.

    With --facts and without SERVICE: the proposed services, what ties them, and the order of extraction. Mermaid is
    drawn by GitHub in Markdown, dot by Graphviz, html by any browser without a network. Changes nothing.

    \b
    Example: strangler plan graph catalog --format html --out catalog.html
    Example: strangler plan graph --facts facts.json --decisions boundaries.yaml
    """
    if service is None and facts_path is not None:
        text = _services(facts_path, decisions_path, form)
    elif decisions_path is not None:
        raise BadInput(
            thing="--decisions", reason="is for a drawing of all services", mend="give --facts, and no SERVICE"
        )
    else:
        text = _extraction(context, context.service(service), facts_path, form)
    if form == "mermaid" and len(text) > GITHUB_LETTERS_MOST:
        stderr.print(f"{len(text):,} characters: GitHub draws no more than {GITHUB_LETTERS_MOST:,}; take dot or html")
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        replace_file(out, text)
    except OSError as error:
        raise BadInput(
            thing=str(out), reason=f"cannot be written: {error.strerror}", mend="name a file in a folder that can be"
        ) from None
    stderr.print(f"written to {out}", markup=False, soft_wrap=True)


def _services(facts_path: Path, decisions_path: Path | None, form: str) -> str:
    decisions = load_decisions(decisions_path) if decisions_path else Decisions()
    facts = load_facts(facts_path, ignored=lambda key: stderr.print(f"{facts_path}: key {key!r} ignored", markup=False))
    assessment = assess(facts, seed=0, decisions=decisions)
    return render_html(assessment) if form == "html" else _DRAWN[form](services(assessment))


def _extraction(context: Context, service: str, facts_path: Path | None, form: str) -> str:
    plan = context.plan(service)
    seen = seen_in(facts_path, plan) or {}
    return _DRAWN[form](extraction(plan, _schema(context, service), seen))


def _schema(context: Context, service: str) -> SchemaPicture | None:
    """As the baseline has it, when it knows all the plan's tables; else as it is; else as far as it is known."""
    plan = context.plan(service)
    baseline = load_baseline(context.settings.plan_path(service), plan.move)
    if baseline and {plain(name) for name in plan.tables} <= baseline.legacy.tables.keys():
        return baseline.legacy
    try:
        return picture_of(context.settings.legacy.database, tuple(plan.tables))
    except Unreachable as error:
        stderr.print(f"{error.thing} does not answer: keys that nobody knows are left out", markup=False)
        return baseline.legacy if baseline else None
