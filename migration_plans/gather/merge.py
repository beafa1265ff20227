"""Several gatherings → one facts document. Pure.

Observed beats guessed: code adds endpoints that never ran, and where an endpoint's code is; it changes nothing that was
seen. Of an endpoint's transactions each different one is kept once; one that is only the beginning of another is
dropped: it is the same work, refused on the way.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from migration_plans.assess.document import AccessFacts, ColumnFacts, JoinFacts, LockFacts, ViewFacts
from migration_plans.gather.attribution import Ran
from migration_plans.gather.code_facts import CodeFunctionality
from migration_plans.gather.document import (
    GatheredDocument,
    GatheredForeignKey,
    GatheredFunctionality,
    GatheredTable,
    GatheredTrigger,
    Gathering,
    IndexFacts,
    NotUnderstood,
    RefutedKeyFacts,
    RoutineFacts,
    SequenceFacts,
)
from migration_plans.gather.inferred_keys import InferredKey
from migration_plans.gather.paths import shape_of
from migration_plans.gather.schema_facts import SchemaFacts
from migration_plans.gather.statement import Access, StatementFacts, View

_SHOWN: Final = 300
_MOST_TRANSACTIONS: Final = 200
"""Different transactions of one functionality that are kept, the most frequent ones."""


def merged(
    *,
    schema: SchemaFacts | None,
    ran: Iterable[Ran],
    code: Sequence[CodeFunctionality] = (),
    inferred: Iterable[InferredKey] = (),
    gathering: Gathering,
) -> GatheredDocument:
    """The document. `gathering` says how it came about; what statements were not understood is added to it."""
    places = {shape_of(one.name): one for one in code}
    functionalities: dict[str, GatheredFunctionality] = {}
    joins: list[JoinFacts] = []
    problems: Counter[tuple[str, str]] = Counter()
    unknown: dict[str, None] = dict.fromkeys(gathering.left_out)
    for one in ran:
        place = places.pop(shape_of(one.name), None)
        name = place.name if place is not None else one.name
        for shape, times in one.shapes.items():
            for statement in shape.statements:
                unknown |= dict.fromkeys(statement.unknown_tables)
                if statement.not_understood is not None:
                    problems[statement.text[:_SHOWN], statement.not_understood] += times
        functionality = _functionality(one, where=place.where if place is not None else None)
        if functionality.transactions:
            functionalities[name] = functionality
            joins += _joins(name, one, {} if schema is None else schema.views)
    for guess in places.values():
        if guess.accesses:
            functionalities[guess.name] = _guessed(guess)
            joins += [JoinFacts(tables=tables, functionality=guess.name) for tables in guess.joins]
    keys = list(inferred)
    schema_problems = () if schema is None else schema.not_understood
    return GatheredDocument(
        tables=None if schema is None else _tables(schema),
        foreign_keys=_foreign_keys(schema, keys),
        functionalities=dict(sorted(functionalities.items())),
        joins=tuple(joins),
        views={} if schema is None else {n: ViewFacts(tables=view.tables) for n, view in sorted(schema.views.items())},
        triggers={} if schema is None else _triggers(schema),
        routines={} if schema is None else _routines(schema),
        sequences={
            one.name: SequenceFacts(table=one.table, column=one.column)
            for one in (() if schema is None else schema.sequences)
        },
        gathering=gathering.model_copy(
            update={
                "not_understood": (
                    *gathering.not_understood,
                    *(NotUnderstood(what=what, why=why) for what, why in schema_problems),
                    *(NotUnderstood(what=what, why=why, times=n) for (what, why), n in problems.most_common()),
                ),
                "left_out": tuple(unknown),
                "refuted_keys": tuple(_refuted(key) for key in keys if key.is_refuted),
            }
        ),
    )


def _functionality(one: Ran, *, where: str | None) -> GatheredFunctionality:
    counts: Counter[tuple[Access, ...]] = Counter()
    for shape, times in one.shapes.items():
        if shape.accesses:
            counts[shape.accesses] += times
    kept = _without_beginnings(counts)
    read: dict[str, set[str]] = defaultdict(set)
    written: dict[str, set[str]] = defaultdict(set)
    locks: dict[LockFacts, None] = {}
    changed: dict[str, dict[str, None]] = {"insert": {}, "update": {}, "delete": {}}
    for statement in _statements(one):
        for table, use in statement.columns.items():
            read[table].update(use.read)
            written[table].update(use.written)
        for change in statement.changes:
            changed[change.kind][change.table] = None
        locks |= {LockFacts(table=lock.table, strength=lock.strength): None for lock in statement.locks}
    return GatheredFunctionality(
        calls=one.calls,
        transactions=tuple(tuple(AccessFacts(*access) for access in accesses) for accesses in kept),
        seen=tuple(kept.values()),
        columns={
            table: ColumnFacts(read=tuple(sorted(read[table])), written=tuple(sorted(written[table])))
            for table in sorted(read.keys() | written.keys())
        },
        evidence=one.evidence,
        where=where,
        inserts=tuple(changed["insert"]) if any(changed.values()) else None,
        updates=tuple(changed["update"]) if any(changed.values()) else None,
        deletes=tuple(changed["delete"]) if any(changed.values()) else None,
        locks=tuple(locks),
        held_ms=one.held_ms,
    )


def _without_beginnings(counts: Counter[tuple[Access, ...]]) -> dict[tuple[Access, ...], int]:
    """In the order in which they were first seen, without those that another begins with."""
    beginnings = {accesses[:length] for accesses in counts for length in range(1, len(accesses))}
    whole = [accesses for accesses in counts if accesses not in beginnings]
    frequent = set(sorted(whole, key=lambda accesses: -counts[accesses])[:_MOST_TRANSACTIONS])
    return {accesses: counts[accesses] for accesses in whole if accesses in frequent}


def _statements(one: Ran) -> Iterable[StatementFacts]:
    seen: set[int] = set()
    for shape in one.shapes:
        for statement in shape.statements:
            if id(statement) not in seen:
                seen.add(id(statement))
                yield statement


def _joins(name: str, one: Ran, views: Mapping[str, View]) -> list[JoinFacts]:
    """Sets of tables that statements of a functionality join, views' included, and in how many transactions."""
    times: Counter[tuple[str, ...]] = Counter()
    for shape, count in one.shapes.items():
        sets = {tuple(sorted(_joined(statement, views))) for statement in shape.statements}
        for tables in sets:
            if len(tables) > 1:
                times[tables] += count
    return [JoinFacts(tables=tables, functionality=name, calls=count) for tables, count in sorted(times.items())]


