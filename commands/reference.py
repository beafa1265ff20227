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
    sections = [f"## {context.command_path}\n\n```text\n{context.get_help().strip()}\n```\n" for context in _walk(root)]
    return "\n".join([_HEAD, *sections])


def commands(root: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Every command and group by its whole name."""
    return ((context.command_path, context.command) for context in _walk(root))


def _walk(
    command: click.Command, name: str = "strangler", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Contexts as they are when the command runs: what help is asked by is inherited."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _walk(found, inner, context)


if __name__ == "__main__":
    from cli import strangler

    click.echo(reference(strangler), nl=False)
