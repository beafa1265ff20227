"""`strangler boundaries`: a person's decisions about the cut, and what each of them changes."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from commands.output import json_option, print_json, print_rows, stderr, stdout
from migration_plans.assess.assessment import Assessment, assess
from migration_plans.assess.comparison import changes, cut_figures
from migration_plans.assess.decisions import Decisions, as_decisions, known, merged, moved, pinned
from migration_plans.assess.decisions_file import load_decisions, save_decisions
from migration_plans.assess.facts import Facts
from migration_plans.assess.facts_file import load_facts

DECISIONS_NAME = "boundaries.yaml"


@click.group("boundaries")
def boundaries_group() -> None:
    """Look at the cut, change it, and see what a change costs. Decisions lie in a YAML file that a person reviews."""


def _given(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every command here has."""
    for option in reversed(
        (
            click.option(
                "--facts",
                "facts_path",
                type=click.Path(path_type=Path),
                required=True,
                help="A facts document (docs/assess.md).",
            ),
            click.option(
                "--decisions",
                "decisions_path",
                type=click.Path(path_type=Path, dir_okay=False),
                help=f"The decisions file; default: {DECISIONS_NAME} beside the facts.",
            ),
            click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the ensemble."),
        )
    ):
        command = option(command)
    return json_option(command)


class _Desk:
    """Facts and decisions that lie on the table, and the cut that they make."""

    def __init__(self, facts_path: Path, decisions_path: Path | None, seed: int) -> None:
        self.path = decisions_path or facts_path.parent / DECISIONS_NAME
        self.seed = seed
        self.facts: Facts = load_facts(
            facts_path, ignored=lambda key: stderr.print(f"{facts_path}: key {key!r} is not known, ignored")
        )
        self.decisions = load_decisions(self.path, may_be_absent=True)
        self.assessment: Assessment = self.assess(self.decisions)

    def assess(self, decisions: Decisions) -> Assessment:
        return assess(self.facts, seed=self.seed, decisions=decisions)

    @property
    def cut(self) -> Decisions:
        """Every table in its service, whether a person wrote that or it is only proposed."""
        if self.decisions.services:
            return self.decisions
        return as_decisions(self.facts, self.assessment.chosen.services, self.decisions.pins)

    def save(self, decisions: Decisions) -> None:
        decisions.check(self.facts)
        save_decisions(self.path, decisions)

    def report(self, after: Decisions, *, saved: bool, as_json: bool) -> None:
        """What the cut becomes. `after` is compared with the cut as it is."""
        after.check(self.facts)
        before_figures = cut_figures(self.facts, self.cut.service_map(self.facts))
        after_figures = cut_figures(self.facts, after.service_map(self.facts))
        if as_json:
            shown: dict[str, Any] = {
                "before": _rounded(asdict(before_figures)),
                "after": _rounded(asdict(after_figures)),
                "change": changes(before_figures, after_figures),
                "services": {name: list(tables) for name, tables in after.services.items()},
                "pins": {name: list(tables) for name, tables in after.pins.items()},
                "saved": str(self.path) if saved else None,
            }
            print_json(shown)
            return
        before, changed = asdict(before_figures), changes(before_figures, after_figures)
        print_rows(
            ("figure", "before", "after", "change"),
            [
                (name.replace("_", " "), _shown(before[name]), _shown(value), _signed(changed[name]))
                for name, value in asdict(after_figures).items()
            ],
            title="what changes; below 0 is less",
        )
        stdout.print(f"written to {self.path}" if saved else "nothing was written", markup=False)


