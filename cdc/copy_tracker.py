"""What a stream may do with a change of a table whose copy has not begun, runs, or is done. Pure.

- Before the copy begins a change is passed over: the copy will read its result.
- While it runs, a change may meet a row that is not there yet. An update that knows the whole row becomes an insert
  (an upsert in the target); one that does not updates the row if it is there, and the chunk brings it otherwise.
  A row that moves to a new key with a value that was not sent can be in neither: its key is read `again` at the end.
- When it is done, an update or delete that meets no row means that the sides have diverged.

A table without a key waits until all of it is copied in one piece: see `cdc.whole_table`.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cdc.copied_rows import BroughtForward, CopiedRows, CopiedRun
from cdc.events import Change, Message, Row, RowChange, TableName, Truncate
from cdc.insert_run import HeldChanges
from cdc.snapshot_window import Chunk, RecentTransactions, SnapshotWindow, is_whole, key_positions
from cdc.whole_table import HeldBack, HeldInMemory, WholeTableWindow

WATERMARK_PREFIX = "strangler.watermark"
MOST_ARRIVALS = 200_000
"""Keys of one table to remember; with more, its chunks are written row by row."""

CopyState = Literal["waiting", "copying", "done"]
SourceKey = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyCursor:
    """Where a table's copy stands; survives in `strangler.copy_progress.last_key`.

    `again`: keys still to be read again, oldest first.
    """

    after: SourceKey | None = None
    until: SourceKey | None = None
    range_done: bool = False
    again: tuple[SourceKey, ...] = ()

    @property
    def finished(self) -> bool:
        return self.range_done and not self.again

    def as_json(self) -> dict[str, Any]:
        return {"after": self.after, "until": self.until, "range_done": self.range_done, "again": self.again}


def cursor_from_json(raw: Mapping[str, Any] | None) -> CopyCursor:
    """The cursor of a progress row; the beginning when the row has none."""
    if not raw:
        return CopyCursor()
    return CopyCursor(
        after=_key(raw["after"]),
        until=_key(raw["until"]),
        range_done=raw["range_done"],
        again=tuple(tuple(key) for key in raw["again"]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Watermark:
    """A mark that the copier wrote into the source log. `run` is unique to one copier run of one stream."""

    run: str
    number: int
    mark: Literal["low", "high"]
    table: TableName

    def content(self) -> str:
        return json.dumps(
            {"run": self.run, "number": self.number, "mark": self.mark, "table": [self.table.schema, self.table.name]}
        )


def is_watermark(change: Change) -> bool:
    return isinstance(change, Message) and change.prefix == WATERMARK_PREFIX


def parse_watermark(message: Message) -> Watermark | None:
    """The mark in a message; None for any other message."""
    if message.prefix != WATERMARK_PREFIX:
        return None
    raw = json.loads(message.content)
    schema, name = raw["table"]
    return Watermark(run=raw["run"], number=raw["number"], mark=raw["mark"], table=TableName(schema=schema, name=name))


@dataclass(frozen=True, kw_only=True, slots=True)
class TableCopying:
    """State of one table's copy."""

    state: CopyState = "waiting"
    cursor: CopyCursor = CopyCursor()


