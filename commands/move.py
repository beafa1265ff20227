"""Take a move through its phases: run, status, pause, resume, cutover, rollback, complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from commands.context import Context
from commands.output import RichNarrator, json_option, print_facts, print_json, service_argument
from commands.status import move_status
from commands.wiring import exclusive_run, opened_run
from migration_plans.operations import transfers
from migration_plans.operations.complete import complete as complete_move
from migration_plans.phases import WAY_BACK, Phase
from migration_plans.run import Run
from migration_plans.runner import FORWARD, advance_to
from migration_plans.transfer import TransferResult


@contextmanager
def _exclusive_run(context: Context, service: str | None) -> Iterator[Run]:
    narrator = RichNarrator()
    try:
        with exclusive_run(context, service, narrator) as opened:
            yield opened
    finally:
        narrator.close()


@click.command()
@service_argument
@click.option(
    "--until",
    type=click.Choice([str(phase) for phase in FORWARD]),
    default=str(Phase.READS_RAMPING),
    show_default=True,
    help="Stop once this phase is reached.",
)
@click.option(
    "--hold", "hold_s", type=click.FloatRange(min=0), help="Seconds at each share of reads (else the plan's)."
)
@click.pass_obj
def run(context: Context, service: str | None, until: str, hold_s: float | None) -> None:
    """Take the move forward; run it again after any interruption.

    \b
    Example: strangler run catalog --until following
    """
    with _exclusive_run(context, service) as opened:
        advance_to(opened, Phase(until), hold_s=hold_s)
        phase = opened.progress().phase
        opened.narrator.say(f"{opened.plan.move} is {phase}; way back: {WAY_BACK[phase]}")


@click.command()
@service_argument
@json_option
@click.pass_obj
def status(context: Context, service: str | None, as_json: bool) -> None:
    """Where the move stands, who owns the tables, what comes next and what the way back is.

    \b
    Example: strangler status --json
    """
    name = context.service(service)
    with opened_run(context.settings, context.plan(name), RichNarrator()) as opened:
        seen = move_status(opened)
    if as_json:
        print_json(seen)
    else:
        print_facts(_flat(seen))


@click.command()
@service_argument
@click.pass_obj
def pause(context: Context, service: str | None) -> None:
    """Stop advancing at the next check. Streams and routes stay as they are.

    \b
    Example: strangler pause catalog
    """
    name = context.service(service)
    with opened_run(context.settings, context.plan(name), RichNarrator()) as opened:
        opened.pause()
        opened.narrator.say(f"{opened.plan.move} is paused; `strangler resume {name}` goes on")


@click.command()
@service_argument
@json_option
@click.pass_obj
def resume(context: Context, service: str | None, as_json: bool) -> None:
    """End a pause, and land a transfer that was killed half-way on the side that the databases name.

    \b
    Example: strangler resume catalog
    """
    name = context.service(service)
    with opened_run(context.settings, context.plan(name), RichNarrator()) as opened:
        opened.unpause()
    with _exclusive_run(context, service) as opened:
        _print_result(transfers.settle(opened), as_json)
        opened.narrator.say(f"{opened.plan.move} is {opened.progress().phase}")


@click.command()
@service_argument
@json_option
@click.pass_obj
def cutover(context: Context, service: str | None, as_json: bool) -> None:
    """Hand the tables and their writes to the service. Holds writes for a moment, rejects none.

    \b
    Example: strangler cutover catalog
    """
    with _exclusive_run(context, service) as opened:
        _print_result(transfers.cut_over(opened), as_json)


@click.command()
@service_argument
@json_option
@click.pass_obj
def rollback(context: Context, service: str | None, as_json: bool) -> None:
    """One command back, from any phase: the last step that gave the service something is undone.

    After a cutover, ownership returns to the monolith with every write that the service took. While reads are ramped or
    sampled they all return to the monolith. Before that, everything that `run` prepared is dropped.

    \b
    Example: strangler rollback catalog
    """
    with _exclusive_run(context, service) as opened:
        _print_result(transfers.roll_back(opened), as_json)
        opened.narrator.say(f"{opened.plan.move} is {opened.progress().phase}")


@click.command()
@service_argument
@click.confirmation_option(prompt="The reverse stream ends: there is no immediate way back afterwards. Complete?")
@click.pass_obj
def complete(context: Context, service: str | None) -> None:
    """End the reverse stream. The legacy tables stay behind their fence as they are then.

    \b
    Example: strangler complete catalog --yes
    """
    with _exclusive_run(context, service) as opened:
        complete_move(opened)


def _print_result(result: TransferResult | None, as_json: bool) -> None:
    if result is None:
        if as_json:
            print_json(None)
        return
    if as_json:
        print_json(asdict(result))
    else:
        print_facts(_flat(asdict(result)))


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = f"{item:.3f}" if isinstance(item, float) else item
    return flat
