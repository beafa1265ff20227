"""Target changes in commit order → few statements with the same effect. Pure.

Tables are independent of each other here: apply sessions fire no trigger and check no foreign key, so the order
between tables inside one target transaction cannot be observed. Within a table the order that matters is kept:
always per key, and across keys too where a unique constraint besides the key could tell.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cdc.events import TableName, TargetChange
from cdc.keyless_batch import KeylessBuffer, other_identity
from cdc.row_groups import Batching, RowGroup

__all__ = ["Batching", "RowGroup", "plan", "plan_one_by_one"]

Key = tuple[str | None, ...]

MAX_ROWS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    kind: Literal["upsert", "update", "delete", "truncate"]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    must_match: bool


@dataclass(slots=True)
class _Open:
    shape: _Shape
    sealed: bool = False
    rows: dict[Key, list[str | None]] = field(default_factory=dict)


def plan(changes: Iterable[TargetChange], batching: Callable[[TableName], Batching]) -> list[RowGroup]:
    """The groups to execute, in order."""
    buffers: dict[TableName, _TableBuffer | KeylessBuffer] = {}
    for change in changes:
        buffer = buffers.get(change.table)
        if buffer is None:
            buffer = buffers[change.table] = _buffer(batching(change.table))
        buffer.add(change)
    return [group for table, buffer in buffers.items() for group in buffer.groups(table)]


def plan_one_by_one(change: TargetChange) -> list[RowGroup]:
    """The groups of a single change: to find which one the target refuses."""
    return plan([change], lambda _: "one")


def _buffer(batching: Batching) -> "_TableBuffer | KeylessBuffer":
    if batching == "whole_rows" or batching == "whole_rows_in_order":
        return KeylessBuffer(in_order=batching == "whole_rows_in_order")
    return _TableBuffer(batching)


class _TableBuffer:
    """One table's groups so far. This is the stream's hot path: a shape is one object per buffer, compared by `is`."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._open: list[_Open] = []
        self._shapes: dict[tuple[object, ...], _Shape] = {}
        self._last_group_of: dict[Key, int] = {}
        self._newest_of_shape: dict[_Shape, int] = {}

    def groups(self, table: TableName) -> Iterable[RowGroup]:
        for group in self._open:
            shape = group.shape
            yield RowGroup(
                kind=shape.kind,
                table=table,
                key=shape.key,
                columns=shape.columns,
                rows=list(group.rows.values()),
                must_match=shape.must_match,
            )

    def add(self, change: TargetChange) -> None:
        kind = change.kind
        key = (*change.key.values(),)
        if kind == "upsert":
            values = change.values
            if not change.key.keys() <= values.keys():
                values = {**change.key, **values}
            self._place(key, self._shape(change, (*values,)), [*values.values()])
        elif kind == "update":
            self._add_update(key, change)
        elif kind == "delete":
            self._place(key, self._shape(change, ()), [*key])
        elif kind == "truncate":
            self._seal(_Shape("truncate", (), (), False), {})
        else:
            raise other_identity(change, "has a primary key by now, which it had not when the stream began")

    def _add_update(self, key: Key, change: TargetChange) -> None:
        if change.old_key is not None and (old := (*change.old_key.values(),)) != key:
            values = {**change.values, **change.key}
            shape = _Shape("update", (*change.old_key,), (*values,), change.missing == "error")
            self._seal(shape, {old: [*old, *values.values()]})
            return
        values = {name: value for name, value in change.values.items() if name not in change.key}
        if values:
            self._place(key, self._shape(change, (*values,)), [*key, *values.values()])

    def _shape(self, change: TargetChange, columns: tuple[str, ...]) -> _Shape:
        must_match = change.missing == "error" and change.kind != "upsert"
        said = (change.kind, must_match, columns)
        shape = self._shapes.get(said)
        if shape is None:
            assert change.kind in ("upsert", "update", "delete")
            shape = self._shapes[said] = _Shape(change.kind, (*change.key,), columns, must_match)
        return shape

    def _place(self, key: Key, shape: _Shape, row: list[str | None]) -> None:
        last, newest = self._last_group_of.get(key, -1), len(self._open) - 1
        may_merge = last >= 0 and (self._batching == "any" or (self._batching == "in_order" and last == newest))
        if may_merge and _merge(self._open[last], shape, key, row):
            return
        candidate = self._newest_of_shape.get(shape, -1) if self._batching == "any" else newest
        if candidate <= last or not self._fits(self._open[candidate], shape, key):
            self._open.append(_Open(shape))
            candidate = self._newest_of_shape[shape] = len(self._open) - 1
        self._open[candidate].rows[key] = row
        self._last_group_of[key] = candidate

    def _fits(self, group: _Open, shape: _Shape, key: Key) -> bool:
        rows = group.rows
        return (
            group.shape is shape
            and self._batching != "one"
            and not group.sealed
            and key not in rows
            and len(rows) < MAX_ROWS
        )

    def _seal(self, shape: _Shape, rows: Mapping[Key, list[str | None]]) -> None:
        """A group of its own, behind everything before it and before everything after it."""
        self._open.append(_Open(shape, sealed=True, rows=dict(rows)))
        self._last_group_of.clear()
        self._newest_of_shape.clear()


def _merge(group: _Open, shape: _Shape, key: Key, row: list[str | None]) -> bool:
    """Fold a later change of a key into the row that an earlier one left in `group`, if that says the same."""
    before = group.shape
    if group.sealed or shape.key != before.key:
        return False
    if shape is before and shape.kind != "delete":
        group.rows[key] = row
        return True
    if shape.kind != "update" or before.kind not in ("upsert", "update"):
        return False
    if before.kind == "update" and before.must_match != shape.must_match:
        return False
    if not set(shape.columns) <= set(before.columns):
        return False
    target, width = group.rows[key], len(shape.key)
    offset = width if before.kind == "update" else 0
    for name, value in zip(shape.columns, row[width:], strict=True):
        target[offset + before.columns.index(name)] = value
    return True
