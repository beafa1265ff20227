"""Everything that is wrong with a mapping, found before anything moves. Pure."""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cdc.errors import MappingInvalid
from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mapping.types import is_text, longest, misfit, scaled_misfit, unscaled_misfit
from cdc.tables import Schema, Table, TableColumn


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that a person has to mend, in the words of the mapping."""

    thing: str
    reason: str
    mend: str


def check_mapping(mapping: MoveMapping, source: Schema, target: Schema) -> list[Problem]:
    """What makes this mapping unfit to move these tables, and to come back. Empty: it can be compiled both ways.

    Values that only the target can hold (longer texts, other labels) are no problem of the mapping: see
    `way_back_risks`.
    """
    problems = [*_check_owners(mapping), *_check_direction(mapping, source, target)]
    if problems:
        return problems
    try:
        back = mapping.inverse()
    except MappingInvalid:
        return [
            Problem(
                thing=reason.partition(": ")[0],
                reason=f"cannot be reversed: {reason.partition(': ')[2]}",
                mend="make it one-to-one; there is no way back otherwise",
            )
            for reason in mapping.inverse_problems()
        ]
    return [
        Problem(thing=each.thing, reason=f"on the way back: {each.reason}", mend=each.mend)
        for each in _check_direction(back, target, source, capacity=False)
    ]


def way_back_risks(mapping: MoveMapping, source: Schema, target: Schema) -> list[Problem]:
    """What the target could hold after the cutover that the source could not take back (R7), by column."""
    return [
        Problem(thing=each.thing, reason=f"on the way back: {each.reason}", mend=each.mend)
        for each in _check_direction(mapping.inverse(), target, source)
    ]


def _check_owners(mapping: MoveMapping) -> Iterator[Problem]:
    """The copy fills a table from one source: columns that another table adds would meet rows not copied yet."""
    for table, target in mapping.pairs():
        if target.partial:
            yield Problem(
                thing=f"{table.source} → {target.table}",
                reason="fills columns of rows that another table brings, which a copy cannot do",
                mend=f"give {table.source} a target table of its own; join them after the move",
            )


def _check_direction(mapping: MoveMapping, source: Schema, target: Schema, capacity: bool = True) -> Iterator[Problem]:
    for table in mapping.tables:
        if (known := source.tables.get(table.source)) is None:
            yield _unknown_table("source", table.source, source)
            continue
        yield from _check_source(table, known)
        for each in table.targets:
            if (other := target.tables.get(each.table)) is None:
                yield _unknown_table("target", each.table, target)
            else:
                yield from _check_target(table, each, known, other, capacity)
    for name in mapping.target_tables:
        if name in target.tables:
            yield from _check_coverage(mapping, target.tables[name])


def _check_source(table: TableMapping, known: Table) -> Iterator[Problem]:
    if not known.primary_key and known.replica_identity != "f":
        yield Problem(
            thing=f"source table {table.source}",
            reason="has no primary key, and its log does not carry whole rows, so its rows cannot be followed",
            mend=f"ALTER TABLE {table.source} ADD PRIMARY KEY (…), or ALTER TABLE {table.source} REPLICA IDENTITY FULL",
        )
    used = {rule.source for target in table.targets for rule in target.columns if rule.source}
    for name in sorted(used | set(table.dropped)):
        if known.column(name) is None:
            yield _unknown_column("source", table.source, name, known)
    for column in known.columns:
        if column.generated and column.name in used:
            yield Problem(
                thing=f"source column {table.source}.{column.name}",
                reason="is generated, and its values are not in the log",
                mend="let the target generate it too, and take it out of the mapping",
            )
        elif column.name not in used and column.name not in table.dropped and not column.generated:
            yield Problem(
                thing=f"source column {table.source}.{column.name}",
                reason="is neither mapped nor dropped",
                mend=f"map it to a target column, or list it under `dropped` of {table.source} with the reason",
            )
    for name in sorted(used & set(table.dropped)):
        yield Problem(
            thing=f"source column {table.source}.{name}",
            reason="is both mapped and dropped",
            mend="keep one of the two",
        )


def _check_target(
    table: TableMapping, target: TargetMapping, known: Table, other: Table, capacity: bool
) -> Iterator[Problem]:
    for name, times in Counter(rule.target for rule in target.columns).items():
        if times > 1:
            yield Problem(
                thing=f"target column {target.table}.{name}",
                reason=f"is filled {times} times from {table.source}",
                mend="keep one",
            )
    for rule in target.columns:
        column = other.column(rule.target)
        if column is None:
            yield _unknown_column("target", target.table, rule.target, other)
        elif column.generated:
            yield Problem(
                thing=f"target column {target.table}.{rule.target}",
                reason="is generated by its database",
                mend="take it out of the mapping",
            )
        elif rule.source is None or (origin := known.column(rule.source)) is None:
            continue
        else:
            thing = f"{table.source}.{rule.source} → {target.table}.{rule.target}"
            yield from _check_values(thing, rule, origin, column, capacity)
    yield from _check_key(table, target, known, other)


def _check_key(table: TableMapping, target: TargetMapping, known: Table, other: Table) -> Iterator[Problem]:
    if not other.primary_key:
        if known.primary_key:
            yield Problem(
                thing=f"target table {target.table}",
                reason="has no primary key",
                mend="give it one in the next migration",
            )
        return
    if not known.primary_key:
        yield Problem(
            thing=f"target table {target.table}",
            reason=f"has a primary key, {table.source} has none: nothing says which row is meant",
            mend=f"take the key out of the next migration, or give {table.source} one first",
        )
        return
    carried: set[str] = set()
    for name in other.primary_key:
        rule = target.rule(name)
        if rule is None:
            yield Problem(
                thing=f"key column {target.table}.{name}",
                reason=f"is not mapped from {table.source}",
                mend=f"map it from {' or '.join(known.primary_key) or 'the primary key'}",
            )
        elif rule.source is not None and (not rule.plain or rule.source not in known.primary_key):
            yield Problem(
                thing=f"key column {target.table}.{name}",
                reason=f"is made from {table.source}.{rule.source}, which is not a key column carried over as it is",
                mend=f"map it without a rule from {' or '.join(known.primary_key) or 'the primary key'}",
            )
        elif rule.source is not None:
            carried.add(rule.source)
    if lost := [name for name in known.primary_key if name not in carried]:
        yield Problem(
            thing=f"key column {table.source}.{', '.join(lost)}",
            reason=f"is not part of the primary key of {target.table}: rows would overwrite each other",
            mend=f"carry it into the primary key of {target.table}",
        )


def _check_values(
    thing: str, rule: ColumnRule, origin: TableColumn, column: TableColumn, capacity: bool
) -> Iterator[Problem]:
    reason = _type_reason(rule, origin, column, capacity)
    if reason is not None:
        yield Problem(thing=thing, reason=reason, mend="change the target column's type, or the rule")
    if capacity and origin.nullable and not column.nullable:
        yield Problem(
            thing=thing,
            reason="the source may be NULL, the target may not",
            mend=f"make {column.name} nullable, or set NOT NULL on {origin.name} first",
        )


def _check_coverage(mapping: MoveMapping, table: Table) -> Iterator[Problem]:
    """Every column of a target table has exactly one source of values, or may do without."""
    owned: set[str] = set()
    parts: set[str] = set()
    added: set[str] = set()
    for _, feeder in mapping.feeders(table.name):
        (parts if feeder.partial else owned).update(rule.target for rule in feeder.columns)
        added |= set(feeder.added)
    for column in table.columns:
        thing = f"target column {table.name}.{column.name}"
        if column.name in owned or column.generated:
            continue
        if column.name in parts:
            if not column.nullable:
                yield Problem(
                    thing=thing,
                    reason="comes by another table's event than its row, so it is NULL for a moment",
                    mend=f"ALTER TABLE {table.name} ALTER {column.name} DROP NOT NULL, "
                    "or keep it in the table that owns the row",
                )
        elif not column.filled_by_itself:
            yield Problem(
                thing=thing,
                reason="is not mapped, NOT NULL and has no default",
                mend="map it, give it a constant in the mapping, or a default in its database",
            )
        elif column.name not in added:
            yield Problem(
                thing=thing,
                reason="is not mapped: on the way back its value would be lost",
                mend=f"map it, or list it under `added` of {table.name} with the reason",
            )
    for name in sorted(added):
        if table.column(name) is None:
            yield _unknown_column("target", table.name, name, table)


def _type_reason(rule: ColumnRule, origin: TableColumn, column: TableColumn, capacity: bool) -> str | None:
    """Why values would not survive. Without `capacity` only what holds for every value, not for some."""
    if rule.unscale is not None:
        return unscaled_misfit(origin.type, column.type, rule.digits, capacity=capacity)
    if rule.lookup is not None:
        labels = origin.enum_labels if capacity else ()
        return _lookup_reason(rule.lookup, labels, column)
    if rule.scale is not None:
        return scaled_misfit(origin.type, column.type, rule.digits) if capacity else None
    if column.enum_labels or origin.enum_labels:
        return _enum_reason(origin, column, capacity)
    reason = misfit(origin.type, column.type)
    return reason if capacity or (reason or "").endswith("different kinds of value") else None


def _lookup_reason(lookup: Mapping[str, str], labels: Sequence[str], column: TableColumn) -> str | None:
    if missing := [label for label in labels if label not in lookup]:
        return f"the lookup misses the enum label {', '.join(map(repr, missing))}"
    if column.enum_labels:
        if unknown := sorted(set(lookup.values()) - set(column.enum_labels)):
            return f"the lookup gives {', '.join(map(repr, unknown))}, which {column.type} does not have"
        return None
    return None if is_text(column.type) else f"a lookup gives text, {column.type} is none"


def _enum_reason(origin: TableColumn, column: TableColumn, capacity: bool) -> str | None:
    if not column.enum_labels:
        if not is_text(column.type):
            return f"{origin.type} and {column.type} are different kinds of value"
        too_long = [label for label in origin.enum_labels if len(label) > (longest(column.type) or len(label))]
        return f"label {too_long[0]!r} is longer than {column.type}" if too_long and capacity else None
    if not origin.enum_labels:
        if not is_text(origin.type):
            return f"{origin.type} and {column.type} are different kinds of value"
        return f"{column.type} holds only its labels; give a lookup" if capacity else None
    missing = [label for label in origin.enum_labels if label not in column.enum_labels]
    return f"the enum {column.type} lacks {', '.join(map(repr, missing))}" if missing and capacity else None


def _unknown_table(side: str, name: TableName, schema: Schema) -> Problem:
    others = [str(each) for each in (*schema.tables, *schema.other_tables)]
    otherwise = "create it" if side == "source" else "run the service's own migrations"
    return Problem(
        thing=f"{side} table {name}", reason="does not exist", mend=_did_you_mean(str(name), others, otherwise)
    )


def _unknown_column(side: str, table: TableName, name: str, known: Table) -> Problem:
    return Problem(
        thing=f"{side} column {table}.{name}",
        reason="does not exist",
        mend=_did_you_mean(name, known.column_names, "take it out of the mapping"),
    )


def _did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"correct the name, or {otherwise}"
