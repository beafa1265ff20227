"""A command group whose commands are imported when they are asked for: each brings its own drivers and libraries."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """`where`: name → `module:attribute`."""

    def __init__(self, *args: Any, where: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._where = where

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._where)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._where.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command
