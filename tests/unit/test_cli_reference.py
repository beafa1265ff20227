from pathlib import Path

import click

from cli import strangler
from commands.reference import commands, reference


def test_the_reference_is_what_the_commands_say():
    assert Path("docs/cli.md").read_text() == reference(strangler)


def test_every_command_shows_an_example_and_every_read_command_takes_json():
    leaves = {name: command for name, command in commands(strangler) if not isinstance(command, click.Group)}
    for name, command in leaves.items():
        assert "Example:" in (command.help or ""), name
    reading = {
        "status",
        "plan show",
        "plan check",
        "route list",
        "route explain",
        "diff report",
        "cdc lag",
        "verify",
        "doctor",
    }
    for name in reading:
        assert any("--json" in parameter.opts for parameter in leaves[f"strangler {name}"].params), name