@boundaries_group.command("show")
@_given
def show_command(facts_path: Path, decisions_path: Path | None, seed: int, as_json: bool) -> None:
    """The cut as it stands: proposed, or decided in the file; its figures, and who is pinned.

    \b
    Example: strangler boundaries show --facts facts.json
    """
    desk = _Desk(facts_path, decisions_path, seed)
    figures = asdict(cut_figures(desk.facts, desk.cut.service_map(desk.facts)))
    decided = "decided" if desk.decisions.services else "proposed"
    if as_json:
        print_json(
            {
                "source": decided,
                "services": {name: list(tables) for name, tables in desk.cut.services.items()},
                "pins": {name: list(tables) for name, tables in desk.cut.pins.items()},
                "figures": _rounded(figures),
            }
        )
        return
    held = {table for tables in desk.cut.pins.values() for table in tables}
    print_rows(
        ("service", "tables", "which"),
        [
            (name, len(tables), ", ".join(f"{table}*" if table in held else table for table in tables))
            for name, tables in desk.cut.services.items()
        ],
        title=f"{len(desk.cut.services)} services, {decided}; * is pinned",
    )
    print_rows(("figure", "value"), [(name.replace("_", " "), _shown(value)) for name, value in figures.items()])


@boundaries_group.command("move")
@click.argument("table")
@click.argument("service")
@click.option("--new", is_flag=True, help="Let the service be a new one.")
@_given
def move_command(
    table: str, service: str, new: bool, facts_path: Path, decisions_path: Path | None, seed: int, as_json: bool
) -> None:
    """Put TABLE into SERVICE and write the whole cut down; from then on it is decided, no longer proposed.

    \b
    Example: strangler boundaries move price catalog --facts facts.json
    """
    desk = _Desk(facts_path, decisions_path, seed)
    after = moved(desk.cut, table, service, new=new)
    desk.save(after)
    desk.report(after, saved=True, as_json=as_json)


@boundaries_group.command("pin")
@click.argument("table")
@click.argument("service")
@click.option("--new", is_flag=True, help="Let the service be a new one.")
@_given
def pin_command(
    table: str, service: str, new: bool, facts_path: Path, decisions_path: Path | None, seed: int, as_json: bool
) -> None:
    """Bind TABLE to SERVICE, whatever is proposed later. The first pin of a service holds on to its firmest table.

    \b
    Example: strangler boundaries pin price catalog --facts facts.json
    """
    desk = _Desk(facts_path, decisions_path, seed)
    known(table, desk.facts.tables, "table")
    if not new:
        known(service, desk.cut.services, "service", " (for a new one: --new)")
    standing = desk.assessment.standings
    others = [one for one in desk.cut.services.get(service, ()) if one != table]
    anchor = max(others, key=lambda one: (standing[one].stability, one), default=None)
    decisions = pinned(desk.decisions, table, service, anchor)
    if desk.decisions.services:
        decisions = moved(decisions, table, service, new=new)
        after = decisions
    else:
        after = as_decisions(desk.facts, desk.assess(decisions).chosen.services, decisions.pins)
    desk.save(decisions)
    if anchor is not None and anchor in decisions.pins[service]:
        stderr.print(f"{table} is held together with {anchor}", markup=False)
    desk.report(after, saved=True, as_json=as_json)


@boundaries_group.group("what-if")
def what_if_group() -> None:
    """What a change would cost; nothing is written."""


@what_if_group.command("move")
@click.argument("table")
@click.argument("service")
@click.option("--new", is_flag=True, help="Let the service be a new one.")
@_given
def what_if_move_command(
    table: str, service: str, new: bool, facts_path: Path, decisions_path: Path | None, seed: int, as_json: bool
) -> None:
    """If TABLE were in SERVICE.

    \b
    Example: strangler boundaries what-if move price catalog --facts facts.json
    """
    desk = _Desk(facts_path, decisions_path, seed)
    desk.report(moved(desk.cut, table, service, new=new), saved=False, as_json=as_json)


@what_if_group.command("merge")
@click.argument("service")
@click.argument("other")
@_given
def what_if_merge_command(
    service: str, other: str, facts_path: Path, decisions_path: Path | None, seed: int, as_json: bool
) -> None:
    """If SERVICE and OTHER were one.

    \b
    Example: strangler boundaries what-if merge orders invoices --facts facts.json
    """
    desk = _Desk(facts_path, decisions_path, seed)
    desk.report(merged(desk.cut, service, other), saved=False, as_json=as_json)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _signed(change: float) -> str:
    return f"{change:+,g}" if change else "0"
