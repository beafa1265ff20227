"""A mapping bound to the two schemas, ready for the stream. Pure.

What the applier gets:

- `c` and `r` → `upsert` with every mapped column (for a partial feeder: `update`, `missing='ignore'`).
- `u` → `update`, `missing='error'`; `values` are the columns that the event knows, so an unchanged TOAST value is left
  out; the key columns are among them, with `old_key`, only when the key changes. No change at all when nothing is left.
- `d` → `delete`, children first. `TRUNCATE` → one `truncate` per target, children first: put all that come from one
  event into one `TRUNCATE` statement, foreign keys allow nothing else.

A table without a primary key on either side has `insert`, `replace` and `remove` instead (see `TargetChange`).

While a table is being copied an update may meet a row that is not there yet: `as_upsert` gives the equivalent upsert
when the event knows all columns.
"""

from collections.abc import Iterable, Mapping, Sequence

from cdc.errors import MappingInvalid
from cdc.events import Change, Relation, RowChange, TableName, TargetChange, Truncate
from cdc.mapping.keyless import KeylessRowPlan
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.mapping.parts import PartTruncate, Step, weave
from cdc.mapping.port import BulkColumns
from cdc.mapping.rows import RowPlan, SourceShape, TargetShape, other_columns
from cdc.tables import Schema, Table

_MOST_RELATIONS_CACHED = 256


def compile_mapping(
    mapping: MoveMapping, source: Schema, target: Schema, *, follows: bool = False
) -> "CompiledMapping":
    """Bind `mapping` to both schemas. `follows`: a NULL that neither side allowed is a schema change to be followed,
    not a bad row. Raises `MappingInvalid` when a table or key makes that impossible.

    `cdc.mapping.check.check_mapping` lists everything that is wrong; this stops at the first thing it cannot work with.
    """
    shapes: dict[TableName, SourceShape] = {}
    for table in mapping.tables:
        source_table = _existing(source, table.source, "source")
        shapes[table.source] = SourceShape(
            table=table.source,
            columns={column.name: column.type_oid for column in source_table.columns if not column.generated},
            ignored=frozenset(table.dropped) | {c.name for c in source_table.columns if c.generated},
            modifiers={c.name: c.type_modifier for c in source_table.columns if c.type_modifier is not None},
            primary_key=source_table.primary_key,
            targets=tuple(_target_shape(mapping, table, each, source_table, target, follows) for each in table.targets),
        )
    return CompiledMapping(mapping=mapping, shapes=shapes)


class CompiledMapping:
    """Implements `cdc.mapping.port.Mapper`. Safe to share between threads."""

    def __init__(
        self,
        *,
        mapping: MoveMapping,
        shapes: Mapping[TableName, SourceShape],
        older: Mapping[TableName, Sequence[SourceShape]] | None = None,
    ) -> None:
        self.mapping = mapping
        self._shapes = shapes
        self._older = older or {}
        self._plans: dict[int, tuple[Relation, RowPlan]] = {}
        self._has_parts = any(target.partial for shape in shapes.values() for target in shape.targets)
        self._columns: dict[TableName, dict[str, None]] = {}
        for _, target in mapping.pairs():
            self._columns.setdefault(target.table, {}).update(dict.fromkeys(rule.target for rule in target.columns))
        self._owned_columns = {
            target.table: frozenset(rule.target for rule in target.rules)
            for shape in shapes.values()
            for target in shape.targets
            if not target.partial
        }
        self._keys = {target.table: target.key for shape in shapes.values() for target in shape.targets}

    def with_older(self, older: Mapping[TableName, Sequence[SourceShape]]) -> "CompiledMapping":
        """The same, taking also events of these earlier forms of its source tables."""
        return CompiledMapping(mapping=self.mapping, shapes=self._shapes, older=older)

    def shape(self, source: TableName) -> SourceShape:
        """What a source table's events have to look like."""
        return self._shapes[source]

    @property
    def source_tables(self) -> tuple[TableName, ...]:
        return self.mapping.source_tables

    @property
    def target_tables(self) -> tuple[TableName, ...]:
        return self.mapping.target_tables

    def columns(self, target: TableName) -> tuple[str, ...]:
        """Every mapped column of a target table, whichever source table fills it."""
        return tuple(self._columns[target])

    def key_columns(self, target: TableName) -> tuple[str, ...]:
        """The target table's primary key."""
        return self._keys[target]

    def source_key(self, source: TableName) -> tuple[str, ...]:
        """The source table's primary key."""
        return self._shapes[source].primary_key

    def map(self, change: RowChange | Truncate) -> Sequence[TargetChange]:
        steps = self._steps(change)
        return weave(steps) if self._has_parts else _only_changes(steps)

    def bulk(self, relation: Relation) -> Sequence[BulkColumns] | None:
        return self._plan(relation).bulk()

    def map_transaction(self, changes: Sequence[Change]) -> Sequence[TargetChange]:
        """All changes of one source transaction, in an order that is safe to apply (see `Mapper`)."""
        steps: list[Step] = []
        for change in changes:
            if isinstance(change, Truncate) or (isinstance(change, RowChange) and self._maps(change.relation)):
                steps += self._steps(change)
        return weave(steps) if self._has_parts else _only_changes(steps)

    def as_upsert(self, change: TargetChange) -> TargetChange | None:
        """The upsert that has the same effect on `change.key` as this `update`, or None when a column is unknown.

        A row under `old_key` is not part of it: delete that first.
        """
        if change.kind == "upsert":
            return change
        values = {**change.values, **change.key}
        if change.kind != "update" or change.missing == "ignore" or self._owned_columns[change.table] - values.keys():
            return None
        return TargetChange(kind="upsert", table=change.table, key=change.key, values=values)

    def keys_of(self, change: RowChange) -> Iterable[tuple[str, ...]]:
        """The source primary keys that this event touches: the new one, and the old one when it differs."""
        return self._plan(change.relation).source_keys(change)

    def _maps(self, relation: Relation) -> bool:
        return relation.table in self._shapes

    def _plan(self, relation: Relation) -> RowPlan:
        cached = self._plans.get(id(relation))
        if cached is not None and cached[0] is relation:
            return cached[1]
        if len(self._plans) >= _MOST_RELATIONS_CACHED:
            self._plans.clear()
        shape = self._shape_of(relation)
        plan = RowPlan(shape, relation) if shape.primary_key else KeylessRowPlan(shape, relation)
        self._plans[id(relation)] = (relation, plan)
        return plan

    def _shape_of(self, relation: Relation) -> SourceShape:
        """The table's form that this relation has. Raises `SchemaChanged` when it is none that is known."""
        latest = self._shapes[relation.table]
        for shape in (latest, *self._older.get(relation.table, ())):
            if shape.takes(relation):
                return shape
        raise other_columns(latest, relation)

    def _steps(self, change: RowChange | Truncate) -> list[Step]:
        if isinstance(change, Truncate):
            return self._truncate(change)
        return self._plan(change.relation).steps(change)

    def _truncate(self, change: Truncate) -> list[Step]:
        emptied = [self._shapes[r.table] for r in change.relations if self._maps(r)]
        owned = {target.table for shape in emptied for target in shape.targets if not target.partial}
        steps: list[Step] = [
            PartTruncate(source=shape.table, table=target.table)
            for shape in emptied
            for target in shape.targets
            if target.partial and target.table not in owned
        ]
        return steps + [
            TargetChange(kind="truncate", table=table, key={}, values={})
            for table in reversed(self.target_tables)
            if table in owned
        ]


