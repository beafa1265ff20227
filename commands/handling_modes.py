"""Debezium's handling modes as options, for the commands that write its records and for those that read them."""

from collections.abc import Callable
from typing import Any, get_args

import click

from cdc.debezium import options as modes

_MODES: tuple[tuple[str, Any, str], ...] = (
    ("decimal-handling-mode", modes.DecimalHandling, "precise"),
    ("time-precision-mode", modes.TimePrecision, "adaptive"),
    ("interval-handling-mode", modes.IntervalHandling, "numeric"),
    ("binary-handling-mode", modes.BinaryHandling, "bytes"),
    ("hstore-handling-mode", modes.HstoreHandling, "json"),
)
"""Option, its values, Debezium's default; in the order in which help lists them."""


def handling_mode_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them all; the command gets each under its name with underscores."""
    for name, values, default in reversed(_MODES):
        option = click.option(f"--{name}", type=click.Choice(get_args(values)), default=default, show_default=True)
        command = option(command)
    return command
