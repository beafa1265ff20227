"""`--facts` of the commands that hold recorded traffic against a plan."""

from pathlib import Path

import click

from commands.output import stderr
from migration_plans.assess.facts_file import load_facts
from migration_plans.drift.seen import functionalities_seen
from migration_plans.drift.traffic import Seen
from migration_plans.plan import Plan

facts_option = click.option(
    "--facts", "facts_path", type=click.Path(path_type=Path), help="Hold recorded traffic against the plan, too."
)


def seen_in(path: Path | None, plan: Plan) -> dict[str, Seen] | None:
    """The functionalities of a facts document, when one is given, in the plan's words. Raises `FactsInvalid`."""
    if path is None:
        return None
    return functionalities_seen(
        load_facts(path, ignored=lambda key: stderr.print(f"{path}: key {key!r} ignored", markup=False)), plan.tables
    )
