"""The command reference, generated from the commands themselves, so that it cannot rot (docs/cli.md)."""

from collections.abc import Iterator

import click

_HEAD = """\
# Command reference

Generated from the commands; `tests/unit/test_cli_reference.py` compares. Write it again with
`python -m commands.reference > docs/cli.md`.
"""


def reference(root: click.Group) -> str:
    """Markdown: one section per command, with its help text as the terminal shows it."""
    sections = [
        f"## {name}\n\n```text\n{command.get_help(_context(command, name)).strip()}\n```\n"
        for name, command in _walk(root)
    ]
    return "\n".join([_HEAD, *sections])


def _walk(group: click.Group, prefix: str = "strangler") -> Iterator[tuple[str, click.Command]]:
    yield prefix, group
    context = _context(group, prefix)
    for name in group.list_commands(context):
        command, full = group.get_command(context, name), f"{prefix} {name}"
        assert command is not None
        if isinstance(command, click.Group):
            yield from _walk(command, full)
        else:
            yield full, command


def _context(command: click.Command, name: str) -> click.Context:
    return click.Context(command, info_name=name, terminal_width=100, max_content_width=100)


if __name__ == "__main__":
    from cli import strangler

    click.echo(reference(strangler), nl=False)
