"""`strangler diff`: what the parallel run found."""

from contextlib import closing

import click

from commands.context import Context
from commands.layout import Layout
from commands.output import json_option, print_json, service_argument, stdout
from router.diff_report import render
from router.parallel_log import ParallelRunLog
from strangler.errors import BadInput


@click.group()
def diff() -> None:
    """Reports of the parallel run."""


@diff.command("report")
@service_argument
@json_option
@click.pass_obj
def report(context: Context, service: str | None, as_json: bool) -> None:
    """Compared requests by endpoint, differences by path and class, and the upper bound at 95 %.

    \b
    Example: strangler diff report catalog
    """
    move = context.plan(context.service(service)).move
    path = Layout.of(context.settings).parallel_run(move)
    if not path.exists():
        raise BadInput(
            thing=f"parallel run of {move}",
            reason="nothing was recorded yet",
            mend=f"`strangler run {move} --until shadowing` starts it (and `strangler up` must run)",
        )
    with closing(ParallelRunLog(path)) as log:
        summary = log.summary(move=move)
    if as_json:
        print_json(summary.as_dict())
    else:
        stdout.print(render(summary))
