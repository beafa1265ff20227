"""What becomes of a foreign key that a cut goes through. Pure.

A key promises two things: a child never points to nothing when it is written, and a parent is not deleted from under
its children. After the cut nobody enforces either: each needs a treatment, or a reason why none is needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from migration_plans.assess.facts import ForeignKey
from migration_plans.assess.usage import Usage, is_reference

KeyTreatment = Literal["replica", "api_check", "async_delete", "async_nullify", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TreatedKey:
    """`lookup`: how the child's service learns of the parent, whatever the treatment; None when it never asks."""

    key: ForeignKey
    treatment: KeyTreatment
    reason: str
    lookup: Literal["replica", "api_check"] | None
    todo: str


def treat_keys(use: Usage) -> Iterator[TreatedKey]:
    """One for each cut key, in the order of the facts."""
    for key in use.facts.foreign_keys:
        if use.service_of(key.source) != use.service_of(key.target):
            yield _treat(use, key)


def _treat(use: Usage, key: ForeignKey) -> TreatedKey:
    names = use.facts.tables
    child, parent = names[key.source], names[key.target]
    here, there = (use.services.names[use.service_of(table)] for table in (key.source, key.target))
    asked, changed = float(use.reads[key.target, use.service_of(key.source)]), use.writes_of(key.target)
    lookup: Literal["replica", "api_check"] | None = None
    if asked:
        lookup = "replica" if asked > changed or is_reference(use, key.target) else "api_check"
    rates = f"{here} reads {parent} {asked:g} times while it is written {changed:g} times"
    column = ", ".join(key.columns) or f"the reference to {parent}"
    if key.on_delete == "CASCADE":
        return TreatedKey(
            key=key,
            treatment="async_delete",
            reason=f"the database deletes {child} with {parent} (ON DELETE CASCADE)",
            lookup=lookup,
            todo=f"{there} publishes that a row of {parent} was deleted; {here} then deletes its {child}",
        )
    if key.on_delete.startswith("SET"):
        return TreatedKey(
            key=key,
            treatment="async_nullify",
            reason=f"{child} outlives {parent} (ON DELETE {key.on_delete})",
            lookup=lookup,
            todo=f"{there} publishes that a row of {parent} was deleted; {here} then empties {child}.{column}",
        )
    if key.inferred and lookup is None:
        return TreatedKey(
            key=key,
            treatment="drop",
            reason=f"the database never enforced it, and {here} never reads {parent}",
            lookup=None,
            todo=f"keep {column} as a plain value",
        )
    stays = f"{there} marks rows of {parent} as deleted instead of deleting them"
    if together := _written_together(use, key):
        return TreatedKey(
            key=key,
            treatment="drop",
            reason=f"all {together:g} calls that write {child} write {parent} too",
            lookup=lookup,
            todo=f"the saga's step in {there} comes first and hands {column} over; {stays}",
        )
    if lookup == "replica":
        return TreatedKey(
            key=key,
            treatment="replica",
            reason=f"{rates}: a copy costs fewer messages than questions",
            lookup=lookup,
            todo=f"{here} keeps the columns of {parent} that it needs, fed by {there}'s events; {stays}",
        )
    if lookup == "api_check":
        return TreatedKey(
            key=key,
            treatment="api_check",
            reason=f"{rates}: a copy would change oftener than it is read",
            lookup=lookup,
            todo=f"{here} asks {there} before it writes {child}; {stays}",
        )
    if use.writes_of(key.source) == 0:
        return TreatedKey(
            key=key,
            treatment="api_check",
            reason=f"nothing was seen writing {child}: who could write a wrong {column} is not known",
            lookup=None,
            todo=f"{here} asks {there} before it writes {child}; {stays}; look for the writer",
        )
    if all(key.target in use.tables_read[functionality] for functionality in use.writers[key.source]):
        return TreatedKey(
            key=key,
            treatment="api_check",
            reason=f"whatever writes {child} reads {parent} as well, though from another service than {here}",
            lookup=None,
            todo=f"the saga's check in {there} comes before the step in {here}; {stays}",
        )
    return TreatedKey(
        key=key,
        treatment="api_check",
        reason=f"{here} writes {child} ({use.writes_of(key.source):g} calls) without a look at {parent}: only the "
        "database refuses a wrong value",
        lookup=None,
        todo=f"{here} asks {there} before it writes {child}; {stays}",
    )


def _written_together(use: Usage, key: ForeignKey) -> float:
    """Calls that write the child, when each of them writes the parent as well; else 0."""
    writers = use.writers[key.source]
    if not all(key.target in use.tables_written[functionality] for functionality in writers):
        return 0.0
    return float(sum(use.facts.calls[functionality] for functionality in writers))
