"""What README tells people to type exists, and what it tells them to write is accepted."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cli import strangler
from strangler.settings import load_settings

README = Path("README.md").read_text()
COMMANDS = re.findall(r"^\$ (strangler [^#\n]*)", README, flags=re.MULTILINE)
INLINE = re.findall(r"`(strangler [a-z][^`…]*)`", README)


def parse(line):
    """Parse as the command would, without running it; raises when a command or option does not exist."""
    words = shlex.split(line)[1:]
    group, context = strangler, click.Context(strangler, info_name="strangler", **strangler.context_settings)
    while words:
        command = group.get_command(context, words[0])
        assert command is not None, line
        if not isinstance(command, click.Group):
            asked_back = {"--yes"} & {name for parameter in command.params for name in parameter.opts}
            command.make_context(words[0], [*words[1:], *asked_back], parent=context)
            return
        group, context, words = command, click.Context(command, parent=context), words[1:]


@pytest.mark.parametrize("line", sorted({*COMMANDS, *INLINE}))
def test_every_command_in_the_readme_exists(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"[a-z]+\.jsonl?\b", line):
        Path(file).touch()
    parse(line.strip())


def test_the_readme_has_the_tour():
    assert len(COMMANDS) >= 10


def test_the_settings_in_the_readme_are_accepted(tmp_path):
    block = re.search(r"```toml\n(.*?)```", README, flags=re.DOTALL).group(1)
    (tmp_path / "strangler.toml").write_text(block)
    settings = load_settings(tmp_path / "strangler.toml", {"LEGACY_PASSWORD": "a", "CATALOG_PASSWORD": "b"})
    assert settings.service("catalog").plan == Path("migration_plans/catalog.yaml")


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "GLOSSARY.md"])
def test_links_lead_somewhere_and_no_line_is_a_machine_path(name):
    text = Path(name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert Path(target).exists(), target


def test_the_architecture_is_short_enough_to_be_read():
    assert len(Path("ARCHITECTURE.md").read_text().splitlines()) < 200
