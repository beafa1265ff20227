"""What source code seems to do to tables. Pure values."""

from dataclasses import dataclass

from migration_plans.gather.statement import Access


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeFunctionality:
    """An endpoint, or another way in, and the tables that its code seems to touch: a guess, never proof."""

    name: str
    """`METHOD /path/{parameter}`, or `module.function`."""
    where: str
    """`file:line`."""
    accesses: tuple[Access, ...] = ()
    joins: tuple[tuple[str, ...], ...] = ()
