"""Lint rules over a plan: one rule per file, each with `id`, `why`, `instead`. Pure.

A rule module has `RULE` (a `Rule`) and is found by listing this folder. A finding keeps a move from beginning, so a
rule has to be about what is wrong for certain, or say what a person writes down to go on.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from migration_plans.plan import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """`find` yields the places (keys of the plan) that break the rule; `among` the same, given the plans of the
    monolith's other services. A rule has one of the two. `refuses`: what it finds, in a few words."""

    id: str
    refuses: str
    why: str
    instead: str
    find: Callable[[Plan], Iterable[str]] | None = None
    among: Callable[[Plan, Sequence[Plan]], Iterable[str]] | None = None

    def places(self, plan: Plan, others: Sequence[Plan]) -> Iterator[str]:
        """Where the plan breaks it."""
        if self.find is not None:
            yield from self.find(plan)
        if self.among is not None:
            yield from self.among(plan, others)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One broken rule at one place of the plan."""

    rule: str
    where: str
    why: str
    instead: str


def rules() -> list[Rule]:
    """All rules, by id."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    return sorted((module.RULE for module in modules), key=lambda rule: rule.id)


def lint(plan: Plan, others: Sequence[Plan] = ()) -> Iterator[Finding]:
    """Every finding of every rule. `others`: the plans of the monolith's other services."""
    for rule in rules():
        for where in rule.places(plan, others):
            yield Finding(rule=rule.id, where=where, why=rule.why, instead=rule.instead)