@dataclass(slots=True)
class CopyTracker:
    """One stream's copies, as of one position. `clone` before a transaction, keep the clone when it commits."""

    source_keys: Mapping[TableName, tuple[str, ...]]
    follows_copy: bool
    tables: dict[TableName, TableCopying] = field(default_factory=dict)
    recent: RecentTransactions = field(default_factory=RecentTransactions)
    window: SnapshotWindow | WholeTableWindow | None = None
    hold_back: Callable[[], HeldBack] = HeldInMemory
    """Where changes of a table without a key wait for its rows."""
    moved_since_low: dict[SourceKey, None] = field(default_factory=dict)
    arrived: dict[TableName, set[Row]] = field(default_factory=dict)
    """Keys that the stream brought since the copy of a table began, if all of them are known; perhaps some that it did
    not, because clones share it. A chunk has the others to itself."""
    touched: set[TableName] = field(default_factory=set)
    """Tables whose copy began or whose cursor gained keys since the last `clone`: to be saved with the rows."""

    def clone(self) -> "CopyTracker":
        return CopyTracker(
            source_keys=self.source_keys,
            follows_copy=self.follows_copy,
            tables=dict(self.tables),
            recent=self.recent.clone(),
            window=self.window.clone() if self.window else None,
            hold_back=self.hold_back,
            moved_since_low=dict(self.moved_since_low),
            arrived=self.arrived,
        )

    def state(self, table: TableName) -> CopyState:
        if not self.follows_copy:
            return "done"
        copying = self.tables.get(table)
        return copying.state if copying else "waiting"

    @property
    def settled(self) -> bool:
        """No table is, or will be, in a state that changes what an event means."""
        return not self.follows_copy or (
            self.window is None and all(self.state(table) == "done" for table in self.source_keys)
        )

    def route(self, xid: int, change: RowChange | Truncate) -> tuple[Sequence[RowChange | Truncate], bool]:
        """What to apply for `change`, and whether a row that is not there is to be expected."""
        if isinstance(change, Truncate):
            return self._route_truncate(xid, change)
        table = change.relation.table
        state = self.state(table)
        if state == "done":
            return (change,), False
        if self.window and self.window.table == table:
            self.window.observe(xid, change)
        if state == "waiting":
            return (), False
        self._remember_arrival(change)
        return (self._while_copying(change) if change.op == "u" else (change,)), True

    def begin(self, table: TableName) -> None:
        """The first low mark of a table went by: from here on its changes count."""
        self.tables[table] = TableCopying(state="copying", cursor=self._cursor(table))
        self.arrived[table] = set()
        self.touched.add(table)

    def low(self, table: TableName) -> None:
        seen_before = self.recent.all()
        if self.in_one_piece(table):
            self.window = WholeTableWindow(table, seen_before, self.hold_back())
        else:
            self.window = SnapshotWindow(table, seen_before)
        self.moved_since_low = {}

    def high(self, table: TableName, chunk: Chunk) -> Collection[Change] | None:
        """The rows to write and the cursor moved on; None when the chunk must be read again: it is void by its
        snapshot, or does not begin where the copy stands because the one before it was void."""
        window, self.window = self.window, None
        if self.in_one_piece(table):
            return self._whole_table(table, chunk, window)
        cursor = self._cursor(table)
        follows_on = bool(chunk.again) or chunk.begin == cursor.after
        ours = window if isinstance(window, SnapshotWindow) and window.table == table else None
        rows = ours.close(chunk) if ours and follows_on else None
        if rows is None:
            return None
        if chunk.again:
            settled = set(chunk.again) - self.moved_since_low.keys()
            cursor = replace(cursor, again=tuple(key for key in cursor.again if key not in settled))
        else:
            cursor = replace(cursor, after=chunk.after or cursor.after, until=chunk.until, range_done=chunk.last)
        self.tables[table] = TableCopying(state="done" if cursor.finished else "copying", cursor=cursor)
        return self._chunk_changes(table, chunk, rows)

    def in_one_piece(self, table: TableName) -> bool:
        """It has no key by which to divide it."""
        return not self.source_keys.get(table)

    def _whole_table(
        self, table: TableName, chunk: Chunk, window: SnapshotWindow | WholeTableWindow | None
    ) -> Collection[Change] | None:
        ours = window if isinstance(window, WholeTableWindow) and window.table == table else None
        changes = ours.close(chunk) if ours and self.state(table) == "waiting" else None
        if changes is not None:
            self.tables[table] = TableCopying(state="done", cursor=CopyCursor(range_done=True))
        return changes

    def _chunk_changes(self, table: TableName, chunk: Chunk, rows: Collection[Row]) -> Collection[Change]:
        """A run where no row of it can be in the target yet."""
        arrived = self.arrived.get(table)
        if arrived is None or chunk.again or not isinstance(rows, CopiedRows | BroughtForward):
            return [RowChange(relation=chunk.relation, op="r", new=row) for row in rows]
        untouched, single = (rows, []) if isinstance(rows, CopiedRows) else (rows.untouched, rows.rows)
        untouched, met = untouched.split(key_positions(chunk.relation, self.source_keys[table]), arrived)
        others = [RowChange(relation=chunk.relation, op="r", new=row) for row in (*met, *single)]
        return HeldChanges((CopiedRun(chunk.relation, untouched), *others) if untouched else others)

    def _cursor(self, table: TableName) -> CopyCursor:
        copying = self.tables.get(table)
        return copying.cursor if copying else CopyCursor()

    def _route_truncate(self, xid: int, change: Truncate) -> tuple[Sequence[RowChange | Truncate], bool]:
        kept = tuple(relation for relation in change.relations if self.state(relation.table) != "waiting")
        copying = [relation for relation in kept if self.state(relation.table) == "copying"]
        if self.window and any(
            relation.table == self.window.table and self.state(relation.table) != "done"
            for relation in change.relations
        ):
            self.window.observe(xid, change)
        return ((replace(change, relations=kept),) if kept else ()), bool(copying)

    def _remember_arrival(self, change: RowChange) -> None:
        table = change.relation.table
        arrived = self.arrived.get(table)
        if arrived is None or change.new is None:
            return
        if len(arrived) >= MOST_ARRIVALS:
            del self.arrived[table]
            return
        positions = key_positions(change.relation, self.source_keys[table])
        arrived.add(tuple([str(change.new[position]) for position in positions]))

    def _while_copying(self, change: RowChange) -> Sequence[RowChange]:
        assert change.new is not None
        table = change.relation.table
        positions = key_positions(change.relation, self.source_keys[table])
        new_key = tuple(change.new[position] for position in positions)
        moved = change.old is not None and tuple(change.old[position] for position in positions) != new_key
        if not is_whole(change.new):
            if moved:
                self._read_again(table, tuple(str(value) for value in new_key))
            return (change,)
        arrival = RowChange(relation=change.relation, op="c", new=change.new)
        if not moved:
            return (arrival,)
        departure = RowChange(relation=change.relation, op="d", new=None, old=change.old, old_is_key=change.old_is_key)
        return (departure, arrival)

    def _read_again(self, table: TableName, key: SourceKey) -> None:
        self.moved_since_low[key] = None
        self.touched.add(table)
        copying = self.tables[table]
        if key not in copying.cursor.again:
            cursor = replace(copying.cursor, again=(*copying.cursor.again, key))
            self.tables[table] = replace(copying, cursor=cursor)


def _key(raw: Sequence[str] | None) -> SourceKey | None:
    return None if raw is None else tuple(raw)
