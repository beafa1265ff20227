"""A table without a key is copied in one piece: all rows of a snapshot, then what the snapshot does not contain. Pure.

No key says where a copy stands, nor which row a change is about. But a snapshot says exactly which transactions are in
it. Between the mark before the snapshot and the one after the read, the table's changes are held back; at the second
mark one target transaction takes the rows, then those changes that the snapshot does not contain, in their order, and
says that the copy is done. Whatever ends before that has written nothing, and the next copy begins anew.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from cdc.copied_rows import CopiedRows, CopiedRun
from cdc.events import Change, Iterated, Relation, Row, RowChange, TableName, Truncate
from cdc.insert_run import ChangesInRuns, Run
from cdc.snapshot_window import Chunk, SourceSnapshot

Held = tuple[int, RowChange | Truncate]
"""(transaction, its change)"""


class HeldBack(Protocol):
    """Changes in order of arrival; as many as there are. One thread uses it, and keeps no iterator over an `append`."""

    def append(self, held: Held) -> int:
        """Its place, counted from 0."""
        ...

    def __iter__(self) -> Iterator[Held]: ...


class WholeRows(Iterated[Row]):
    """All rows of a table, as many as there are, to be gone through again and again."""

    @abstractmethod
    def parts(self) -> Iterator[CopiedRows]:
        """In pieces that fit into memory."""


@dataclass(slots=True)
class WholeTableWindow:
    """The time between the marks around the copy of a table without a key, as the stream sees it."""

    table: TableName
    seen_before: tuple[int, ...]
    """Transactions that went by before the low mark."""
    held: HeldBack
    places: list[range] = field(default_factory=list)
    """Which of `held` count: what a batch that was undone brought comes once more."""
    forms: frozenset[tuple[str, ...]] = frozenset()
    """The columns of the rows that went by."""

    def observe(self, xid: int, change: RowChange | Truncate) -> None:
        """A change of this table between the marks."""
        if isinstance(change, Truncate):
            relations = tuple(relation for relation in change.relations if relation.table == self.table)
            change = replace(change, relations=relations)
        else:
            self.forms |= {_columns(change.relation)}
        place = self.held.append((xid, change))
        if self.places and self.places[-1].stop == place:
            self.places[-1] = range(self.places[-1].start, place + 1)
        else:
            self.places.append(range(place, place + 1))

    def clone(self) -> "WholeTableWindow":
        return WholeTableWindow(self.table, self.seen_before, self.held, [*self.places], self.forms)

    def close(self, chunk: Chunk) -> "WholeTable | None":
        """What to write at the high mark; None when the table must be read again: something before the low mark is not
        in the snapshot (see `cdc.snapshot_window`), or its columns changed meanwhile."""
        rows, snapshot = chunk.rows, chunk.snapshot
        assert isinstance(rows, WholeRows)
        assert snapshot is not None
        if not all(snapshot.sees(xid) for xid in self.seen_before):
            return None
        if self.forms - {_columns(chunk.relation)}:
            return None
        return WholeTable(chunk.relation, rows, lambda: self._unseen(snapshot))

    def _unseen(self, snapshot: SourceSnapshot) -> Iterator[RowChange | Truncate]:
        counts = iter(self.places)
        counted = next(counts, None)
        for place, (xid, change) in enumerate(self.held):
            while counted is not None and place >= counted.stop:
                counted = next(counts, None)
            if counted is None:
                return
            if place in counted and not snapshot.sees(xid):
                yield change


class WholeTable(ChangesInRuns):
    """The rows of the snapshot, then the changes that it does not contain."""

    def __init__(
        self, relation: Relation, rows: WholeRows, changes: Callable[[], Iterable[RowChange | Truncate]]
    ) -> None:
        self.relation, self.rows, self._changes = relation, rows, changes

    def __len__(self) -> int:
        return len(self.rows) + sum(1 for _ in self._changes())

    def runs(self) -> Iterator[Change | Run]:
        for part in self.rows.parts():
            yield CopiedRun(self.relation, part)
        yield from self._changes()


class HeldInMemory(HeldBack):
    """For few changes."""

    def __init__(self) -> None:
        self._held: list[Held] = []

    def append(self, held: Held) -> int:
        self._held.append(held)
        return len(self._held) - 1

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)


def _columns(relation: Relation) -> tuple[str, ...]:
    return tuple(column.name for column in relation.columns)
