"""`strangler cdc`: the stream worker, its lag, and the events themselves."""

import click

from commands.lazy import LazyGroup

_COMMANDS = {
    "consume": "commands.consume:consume",
    "lag": "commands.lag:lag",
    "outbox": "commands.outbox:outbox",
    "schema": "commands.schema:schema",
    "stream": "commands.stream:stream",
    "tail": "commands.tail:tail",
}


@click.group(cls=LazyGroup, where=_COMMANDS)
def cdc() -> None:
    """Change data capture: run the worker, see its lag, read the events."""
