"""What changed between two forms of a source table. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cdc.mapping.types import is_number, is_text, misfit
from cdc.schema_changes.forms import CatalogTable, FormColumn, TableForm
from cdc.schema_changes.policy import Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change. `before`/`after`: the column then and now, None where there was or is none."""

    kind: Kind
    before: FormColumn | None = None
    after: FormColumn | None = None
    detail: str = ""

    @property
    def line(self) -> str:
        """`column: was → is`, for people."""
        name = (self.before or self.after or _TABLE).name
        was = "–" if self.before is None else _described(self.before)
        now = "–" if self.after is None else _described(self.after)
        if self.kind in _SAID:
            return f"{name}: {self.detail}"
        return f"{name}: {was} → {now}" + (f" ({self.detail})" if self.detail else "")


_TABLE = FormColumn(attnum=0, name="table", type="")
_SAID = {Kind.LABEL_ADDED, Kind.LABEL_LOST, Kind.KEY, Kind.REPLACED, Kind.NULL_ALLOWED, Kind.NULL_REFUSED}


def difference(before: TableForm, after: TableForm, catalog: CatalogTable) -> list[Change]:
    """Every change from one form to the next, in the order of the columns. `catalog`: what is known about `after`."""
    return [
        *_replaced(before, after),
        *(change for column in after.columns for change in _column(before, column, after, catalog)),
        *(Change(kind=Kind.DROPPED, before=column) for column in before.columns if after.column(column.attnum) is None),
        *_key(before, after),
    ]


def _replaced(before: TableForm, after: TableForm) -> Iterator[Change]:
    if before.oid and after.oid and before.oid != after.oid:
        yield Change(
            kind=Kind.REPLACED, detail=f"was dropped and made anew, or renamed (object {before.oid} → {after.oid})"
        )


def _column(before: TableForm, column: FormColumn, after: TableForm, catalog: CatalogTable) -> Iterator[Change]:
    old = before.column(column.attnum)
    if old is None:
        yield _added(before, column, after, catalog)
        return
    if old.name != column.name:
        yield Change(kind=Kind.RENAMED, before=old, after=column)
    if (old.type_oid, old.type_modifier) != (column.type_oid, column.type_modifier):
        yield Change(kind=type_change(old.type, column.type), before=old, after=column)
    if lost := [label for label in old.labels if label not in column.labels]:
        if old.type_oid == column.type_oid:
            yield Change(kind=Kind.LABEL_LOST, before=old, after=column, detail=f"lost the label {_list(lost)}")
    elif old.labels and (new := [label for label in column.labels if label not in old.labels]):
        yield Change(kind=Kind.LABEL_ADDED, before=old, after=column, detail=f"has the new label {_list(new)}")
    if old.nullable != column.nullable:
        kind = Kind.NULL_ALLOWED if column.nullable else Kind.NULL_REFUSED
        detail = "NOT NULL → may be NULL" if column.nullable else "may be NULL → NOT NULL"
        yield Change(kind=kind, before=old, after=column, detail=detail)


def _added(before: TableForm, column: FormColumn, after: TableForm, catalog: CatalogTable) -> Change:
    folded = Counter(each.name.lower() for each in after.columns)
    if folded[column.name.lower()] > 1:
        return Change(kind=Kind.ADDED_CASE, after=column, detail="differs from another column by case only")
    known = catalog.column(column.attnum)
    if known is None:
        return Change(kind=Kind.ADDED_NULLABLE, after=column, detail="dropped again since")
    if known.has_missing:
        if not known.readable_missing:
            return Change(kind=Kind.ADDED_COMPUTED, after=column, detail="its default cannot be read from the catalog")
        return Change(kind=Kind.ADDED_CONSTANT, after=column, detail=f"existing rows have {column.missing!r}")
    if rewritten(before, catalog.form):
        return Change(kind=Kind.ADDED_COMPUTED, after=column, detail="the table was rewritten meanwhile")
    return Change(kind=Kind.ADDED_NULLABLE, after=column)


def rewritten(before: TableForm, now: TableForm) -> bool:
    """The rows that were there have been written anew; what is new in them is not in the log."""
    return any(now.storage.get(part, number) != number for part, number in before.storage.items())


def type_change(old: str, new: str) -> Kind:
    """What a change of type does to values: `format_type` texts."""
    both_texts, both_numbers = is_text(old) and is_text(new), is_number(old) and is_number(new)
    padded = "character(" in (old + new).replace("character varying(", "")
    if misfit(old, new) is None:
        return Kind.RETYPED if padded or (both_texts and "character" in (old, new)) else Kind.WIDENED
    if both_numbers or (both_texts and not padded):
        return Kind.NARROWED
    return Kind.NARROWED if misfit(new, old) is None else Kind.RETYPED


def _key(before: TableForm, after: TableForm) -> Iterator[Change]:
    def numbers(form: TableForm) -> list[int]:
        return [column.attnum for name in form.key if (column := form.named(name))]

    if numbers(before) != numbers(after):
        yield Change(kind=Kind.KEY, detail=f"primary key ({', '.join(before.key)}) → ({', '.join(after.key)})")


def _described(column: FormColumn) -> str:
    return f"{column.name} {column.type}" + ("" if column.nullable else " NOT NULL")


def _list(labels: list[str]) -> str:
    return ", ".join(map(repr, labels))
