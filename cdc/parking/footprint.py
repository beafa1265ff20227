"""What an event touches, as tokens: it waits when it asks for a token that a parked event left. Pure.

Later events of a row wait behind it, so do its foreign-key children, a delete of a parent that a parked row points to,
whoever takes a unique value that a parked row takes, and a truncate. Where equality cannot be told from texts the whole
table waits: waiting too long does no harm, passing does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cdc.errors import SchemaChanged
from cdc.events import UNCHANGED, Relation, Row, RowChange, TableName, TargetChange, Truncate
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.port import Mapper
from cdc.parking.model import Reference, TableRules
from strangler.errors import StranglerError

Token = tuple[object, ...]
Rules = Callable[[TableName], TableRules]
Present = Callable[[TableName, Mapping[str, str | None], Sequence[str]], Mapping[str, str | None] | None]
"""(table, key, columns) → those columns of the target's row as it is, None when there is none."""

_MOST_RELATIONS_KNOWN = 256
_ROW, _ANY, _ALL = "row", "any row", "every row"
_REFERRED, _ANY_REFERRED, _ALL_REFERRED = "referred row", "any referred row", "every referred row"
_UNIQUE = "unique value"
_SOURCE_ROW, _ANY_SOURCE, _ALL_SOURCE = "source row", "any source row", "every source row"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Source events that stand or fall together, and what they mean for the target.

    `order`: (commit_lsn, index of the first event). `error`: why there are no `changes`. `lenient`: see `NewParked`.
    No `events`: the stream's own row, which is never parked.
    """

    order: tuple[int, int]
    events: tuple[RowChange | Truncate, ...]
    changes: Sequence[TargetChange] = ()
    error: StranglerError | None = None
    lenient: bool = False


class Footprints:
    """Tokens of units, by the rules of the target's tables and the keys of the source's."""

    def __init__(self, *, source_keys: Mapping[TableName, tuple[str, ...]], rules: Rules, present: Present) -> None:
        self._source_keys, self._rules, self._present = source_keys, rules, present
        self._described: dict[int, tuple[Relation, TableName, tuple[int, ...] | None]] = {}

    def source_asks(self, unit: Unit) -> Iterator[Token]:
        """The unit waits when any of these, or of `asks`, was left by an earlier one that is parked."""
        for event in unit.events:
            if isinstance(event, Truncate):
                for relation in event.relations:
                    yield _ANY_SOURCE, relation.table
            else:
                yield _ALL_SOURCE, self._describe(event.relation)[1]
                yield from self._source_rows(event)

    def asks(self, unit: Unit) -> Iterator[Token]:
        """By the target rows that it touches or depends on."""
        for change in unit.changes:
            yield from self._change_asks(change)

    def leaves(self, unit: Unit, *, whole_table: bool = False, shadow: Sequence[TargetChange] = ()) -> Iterator[Token]:
        """What it leaves while it is parked. `shadow`: the target rows of one that could not be mapped, as deletes."""
        for event in unit.events:
            if isinstance(event, Truncate):
                for relation in event.relations:
                    yield _ALL_SOURCE, relation.table
                    yield _ANY_SOURCE, relation.table
            else:
                yield _ANY_SOURCE, event.relation.table
                if whole_table:
                    yield _ALL_SOURCE, event.relation.table
                yield from self._source_rows(event)
        for change in unit.changes or shadow:
            yield from self._change_leaves(change, blind=not unit.changes)

    def near(self, unit: Unit, tables: Mapping[TableName, int]) -> bool:
        """Cheap: whether a parked row is in a table that the unit's target rows have to do with."""
        for change in unit.changes:
            if change.table in tables or any(each.parent in tables for each in self._rules(change.table).references):
                return True
        return False

    def _source_rows(self, event: RowChange) -> Iterator[Token]:
        _, table, positions = self._describe(event.relation)
        if positions is None:
            return
        if not positions:
            yield from _whole_rows(event)
            return
        for image in (event.old, event.new):
            if image is not None:
                key = [image[position] for position in positions]
                if None not in key and UNCHANGED not in key:
                    yield _SOURCE_ROW, table, *key

    def _describe(self, relation: Relation) -> tuple[Relation, TableName, tuple[int, ...] | None]:
        """(relation, its table, where its key is; None when the relation lacks a part of it)."""
        found = self._described.get(id(relation))
        if found is None or found[0] is not relation:
            if len(self._described) >= _MOST_RELATIONS_KNOWN:
                self._described.clear()
            table, names = relation.table, [column.name for column in relation.columns]
            key = self._source_keys.get(table, ())
            positions = tuple(names.index(name) for name in key) if set(key) <= set(names) else None
            found = self._described[id(relation)] = (relation, table, positions)
        return found

    def _change_asks(self, change: TargetChange) -> Iterator[Token]:
        table, rules = change.table, self._rules(change.table)
        if change.kind == "truncate":
            yield _ANY, table
            yield _ANY_REFERRED, table
            return
        yield _ALL, table
        if not rules.exact:
            yield _ANY, table
        yield from _rows(change)
        if (gone := _gone(change)) is not None:
            yield _REFERRED, table, gone
            yield _ALL_REFERRED, table
        if change.kind in ("delete", "remove"):
            return
        known = {**change.values, **change.key}
        for reference in rules.references:
            if (parent := _parent(reference, known)) is not None:
                yield _ALL, reference.parent
                yield (_ROW, reference.parent, parent) if reference.exact else (_ANY, reference.parent)
        for columns in rules.uniques:
            if not all(name in known for name in columns):
                yield _ANY, table
            elif None not in (value := tuple(known[name] for name in columns)):
                yield _UNIQUE, table, columns, value

    def _change_leaves(self, change: TargetChange, *, blind: bool) -> Iterator[Token]:
        table, rules = change.table, self._rules(change.table)
        yield _ANY, table
        if change.kind == "truncate":
            yield _ALL, table
        yield from _rows(change)
        known = {**change.values, **change.key}
        for reference in rules.references:
            yield _ANY_REFERRED, reference.parent
            if blind or change.kind == "truncate" or not reference.exact:
                yield _ALL_REFERRED, reference.parent
                continue
            now = self._as_it_is(change, reference.columns)
            for values in (known, now or {}):
                if (parent := _parent(reference, values)) is not None:
                    yield _REFERRED, reference.parent, parent
        if change.kind in ("delete", "truncate", "remove") and not blind:
            return
        for columns in rules.uniques:
            if blind or not all(name in known for name in columns):
                yield _ALL, table
            elif None not in (value := tuple(known[name] for name in columns)):
                yield _UNIQUE, table, columns, value

    def _as_it_is(self, change: TargetChange, columns: Sequence[str]) -> Mapping[str, str | None] | None:
        """The row that the change is about, as far as it is there. One without a key tells itself what it was."""
        if change.kind in ("insert", "replace", "remove"):
            return change.old_key or change.key
        return self._present(change.table, change.old_key or change.key, columns)


