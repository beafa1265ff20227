"""Moved tables in the monolith's database: what became of them since the plan was written. Pure.

Whether a column or table is there is held against the plan; what it is like, against the baseline. Without one, only
the former is known. A column that the baseline has and the plan does not name is no drift: `plan check` refuses it.
"""

from collections.abc import Collection, Iterator

from migration_plans.drift.drift import Drift, Kind, constraint_changes
from migration_plans.drift.picture import ColumnPicture, SchemaPicture, TablePicture
from migration_plans.drift.running import FollowedColumn
from migration_plans.plan import Plan, TablePlan
from migration_plans.table_names import plain

_ACCEPT = "then `strangler plan accept`"
_IDENTITIES = {"d": "the primary key", "n": "nothing", "f": "whole rows", "i": "an index"}


def legacy_table_drift(
    plan: Plan,
    before: SchemaPicture | None,
    now: SchemaPicture,
    *,
    followed: Collection[FollowedColumn],
) -> Iterator[Drift]:
    """`followed`: columns that came while the stream ran."""
    for source, table in plan.tables.items():
        name = plain(source)
        then = before.tables.get(name) if before else None
        found = now.tables.get(name)
        if found is None:
            targets = ", ".join(table.targets)
            mend = "put it back, or take it out of the plan"
            yield _drift("removed", f"table {name}", f"moves to {targets}", "does not exist", mend)
            continue
        if name in now.renamed:
            new_name = now.renamed[name]
            mend = f"say {new_name} for {name} in the plan; a move that runs already has to begin anew"
            yield _drift("changed", f"table {name}", "has this name", f"is called {new_name} now", mend)
        numbered = before is not None and before.database == now.database
        yield from _columns(name, table, then, found, numbered=numbered, followed=followed)
        if then is not None:
            yield from _whole_table(name, then, found, same_database=numbered)
            mend = f"rows that one side refuses and the other takes are parked: let both have it alike; {_ACCEPT}"
            yield from constraint_changes("legacy schema", name, then.constraints, found.constraints, mend=mend)


def _columns(
    name: str,
    table: TablePlan,
    then: TablePicture | None,
    now: TablePicture,
    *,
    numbered: bool,
    followed: Collection[FollowedColumn],
) -> Iterator[Drift]:
    uses = _uses(table)
    by_number = numbered and then is not None and then.oid == now.oid
    pairs = _pairs(then, now, by_number=by_number)
    now_of = {old.name: new for old, new in pairs}
    new_names = {new.name for old, new in pairs if old.name != new.name}
    for column, use in uses.items():
        old, new = then.named(column) if then else None, now_of.get(column) or now.named(column)
        thing = f"column {name}.{column}"
        if new is None:
            yield _drift("removed", thing, use, "does not exist", f"take it out of the plan, or put it back in {name}")
        elif new.name != column:
            mend = f"say {new.name!r} for {column!r} in the plan; {_ACCEPT}"
            yield _drift("changed", thing, use, f"is called {new.name} now", mend)
        elif old is not None and (lines := _described_change(old, new)):
            mend = f"see with `strangler plan check` whether {use} still fits; {_ACCEPT}"
            yield _drift("changed", thing, *lines, mend)
    known = {column.name for column in then.columns} if then else set()
    does = {
        each.column: f"; the stream {f'follows it as {each.target}' if each.target else 'leaves it behind'}"
        for each in followed
        if each.table == name
    }
    for column_now in now.columns:
        is_named = column_now.name in uses or column_now.name in known or column_now.name in new_names
        if is_named or column_now.generated:
            continue
        yield _drift(
            "added",
            f"column {name}.{column_now.name}",
            "does not name it",
            column_now.described() + does.get(column_now.name, ""),
            f"map it under {next(iter(table.targets))}, or list it under `dropped` of {name} with the reason",
        )


def _uses(table: TablePlan) -> dict[str, str]:
    """Source column → what the plan does with it."""
    uses: dict[str, str] = {}
    for target, columns in table.targets.items():
        for column, rule in columns.items():
            if rule.source is not None:
                uses[rule.source] = f"{uses[rule.source]}, " if rule.source in uses else "→ "
                uses[rule.source] += f"{target}.{column}"
    return {**uses, **{column: "dropped" for column in table.dropped if column not in uses}}


def _pairs(
    then: TablePicture | None, now: TablePicture, *, by_number: bool
) -> list[tuple[ColumnPicture, ColumnPicture]]:
    """The same column then and now: by number, or by name where numbers mean nothing."""
    if then is None:
        return []
    there: dict[object, ColumnPicture] = {_mark(column, by_number): column for column in now.columns}
    marks = ((column, _mark(column, by_number)) for column in then.columns)
    return [(column, there[mark]) for column, mark in marks if mark in there]


def _mark(column: ColumnPicture, by_number: bool) -> object:
    return column.number if by_number else column.name


def _described_change(old: ColumnPicture, new: ColumnPicture) -> tuple[str, str] | None:
    was, is_now = old.described(), new.described()
    return None if was == is_now else (was, is_now)


def _whole_table(name: str, then: TablePicture, now: TablePicture, *, same_database: bool) -> Iterator[Drift]:
    thing = f"table {name}"
    if same_database and then.oid != now.oid:
        mend = f"compare it with the plan; rows that were copied are of the old one; {_ACCEPT}"
        yield _drift("changed", thing, "is the table that was planned", "was dropped and made anew", mend)
    if then.key != now.key:
        mend = f"rows are told apart by it on both sides: change the target's key and the mapping alike; {_ACCEPT}"
        yield _drift("changed", f"primary key of {name}", _list(then.key), _list(now.key), mend)
    if then.partitioned != now.partitioned:
        was, is_now = ("partitioned" if each.partitioned else "one table" for each in (then, now))
        yield _drift("changed", thing, was, is_now, f"see docs/schema-changes.md for partitions; {_ACCEPT}")
    if then.replica_identity != now.replica_identity:
        mend = f"ALTER TABLE {name} REPLICA IDENTITY … as it was, or {_ACCEPT.removeprefix('then ')}"
        was, is_now = (_IDENTITIES.get(each.replica_identity, "?") for each in (then, now))
        yield _drift("changed", f"replica identity of {name}", was, is_now, mend)


def _list(columns: tuple[str, ...]) -> str:
    return f"({', '.join(columns)})" if columns else "none"


def _drift(kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return Drift(area="legacy schema", kind=kind, object=thing, plan=plan, reality=reality, mend=mend)
