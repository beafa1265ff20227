"""The service's own tables against the mapping, and its migrations against its database. Pure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from migration_plans.drift.drift import Drift, Kind, constraint_changes
from migration_plans.drift.picture import SchemaPicture, TablePicture
from migration_plans.drift.running import FollowedColumn
from migration_plans.plan import Plan
from migration_plans.table_names import plain

_MIGRATE = "migrate the service's database"
_ALIKE = "rows that one side refuses and the other takes are parked: see that both fit, then `strangler plan accept`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """Alembic's: where the database is, and what the service's migrations lead to."""

    applied: tuple[str, ...]
    heads: tuple[str, ...]


def service_table_drift(
    plan: Plan, before: SchemaPicture | None, now: SchemaPicture, *, followed: Collection[FollowedColumn]
) -> Iterator[Drift]:
    """Tables and columns that the mapping fills and that are not there; columns that it does not know.

    What the stream fills from a column that it follows is no drift here: the monolith's side tells of it.
    """
    if not now.tables:
        tables = ", ".join(plan.target_tables)
        yield _drift("removed", "the service's database", f"has {tables}", "has none of them", _MIGRATE)
        return
    for target in dict.fromkeys(plain(name) for name in plan.target_tables):
        found = now.tables.get(target)
        if found is None:
            mend = f"{_MIGRATE}, or correct the plan"
            yield _drift("removed", f"table {target}", "is filled by the move", "does not exist", mend)
        else:
            streamed = {each.target for each in followed if plain(_primary(plan, each.table)) == target}
            then = before.tables.get(target) if before else None
            yield from _columns(plan, target, then, found, streamed)
            if then is not None:
                constraints = then.constraints, found.constraints
                yield from constraint_changes("service schema", target, *constraints, mend=_ALIKE)


def revision_drift(revisions: Revisions) -> Iterator[Drift]:
    """A database that is not where the migrations lead to."""
    if set(revisions.applied) != set(revisions.heads):
        yield _drift(
            "changed",
            "revision of the service's database",
            f"its migrations lead to {_list(revisions.heads)}",
            f"is at {_list(revisions.applied)}",
            f"{_MIGRATE}: alembic upgrade head",
        )


def _primary(plan: Plan, source: str) -> str:
    """The target table that the stream gives new columns to."""
    return next(next(iter(table.targets)) for name, table in plan.tables.items() if plain(name) == source)


def _columns(
    plan: Plan, target: str, then: TablePicture | None, now: TablePicture, streamed: Collection[str | None]
) -> Iterator[Drift]:
    filled: dict[str, str] = {}
    added: set[str] = set()
    for source, table in plan.tables.items():
        for name, columns in table.targets.items():
            if plain(name) == target:
                for column, rule in columns.items():
                    filled[column] = f"← {source}.{rule.source}" if rule.source else f"constant {rule.constant!r}"
                added.update(table.added.get(name, {}))
    for column, origin in filled.items():
        found, old = now.named(column), then.named(column) if then else None
        thing = f"column {target}.{column}"
        if found is None:
            yield _drift("removed", thing, origin, "does not exist", f"{_MIGRATE}, or correct the mapping")
        elif old is not None and old.described() != found.described():
            mend = "see with `strangler plan check` whether the rule still fits, then `strangler plan accept`"
            yield _drift("changed", thing, old.described(), found.described(), mend)
    known = {column.name for column in then.columns} if then else set()
    for column_now in now.columns:
        if column_now.name in {*filled, *added, *known, *streamed} or column_now.generated:
            continue
        yield _drift(
            "added",
            f"column {target}.{column_now.name}",
            "does not name it",
            column_now.described(),
            f"map it, or list it under `added` of {target} with the reason why it may be lost on the way back",
        )


def _list(revisions: Sequence[str]) -> str:
    return " and ".join(sorted(revisions)) or "no revision"


def _drift(kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return Drift(area="service schema", kind=kind, object=thing, plan=plan, reality=reality, mend=mend)