def _only_changes(steps: Sequence[Step]) -> list[TargetChange]:
    return [step for step in steps if isinstance(step, TargetChange)]


def _existing(schema: Schema, name: TableName, side: str) -> Table:
    if (table := schema.tables.get(name)) is None:
        raise MappingInvalid(
            thing=f"{side} table {name}", reason="does not exist", mend="correct the mapping or create the table"
        )
    return table


def _target_shape(
    mapping: MoveMapping, table: TableMapping, target: TargetMapping, source: Table, schema: Schema, follows: bool
) -> TargetShape:
    key = _existing(schema, target.table, "target").primary_key
    _refuse_half_keyless(table, target, source, key)
    owned_elsewhere: set[str] = set()
    if target.partial:
        owned_elsewhere = {
            rule.target for _, feeder in mapping.feeders(target.table) if not feeder.partial for rule in feeder.columns
        } - set(key)
    for column in key:
        rule = target.rule(column)
        if rule is None or not _keeps_identity(rule, source.primary_key):
            raise MappingInvalid(
                thing=f"key column {target.table}.{column}",
                reason=f"is not carried over as it is from the primary key of {table.source}",
                mend=f"map it from one of: {', '.join(source.primary_key) or '(the table has no primary key)'}",
            )
    rules = tuple(
        rule
        for rule in target.columns
        if rule.target not in owned_elsewhere and (rule.source is None or source.column(rule.source) is not None)
    )
    return TargetShape(
        table=target.table,
        rules=rules,
        key=key,
        partial=target.partial,
        labels=_labels(rules, source, schema.tables[target.table]),
        never_null=_never_null(rules, key, source, schema.tables[target.table]) if follows else (),
    )


def _refuse_half_keyless(table: TableMapping, target: TargetMapping, source: Table, key: Sequence[str]) -> None:
    """A row is told by its key on both sides or, as a whole, on both."""
    if bool(key) == bool(source.primary_key) and (key or not target.partial):
        return
    if not key:
        raise MappingInvalid(
            thing=f"target table {target.table}",
            reason="has no primary key" if source.primary_key else "has no primary key and is filled by several tables",
            mend="give it a primary key",
        )
    raise MappingInvalid(
        thing=f"source table {table.source}",
        reason=f"has no primary key, {target.table} has one",
        mend=f"give {table.source} a primary key, or take it away from {target.table}",
    )


def _never_null(rules: Sequence[ColumnRule], key: Sequence[str], source: Table, target: Table) -> tuple[str, ...]:
    return tuple(
        rule.target
        for rule in rules
        if rule.target not in key
        and (origin := source.column(rule.source or "")) is not None
        and (column := target.column(rule.target)) is not None
        and not (column.nullable or origin.nullable)
    )


def _labels(rules: Sequence[ColumnRule], source: Table, target: Table) -> dict[str, frozenset[str]]:
    """D22: what each enum column can hold that takes the values of an enum as they are."""
    return {
        rule.target: frozenset(column.enum_labels)
        for rule in rules
        if rule.plain and (column := target.column(rule.target)) is not None and column.enum_labels
        if (origin := source.column(rule.source or "")) is not None and origin.enum_labels
    }


def _keeps_identity(rule: ColumnRule, primary_key: Sequence[str]) -> bool:
    return rule.constant is not None or (rule.plain and rule.source in primary_key)
