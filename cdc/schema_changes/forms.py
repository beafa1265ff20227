"""A source table's form at one point of its log, and which form an event has. Pure.

Columns are told apart by their catalog number (attnum), which a rename keeps and nothing reuses: the stream's own
description of a table has names only, and would show a rename as a drop and an addition (S3).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType

from cdc.events import Column as EventColumn
from cdc.events import Relation, TableName


def _no_storage() -> Mapping[int, int]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class FormColumn:
    """One column of a form. `type`: `format_type` text. `plan_name`: the name under which the plan knows it.

    `missing`: the value (text form) that rows have which are older than the column. `mapped`: False when the policy
    leaves the column behind. `labels`: of an enum, in its order.
    """

    attnum: int
    name: str
    type: str
    type_oid: int = 0
    type_modifier: int = -1
    nullable: bool = True
    plan_name: str = ""
    missing: str | None = None
    mapped: bool = True
    labels: tuple[str, ...] = ()

    @property
    def known_as(self) -> str:
        return self.plan_name or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class TableForm:
    """`columns` by attnum, without generated ones. `key`: primary-key columns in index order.

    `storage`: file number of the table, or of each of its partitions, by their object id; it changes when rows are
    rewritten.
    """

    table: TableName
    oid: int
    columns: tuple[FormColumn, ...]
    key: tuple[str, ...] = ()
    storage: Mapping[int, int] = field(default_factory=_no_storage)

    def column(self, attnum: int) -> FormColumn | None:
        return next((column for column in self.columns if column.attnum == attnum), None)

    def named(self, name: str) -> FormColumn | None:
        return next((column for column in self.columns if column.name == name), None)

    def same_shape(self, other: "TableForm") -> bool:
        """The same columns under the same names and types, whatever else is known about them."""
        return _shape(self) == _shape(other)


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogColumn:
    """What the catalog says beyond the form. `default`: its expression. `constant_default`: nothing has to be computed.

    `has_missing`: rows older than the column have `column.missing` (None: that value cannot be read as text).
    """

    column: FormColumn
    default: str | None = None
    constant_default: bool = False
    has_missing: bool = False
    readable_missing: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogTable:
    """A source table as its catalog has it now. `gone`: attnums of dropped columns."""

    form: TableForm
    columns: tuple[CatalogColumn, ...]
    gone: frozenset[int] = frozenset()
    replica_identity: str = "d"

    def column(self, attnum: int) -> CatalogColumn | None:
        return next((each for each in self.columns if each.column.attnum == attnum), None)


def identify(relation: Relation, known: Sequence[TableForm], catalog: CatalogTable) -> TableForm | None:
    """The form that events of `relation` have: a known one, the catalog's, or one in between. None: cannot be told.

    A relation that a copy made carries no type modifiers; it takes those of the form that it matches.
    """
    for form in (*reversed(known), catalog.form):
        if fits(relation, form):
            return form
    return _between(relation, known, catalog)


def fits(relation: Relation, form: TableForm) -> bool:
    """The relation's columns are exactly the form's."""
    return len(relation.columns) == len(form.columns) and all(
        _agrees(seen, column, modifiers=relation.oid != 0)
        for seen, column in zip(relation.columns, form.columns, strict=True)
    )


def _agrees(seen: EventColumn, column: FormColumn, *, modifiers: bool) -> bool:
    if seen.name != column.name or (seen.type_oid and column.type_oid and seen.type_oid != column.type_oid):
        return False
    return not modifiers or seen.type_modifier == column.type_modifier


def _between(relation: Relation, known: Sequence[TableForm], catalog: CatalogTable) -> TableForm | None:
    """Align the relation's columns, which come by attnum, with all attnums that the table ever had."""
    candidates = _candidates(known, catalog)
    numbers = _aligned([column.name for column in relation.columns], candidates)
    if numbers is None:
        return None
    columns = tuple(
        _seen_column(seen, number, candidates[number]) for seen, number in zip(relation.columns, numbers, strict=True)
    )
    last = known[-1] if known else catalog.form
    return TableForm(
        table=relation.table,
        oid=relation.oid or last.oid,
        columns=columns,
        key=_key(last, columns),
        storage=last.storage,
    )


def _candidates(known: Sequence[TableForm], catalog: CatalogTable) -> dict[int, tuple[FormColumn, ...]]:
    """Attnum → what that column was at one time or another, newest first; columns that were never met have only
    their number."""
    found: dict[int, tuple[FormColumn, ...]] = dict.fromkeys(catalog.gone, ())
    for form in (catalog.form, *reversed(known)):
        for column in form.columns:
            found[column.attnum] = (*found.get(column.attnum, ()), column)
    return dict(sorted(found.items()))


def _aligned(names: Sequence[str], candidates: Mapping[int, tuple[FormColumn, ...]]) -> list[int] | None:
    """One attnum per name, ascending, or None unless there is exactly one way to do it."""
    by_name: dict[str, set[int]] = defaultdict(set)
    for number, columns in candidates.items():
        for column in columns:
            by_name[column.name].add(number)
    fixed = [next(iter(by_name[name])) if len(by_name[name]) == 1 else None for name in names]
    certain = [number for number in fixed if number is not None]
    if any(one >= other for one, other in pairwise(certain)):
        return None
    numbers: list[int] = []
    for low, wanted, high in _gaps(fixed):
        free = [number for number in candidates if low < number < high]
        if len(free) != wanted:
            return None
        numbers += [*free, high] if high != _END else free
    return numbers


_END = 1 << 16


def _gaps(fixed: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
    """(attnum before, unknown columns in between, attnum after) along the row. Without unknown columns a gap takes
    none of the numbers in it: those columns were dropped, or are not there yet."""
    low, wanted = 0, 0
    for number in [*fixed, _END]:
        if number is None:
            wanted += 1
            continue
        yield (low, wanted, number) if wanted else (number - 1, 0, number)
        low, wanted = number, 0


def _seen_column(seen: EventColumn, number: int, was: Sequence[FormColumn]) -> FormColumn:
    base = was[0] if was else FormColumn(attnum=number, name=seen.name, type="")
    types = {(column.type_oid, column.type_modifier): column.type for column in reversed(was)}
    return replace(
        base,
        name=seen.name,
        type_oid=seen.type_oid,
        type_modifier=seen.type_modifier,
        type=types.get((seen.type_oid, seen.type_modifier), ""),
    )


def _key(last: TableForm, columns: Sequence[FormColumn]) -> tuple[str, ...]:
    numbers = [column.attnum for name in last.key if (column := last.named(name))]
    names = {column.attnum: column.name for column in columns}
    return tuple(names[number] for number in numbers if number in names)


def _shape(form: TableForm) -> list[tuple[int, str, int, int]]:
    return [(column.attnum, column.name, column.type_oid, column.type_modifier) for column in form.columns]
