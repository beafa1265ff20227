"""Printing: results to stdout, everything said on the way to stderr."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from strangler.errors import StranglerError

_PLAIN_WIDTH = 160
"""Columns when the output is not a terminal, so that a pipe gets whole lines."""


def _console(*, to_stderr: bool = False) -> Console:
    is_terminal = (sys.stderr if to_stderr else sys.stdout).isatty()
    return Console(stderr=to_stderr, highlight=False, width=None if is_terminal else _PLAIN_WIDTH)


stdout = _console()
stderr = _console(to_stderr=True)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def json_option(command: _Command) -> _Command:
    """`--json`, on every read command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(command)


def service_argument(command: _Command) -> _Command:
    """`[SERVICE]`: may be left out when strangler.toml names only one."""
    return click.argument("service", required=False)(command)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, default=str))


def print_error(error: StranglerError) -> None:
    """Thing, reason and mend, a line each."""
    stderr.print(f"[bold red]error[/] {_escape(error.thing)}")
    stderr.print(f"  why   {_escape(error.reason)}")
    stderr.print(f"  mend  {_escape(error.mend)}")


def print_rows(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """A table of plain values."""
    table = Table(*headings, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(_escape("" if cell is None else str(cell)) for cell in row))
    stdout.print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Name and value, a line each."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        stdout.print(f"[bold]{name.ljust(width)}[/]  {_escape(str(value))}")


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


class RichNarrator:
    """Progress of anything over a second, on stderr; plain lines when stderr is not a terminal."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        self._end_bar()
        stderr.print(_escape(text))

    def progress(self, label: str, done: float, total: float) -> None:
        if not stderr.is_terminal:
            return
        if self._bars is None:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=stderr,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(label)
        assert self._task is not None
        self._bars.update(self._task, description=_escape(label), completed=done, total=total or None)

    def close(self) -> None:
        self._end_bar()

    def _end_bar(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
