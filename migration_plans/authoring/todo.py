"""One thing that is left for a person, and a heading for several. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing to do. `inside`: further lines."""

    what: str
    why: str = ""
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Items under one heading."""

    heading: str
    note: str
    items: tuple[Item, ...]


def times(calls: float) -> str:
    """`once`, `3 times`."""
    return "once" if calls == 1 else f"{calls:,g} times"


def some(names: Sequence[str], most: int = 6) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
