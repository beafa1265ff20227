"""Row images → target changes, with column positions worked out once per relation. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from cdc.errors import SchemaChanged
from cdc.events import UNCHANGED, Relation, Row, RowChange, TableName, TargetChange
from cdc.mapping.convert import Convert, look_up, shift_down, shift_up
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.model import ColumnRule
from cdc.mapping.parts import PartChange, Step

_Values = dict[str, str | None]
_NameRow = Callable[[Row], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetShape:
    """One target of a source table: its effective rules and its primary key."""

    table: TableName
    rules: tuple[ColumnRule, ...]
    key: tuple[str, ...]
    partial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceShape:
    """A source table as it was when the mapping was compiled. `columns`: name → type oid (0 when not known)."""

    table: TableName
    columns: Mapping[str, int]
    ignored: frozenset[str]
    primary_key: tuple[str, ...]
    targets: tuple[TargetShape, ...]


class RowPlan:
    """How rows of one relation become changes of each target."""

    def __init__(self, shape: SourceShape, relation: Relation) -> None:
        _refuse_other_columns(shape, relation)
        position = {column.name: index for index, column in enumerate(relation.columns)}
        self._table = shape.table
        self._key_names = shape.primary_key
        self._key_positions = tuple(position[name] for name in shape.primary_key)
        self._targets = tuple(_TargetPlan(shape.table, target, position, self._named) for target in shape.targets)

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


class _TargetPlan:
    """One target table: which position feeds which column, and what is done to it on the way."""

    def __init__(self, source: TableName, shape: TargetShape, position: Mapping[str, int], name_row: _NameRow) -> None:
        self._source = source
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
        key, values = self._key_of(new), self._values(new)
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

    def _part(self, before: _Values | None, after: _Values | None, values: _Values) -> PartChange:
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

    def _key_of(self, row: Row) -> _Values:
        key: _Values = {}
        for name, constant, position in self._key:
            value = constant if constant is not None else row[position]
            if not isinstance(value, str):
                _refuse_key(self._source, name)
            key[name] = value
        return key

    def _values(self, row: Row) -> _Values:
        values: _Values = {}
        for name, position in self._feeds:
            value = row[position]
            if value is not UNCHANGED:
                values[name] = value
        values.update(self._constants)
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


def _converter(rule: ColumnRule) -> Convert | None:
    if rule.lookup is not None:
        return partial(look_up, table=rule.lookup)
    if rule.scale is not None:
        return partial(shift_up, digits=rule.digits)
    if rule.unscale is not None:
        return partial(shift_down, digits=rule.digits)
    return None


def _refuse_other_columns(shape: SourceShape, relation: Relation) -> None:
    """S1–S4: the event's table must have the columns that the mapping was made for."""
    now = {column.name: column.type_oid for column in relation.columns}
    missing = [name for name in shape.columns if name not in now and name not in shape.ignored]
    new = [name for name in now if name not in shape.columns and name not in shape.ignored]
    retyped = [
        name
        for name, oid in now.items()
        if oid and name not in shape.ignored and shape.columns.get(name) not in (None, 0, oid)
    ]
    if missing or new or retyped:
        said = {"lost or renamed": missing, "new": new, "of another type": retyped}
        raise SchemaChanged(
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
