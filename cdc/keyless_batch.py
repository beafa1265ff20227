"""Changes of tables without a primary key, in commit order → few groups of rows with the same effect. Pure.

A batch is worked out as what becomes of rows: one that it inserts and then changes is inserted changed, one that it
changes twice is changed once. What is left needs rows that were there before the batch, each of them once, so that
equal rows can be counted and all rows of a group be found in one pass over the table.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cdc.errors import SchemaChanged
from cdc.events import TableName, TargetChange
from cdc.row_groups import RowGroup

Row = tuple[str | None, ...]
Item = TypeVar("Item")

MOST_ROWS = 2000
"""Rows of one group."""


@dataclass(slots=True)
class _Way:
    """What the batch does to one row. None: the row is not there before, or not any more."""

    before: Row | None
    after: Row | None


class KeylessBuffer:
    """One table's changes so far. `in_order`: a unique constraint could tell in which order they are made."""

    def __init__(self, *, in_order: bool) -> None:
        self._in_order = in_order
        self._segments: list[_Segment | None] = []

    def add(self, change: TargetChange) -> None:
        if change.kind == "truncate":
            self._segments.append(None)
            return
        if change.kind not in ("insert", "replace", "remove"):
            raise other_identity(change, "has lost the primary key that it had when the stream began")
        segment = self._segments[-1] if self._segments else None
        if segment is None or not segment.takes(change.key) or (self._in_order and not segment.continues(change)):
            segment = _Segment(columns=(*change.key,))
            self._segments.append(segment)
        segment.add(change)

    def groups(self, table: TableName) -> Iterator[RowGroup]:
        """The groups to execute, in order."""
        for segment in self._segments:
            if segment is None:
                yield RowGroup(kind="truncate", table=table, key=(), columns=(), rows=())
            else:
                yield from segment.groups(table)


def other_identity(change: TargetChange, reason: str) -> SchemaChanged:
    """The mapping was made for a table whose rows were told apart in another way."""
    return SchemaChanged(
        thing=f"target table {change.table}",
        reason=reason,
        mend="undo that, or do the same in the source and restart the stream",
    )


@dataclass(slots=True)
class _Segment:
    """Changes of rows that have the same columns."""

    columns: tuple[str, ...]
    kind: str = ""
    ways: list[_Way] = field(default_factory=list)
    made: dict[Row, list[_Way]] = field(default_factory=dict)
    """The rows that are there because of this batch, by what they are now."""

    def takes(self, key: Mapping[str, str | None]) -> bool:
        return (*key,) == self.columns or key.keys() == set(self.columns)

    def continues(self, change: TargetChange) -> bool:
        """The change may share a statement with what is here, whatever constraints there are."""
        return change.kind == self.kind and change.kind != "replace"

    def add(self, change: TargetChange) -> None:
        self.kind = change.kind
        way = self._way(None) if change.kind == "insert" else self._taken(self._row(change.old_key or change.key))
        way.after = None
        if change.kind != "remove":
            way.after = self._row(change.key)
            self.made.setdefault(way.after, []).append(way)

    def _taken(self, row: Row) -> _Way:
        made = self.made.get(row)
        return made.pop() if made else self._way(row)

    def _way(self, before: Row | None) -> _Way:
        way = _Way(before, None)
        self.ways.append(way)
        return way

    def _row(self, key: Mapping[str, str | None]) -> Row:
        return (*key.values(),) if (*key,) == self.columns else tuple([key[name] for name in self.columns])

    def groups(self, table: TableName) -> Iterator[RowGroup]:
        gone = Counter(way.before for way in self.ways if way.before is not None and way.after is None)
        for part in _parts([(*row, "1", str(count)) for row, count in gone.items()]):
            yield RowGroup(kind="remove", table=table, key=self.columns, columns=(), rows=part, must_match=True)
        for names, rows in self._replaced():
            yield RowGroup(kind="replace", table=table, key=self.columns, columns=names, rows=rows, must_match=True)
        new = [way.after for way in self.ways if way.before is None and way.after is not None]
        for arrived in _parts(new):
            yield RowGroup(kind="insert", table=table, key=(), columns=self.columns, rows=arrived)

    def _replaced(self) -> Iterator[tuple[tuple[str, ...], Sequence[Sequence[str | None]]]]:
        """By the columns that change: their names, and rows as `RowGroup` has them."""
        by_columns: dict[tuple[int, ...], Counter[tuple[Row, Row]]] = {}
        for way in self.ways:
            before, after = way.before, way.after
            if before is None or after is None or before == after:
                continue
            changed = tuple([at for at, value in enumerate(after) if value != before[at]])
            by_columns.setdefault(changed, Counter())[before, after] += 1
        for changed, counts in by_columns.items():
            for part in _parts([*counts.items()]):
                used: Counter[Row] = Counter()
                rows = []
                for (before, after), count in part:
                    first = used[before] + 1
                    used[before] += count
                    rows.append((*before, *(after[at] for at in changed), str(first), str(used[before])))
                yield tuple(self.columns[at] for at in changed), rows


def _parts(rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS))
