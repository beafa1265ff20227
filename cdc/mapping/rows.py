"""Row images → target changes, with column positions worked out once per relation. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, NoReturn

from cdc.errors import SchemaChanged
from cdc.events import UNCHANGED, Column, Relation, Row, RowChange, TableName, TargetChange
from cdc.mapping.convert import Convert, look_up, shift_down, shift_up
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.model import ColumnRule
from cdc.mapping.parts import PartChange, Step
from cdc.mapping.port import BulkColumns

Values = dict[str, str | None]
NameRow = Callable[[Row], str]
NOTHING: Final[Mapping[str, None]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetShape:
    """One target of a source table: its effective rules and its primary key.

    `absent`: columns that rows of this form lack, with the value (source text form) that such rows turned out to have
    when the column was added. `labels`: what an enum column can hold that takes its values as they are. `never_null`:
    columns that may be NULL on neither side, as far as is known.
    """

    table: TableName
    rules: tuple[ColumnRule, ...]
    key: tuple[str, ...]
    partial: bool
    absent: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    never_null: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceShape:
    """A source table as it was when the mapping was compiled. `columns`: name → type oid (0 when not known).

    `modifiers`: name → type modifier, of those that are known. `exact`: an earlier form of the table, which takes only
    relations that have exactly these columns.
    """

    table: TableName
    columns: Mapping[str, int]
    ignored: frozenset[str]
    primary_key: tuple[str, ...]
    targets: tuple[TargetShape, ...]
    modifiers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    exact: bool = False

    def takes(self, relation: Relation) -> bool:
        """Events of `relation` can be read by this shape."""
        if self.exact and {column.name for column in relation.columns} != self.columns.keys():
            return False
        return not any(self.other_columns(relation).values())

    def other_columns(self, relation: Relation) -> dict[str, list[str]]:
        """What about the relation's columns is not as it was, in words, with the columns' names."""
        seen = {column.name: column for column in relation.columns if column.name not in self.ignored}
        wanted = [name for name in self.columns if name not in self.ignored]
        key = {column.name for column in relation.columns if column.in_key}
        told = relation.oid != 0
        return {
            "lost or renamed": [name for name in wanted if name not in seen],
            "new": [name for name in seen if name not in self.columns],
            "of another type": [name for name, column in seen.items() if self._retyped(column, told)],
            "not in both the old and the new key": sorted(key.symmetric_difference(self.primary_key))
            if told and key and relation.replica_identity == "d"
            else [],
        }

    def _retyped(self, column: Column, told: bool) -> bool:
        was = self.columns.get(column.name, 0)
        if was and column.type_oid and was != column.type_oid:
            return True
        return told and self.modifiers.get(column.name, column.type_modifier) != column.type_modifier


class RowPlan:
    """How rows of one relation become changes of each target."""

    def __init__(self, shape: SourceShape, relation: Relation) -> None:
        position = {column.name: index for index, column in enumerate(relation.columns)}
        self._table, self._relation = shape.table, relation
        self._key_names = shape.primary_key
        self._key_positions = tuple(position[name] for name in shape.primary_key)
        self._targets = tuple(self._target_plan(target, relation) for target in shape.targets)

    def _target_plan(self, target: TargetShape, relation: Relation) -> "TargetPlan":
        return TargetPlan(self._table, target, relation, self._named)

    def steps(self, change: RowChange) -> list[Step]:
        """The target changes of one event, parents before children (delete: the other way round)."""
        if change.op == "d":
            old = _present(change.old)
            return [target.delete(old) for target in reversed(self._targets)]
        new = _present(change.new)
        if change.op != "u":
            return [target.insert(new) for target in self._targets]
        old = change.old or new
        if change.old is not None and not change.old_is_key:
            new = tuple(before if after is UNCHANGED else after for before, after in zip(old, new, strict=True))
        return [step for target in self._targets if (step := target.update(old, new)) is not None]

    def bulk(self) -> tuple[BulkColumns, ...] | None:
        """See `Mapper.bulk`."""
        found = [target.bulk() for target in self._targets]
        return tuple(each for each in found if each is not None) if all(found) else None

    def source_keys(self, change: RowChange) -> Iterable[tuple[str, ...]]:
        """The primary keys the event names, without repeats."""
        return dict.fromkeys(self._source_key(image) for image in (change.old, change.new) if image is not None)

    def _source_key(self, row: Row) -> tuple[str, ...]:
        key: list[str] = []
        for name, position in zip(self._key_names, self._key_positions, strict=True):
            if not isinstance(value := row[position], str):
                _refuse_key(self._table, name)
            key.append(value)
        return tuple(key)

    def _named(self, row: Row) -> str:
        values = zip(self._key_names, self._key_positions, strict=True)
        return f"{self._table} row " + ", ".join(f"{name}={row[position]}" for name, position in values)


class TargetPlan:
    """One target table: which position feeds which column, and what is done to it on the way."""

    def __init__(self, source: TableName, shape: TargetShape, relation: Relation, name_row: NameRow) -> None:
        position = {column.name: index for index, column in enumerate(relation.columns)}
        self._source = source
        self._relation = relation
        self._labels = tuple(shape.labels.items())
        self._shape = shape
        self._name_row = name_row
        feeds = {rule.target: position[rule.source] for rule in shape.rules if rule.source is not None}
        constants = {rule.target: rule.constant for rule in shape.rules if rule.constant is not None}
        self._feeds = tuple(feeds.items())
        self._constants = constants
        self._converted = tuple(
            (rule.target, f"{source}.{rule.source}", convert) for rule in shape.rules if (convert := _converter(rule))
        )
        self._key = tuple((name, constants.get(name), feeds.get(name, -1)) for name in shape.key)
        self._blank: dict[str, None] = dict.fromkeys(
            rule.target for rule in shape.rules if rule.target not in shape.key
        )

    def insert(self, new: Row) -> Step:
        key, values = self._key_of(new), self._values(new, self._shape.absent)
        if self._shape.partial:
            return self._part(None, key, values)
        return TargetChange(kind="upsert", table=self._shape.table, key=key, values=values)

    def update(self, old: Row, new: Row) -> Step | None:
        after = self._key_of(new)
        before = after if old is new else self._key_of(old)
        values = self._values(new)
        if self._shape.partial:
            return self._part(before, after, values)
        moved = before != after
        if not moved:
            for name in after:
                del values[name]
        if not values:
            return None
        return TargetChange(
            kind="update", table=self._shape.table, key=after, values=values, old_key=before if moved else None
        )

    def delete(self, old: Row) -> Step:
        key = self._key_of(old)
        if self._shape.partial:
            return self._part(key, None, {})
        return TargetChange(kind="delete", table=self._shape.table, key=key, values={})

    def bulk(self) -> BulkColumns | None:
        if self._shape.partial or self._shape.absent or self._labels:
            return None
        columns = tuple(name for name, _ in self._feeds)
        return BulkColumns(
            table=self._shape.table,
            columns=columns,
            positions=tuple(position for _, position in self._feeds),
            converts=tuple((columns.index(name), column, convert) for name, column, convert in self._converted),
            constants=tuple((name, value) for name, value in self._constants.items() if name not in columns),
        )

    def _part(self, before: Values | None, after: Values | None, values: Values) -> PartChange:
        known = {name: value for name, value in values.items() if name in self._blank}
        return PartChange(
            source=self._source,
            table=self._shape.table,
            before=before,
            after=after,
            values=known,
            blank=self._blank,
            complete=len(known) == len(self._blank),
        )

    def _key_of(self, row: Row) -> Values:
        key: Values = {}
        for name, constant, position in self._key:
            value = constant if constant is not None else row[position]
            if not isinstance(value, str):
                _refuse_key(self._source, name)
            key[name] = value
        return key

    def _values(self, row: Row, absent: Mapping[str, str | None] = NOTHING) -> Values:
        values: Values = dict(absent)
        for name, position in self._feeds:
            value = row[position]
            if value is not UNCHANGED:
                values[name] = value
        values.update(self._constants)
        for name, labels in self._labels:
            if (label := values.get(name)) is not None and label not in labels:
                self._refuse_label(name, label)
        for name in self._shape.never_null:
            if values.get(name, "") is None:
                self._refuse_null(name)
        for name, column, convert in self._converted:
            value = values.get(name)
            if value is not None:
                try:
                    values[name] = convert(value)
                except ValueError as error:
                    raise RowUnmappable(
                        thing=f"{self._name_row(row)}, column {column} → {self._shape.table}.{name}",
                        reason=str(error),
                        mend="correct the value in the source, or extend the mapping rule of this column",
                    ) from None
        return values

    def _refuse_null(self, name: str) -> NoReturn:
        raise SchemaChanged(
            thing=f"table {self._source}",
            reason=f"has a NULL for {self._shape.table}.{name}, which was NOT NULL on both sides",
            mend=f"ALTER TABLE {self._shape.table} ALTER {name} DROP NOT NULL in the target",
            relation=self._relation,
        )

    def _refuse_label(self, name: str, label: str) -> NoReturn:
        raise SchemaChanged(
            thing=f"table {self._source}",
            reason=f"has the value {label!r}, which is no label of the enum {self._shape.table}.{name}",
            mend=f"ALTER TYPE … ADD VALUE {label!r} in the target, or give the column a lookup in the plan",
            relation=self._relation,
        )


def _converter(rule: ColumnRule) -> Convert | None:
    if rule.lookup is not None:
        return partial(look_up, table=rule.lookup)
    if rule.scale is not None:
        return partial(shift_up, digits=rule.digits)
    if rule.unscale is not None:
        return partial(shift_down, digits=rule.digits)
    return None


def other_columns(shape: SourceShape, relation: Relation) -> SchemaChanged:
    """S1–S4: the event's table must have the columns that the mapping was made for."""
    said = shape.other_columns(relation)
    return SchemaChanged(
        thing=f"table {shape.table}",
        reason="; ".join(f"columns {what}: {', '.join(names)}" for what, names in said.items() if names),
        mend="adapt the mapping in the plan file and the target table, then restart the stream",
        relation=relation,
    )


def _present(row: Row | None) -> Row:
    assert row is not None, "an insert or update carries its new image, a delete its old one"
    return row


def _refuse_key(table: TableName, column: str) -> NoReturn:
    raise SchemaChanged(
        thing=f"key column {table}.{column}",
        reason="is not in the old row image that the server sends",
        mend=f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT (the primary key), then restart the stream",
    )
