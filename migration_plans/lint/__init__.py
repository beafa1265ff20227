"""Lint rules over a plan: one rule per file, each with `id`, `why`, `instead`. Pure.

A rule module has `RULE` (a `Rule`) and is found by listing this folder.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from migration_plans.plan import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """`find` yields the places (keys of the plan) that break the rule."""

    id: str
    why: str
    instead: str
    find: Callable[[Plan], Iterable[str]]


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


def lint(plan: Plan) -> Iterator[Finding]:
    """Every finding of every rule."""
    for rule in rules():
        for where in rule.find(plan):
            yield Finding(rule=rule.id, where=where, why=rule.why, instead=rule.instead)
