"""`strangler up`: the data plane and the stream worker of one service, supervised, until Ctrl-C."""

import signal
import time
from types import FrameType

import click

from commands.context import Context
from commands.output import service_argument, stderr
from commands.programs import toolkit_programs
from sandbox.supervision import Stack

_POLL_S = 0.5


@click.command()
@service_argument
@click.pass_obj
def up(context: Context, service: str | None) -> None:
    """Run Envoy, the write gate, the inspection plane and the stream worker until Ctrl-C.

    Each restarts when it dies. In production run the same four programs under your own supervisor.

    \b
    Example: strangler up catalog
    """
    name = context.service(service)
    signal.signal(signal.SIGTERM, _interrupt)
    with Stack() as stack:
        for program in toolkit_programs(context, name):
            stack.run(program)
            stderr.print(f"{program.name} runs")
        stderr.print(f"ready: send your clients to http://{context.settings.router.listen} — Ctrl-C ends it")
        while True:
            time.sleep(_POLL_S)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