def _joined(statement: StatementFacts, views: Mapping[str, View]) -> set[str]:
    joined = {side.table for join in statement.joins for side in join}
    return joined.union(*(views[view].tables for view in statement.views if view in views))


def _guessed(guess: CodeFunctionality) -> GatheredFunctionality:
    return GatheredFunctionality(
        calls=1,
        transactions=(tuple(AccessFacts(*access) for access in guess.accesses),),
        evidence="code",
        where=guess.where,
    )


def _tables(schema: SchemaFacts) -> dict[str, GatheredTable]:
    sequences: dict[str, list[str]] = defaultdict(list)
    for sequence in schema.sequences:
        if sequence.table is not None:
            sequences[sequence.table].append(sequence.name)
    return {
        name: GatheredTable(
            columns=table.columns,
            rows=table.rows,
            bytes=table.bytes,
            primary_key=table.primary_key,
            indexes={one.name: IndexFacts(columns=one.columns, unique=one.unique) for one in table.indexes},
            sequences=tuple(sequences[name]),
        )
        for name, table in sorted(schema.tables.items())
    }


def _foreign_keys(schema: SchemaFacts | None, inferred: Iterable[InferredKey]) -> tuple[GatheredForeignKey, ...]:
    declared = [
        GatheredForeignKey.model_validate(
            {
                "from": key.table,
                "to": key.target,
                "columns": key.columns,
                "to_columns": key.target_columns,
                "on_delete": key.on_delete,
            }
        )
        for key in (() if schema is None else schema.foreign_keys)
    ]
    concluded = [
        GatheredForeignKey.model_validate(
            {
                "from": key.source.table,
                "to": key.target.table,
                "columns": (key.source.column,),
                "to_columns": (key.target.column,),
                "inferred": True,
                "sampled": key.sampled,
                "not_matching": key.not_matching,
            }
        )
        for key in inferred
        if not key.is_refuted
    ]
    return (*declared, *concluded)


def _refuted(key: InferredKey) -> RefutedKeyFacts:
    return RefutedKeyFacts(
        source=key.source.table,
        columns=(key.source.column,),
        target=key.target.table,
        to_columns=(key.target.column,),
        sampled=key.sampled or 0,
        not_matching=key.not_matching or 0,
    )


def _triggers(schema: SchemaFacts) -> dict[str, GatheredTrigger]:
    return {
        f"{trigger.table}.{trigger.name}": GatheredTrigger(
            table=trigger.table,
            tables=tuple(dict.fromkeys(access.table for access in trigger.accesses if access.table != trigger.table)),
            routine=trigger.routine,
        )
        for trigger in schema.triggers
    }


def _routines(schema: SchemaFacts) -> dict[str, RoutineFacts]:
    return {
        name: RoutineFacts(accesses=tuple(AccessFacts(*access) for access in routine.accesses))
        for name, routine in sorted(schema.routines.items())
    }