def tables_of(tokens: Sequence[Token]) -> Iterator[TableName]:
    """The target tables that the tokens are about, for `Footprints.near`."""
    for token in tokens:
        if token[0] not in (_SOURCE_ROW, _ANY_SOURCE, _ALL_SOURCE) and isinstance(token[1], TableName):
            yield token[1]


def shadow_of(unit: Unit, mapper: Mapper) -> list[TargetChange]:
    """The target rows that a unit would touch, as deletes: keys can be mapped where other values cannot."""
    shadow: list[TargetChange] = []
    for event in unit.events:
        try:
            shadow += shadow_of_event(event, mapper)
        except (SchemaChanged, RowUnmappable):
            continue
    return shadow


def whole_tables_of(unit: Unit, mapper: Mapper) -> list[TargetChange]:
    """The target tables that a unit could touch, where nothing says which rows: as if they were emptied."""
    relations = [
        relation
        for event in unit.events
        for relation in ([event.relation] if isinstance(event, RowChange) else event.relations)
    ]
    try:
        return list(mapper.map(Truncate(relations=tuple(relations))))
    except (SchemaChanged, RowUnmappable):
        return []


def shadow_of_event(event: RowChange | Truncate, mapper: Mapper) -> list[TargetChange]:
    """`shadow_of` for one event. Raises what the mapper raises."""
    if isinstance(event, Truncate):
        return list(mapper.map(event))
    return [
        change
        for image in (event.old, event.new)
        if image is not None
        for change in mapper.map(_deletion(event, image))
    ]


def _deletion(event: RowChange, image: Row) -> RowChange:
    return replace(event, op="d", new=None, old=image, old_is_key=True)


def _whole_rows(event: RowChange) -> Iterator[Token]:
    """Rows of a table without a key are told apart by all that is in them."""
    old, new = event.old, event.new
    if old is not None:
        yield _SOURCE_ROW, event.relation.table, *old
    if new is not None:
        whole = new if old is None else tuple(b if a is UNCHANGED else a for a, b in zip(new, old, strict=True))
        yield _SOURCE_ROW, event.relation.table, *whole


def _rows(change: TargetChange) -> Iterator[Token]:
    if change.kind != "truncate":
        yield _ROW, change.table, _key(change.key)
        if change.old_key is not None:
            yield _ROW, change.table, _key(change.old_key)


def _gone(change: TargetChange) -> frozenset[tuple[str, str | None]] | None:
    """The key that no row has afterwards."""
    if change.kind in ("delete", "remove"):
        return _key(change.key)
    return _key(change.old_key) if change.old_key is not None else None


def _key(key: Mapping[str, str | None]) -> frozenset[tuple[str, str | None]]:
    return frozenset(key.items())


def _parent(reference: Reference, known: Mapping[str, str | None]) -> frozenset[tuple[str, str | None]] | None:
    """The key of the row that is referred to; None when there is none or it is not known."""
    values = [known.get(name) for name in reference.columns]
    if None in values:
        return None
    return frozenset(zip(reference.parent_columns, values, strict=True))
