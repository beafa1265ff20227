"""`strangler plan`: write a plan, check it, see what changed since, draw it."""

import click

from commands.lazy import LazyGroup

_COMMANDS = {
    "accept": "commands.plan_accept:accept",
    "check": "commands.plan_check:check",
    "diff": "commands.plan_diff:diff",
    "graph": "commands.plan_graph:graph",
    "new": "commands.plan_new:new",
    "rules": "commands.plan_check:rules_command",
    "show": "commands.plan_show:show",
}


@click.group(cls=LazyGroup, where=_COMMANDS)
def plan() -> None:
    """Write a plan, check it against both databases, see what changed since it was written, draw it."""
