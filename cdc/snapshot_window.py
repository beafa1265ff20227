"""When a chunk read by SELECT and the change stream meet: which of the two is newer, row by row. Pure.

The copier writes a low mark into the source log, reads a chunk in one snapshot, and writes a high mark. The applier
writes the chunk when the high mark comes by in the stream. DBLog drops the rows that changed between the marks. We know
more: the snapshot says exactly which transactions the chunk contains. So the chunk is brought forward by the
transactions between the marks that it does *not* contain, and equals the source as of the high mark.

One hole is left in watermarks on PostgreSQL: a transaction is in the log before it is visible. Such a transaction may
lie *before* the low mark and yet be missing from the chunk, whose rows would then overwrite newer ones. `close` finds
it and asks for the chunk to be read again.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from cdc.copied_rows import BroughtForward, CopiedRows
from cdc.events import UNCHANGED, Relation, Row, RowChange, TableName, Truncate, Value

Key = tuple[Value, ...]

_EPOCH = 1 << 32
RECENT_TRANSACTIONS = 8192
MOST_OBSERVED = 50_000
MOST_OBSERVED_CHARACTERS = 64 << 20
"""Changes of one window to remember. With more, its chunk is read again: behind a huge transaction rather than around
it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSnapshot:
    """`pg_current_snapshot()`: 64-bit ids; in progress are those from `xmax` on and those in `in_progress`."""

    xmin: int
    xmax: int
    in_progress: frozenset[int] = frozenset()

    def sees(self, xid: int) -> bool:
        """Whether the snapshot contains transaction `xid` (the 32 bits that the stream carries)."""
        full = (self.xmax & ~(_EPOCH - 1)) | xid
        if full - self.xmax > _EPOCH // 2:
            full -= _EPOCH
        elif self.xmax - full > _EPOCH // 2:
            full += _EPOCH
        return full < self.xmax and full not in self.in_progress


def parse_snapshot(text: str) -> SourceSnapshot:
    """`'10:20:10,14,15'`, as `pg_current_snapshot()` prints it."""
    xmin, xmax, in_progress = text.split(":")
    return SourceSnapshot(
        xmin=int(xmin), xmax=int(xmax), in_progress=frozenset(int(xid) for xid in in_progress.split(",") if xid)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Rows of one table read in one snapshot.

    `snapshot`: None where the order of the log is that of visibility: everything before the low mark is in it, and any
    part of what lies between the marks, which is then brought forward once more.
    `begin`: the key behind which it was read; `after`: where the next one begins. `last`: none follows.
    `until`: the greatest key when the copy began; rows beyond it come by the stream.
    `again`: the keys this chunk re-reads, instead of continuing in key order.
    """

    relation: Relation
    key_columns: tuple[str, ...]
    rows: Collection[Row]
    snapshot: SourceSnapshot | None
    begin: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    until: tuple[str, ...] | None = None
    last: bool = False
    again: tuple[tuple[str, ...], ...] = ()


class RecentTransactions:
    """Transactions that went by lately: the only ones that can be in the log and still be invisible."""

    def __init__(self, size: int = RECENT_TRANSACTIONS, *, before: deque[int] | None = None) -> None:
        self._before: deque[int] = deque(maxlen=size) if before is None else before
        self._new: list[int] = []

    def add(self, xid: int) -> None:
        if xid:
            self._new.append(xid)

    def all(self) -> tuple[int, ...]:
        return (*self._before, *self._new)

    def clone(self) -> "RecentTransactions":
        """For the next batch, which may be undone: what is in here stays, what the clone adds may be forgotten."""
        self._before.extend(self._new)
        self._new.clear()
        return RecentTransactions(before=self._before)


@dataclass(slots=True)
class SnapshotWindow:
    """The time between a chunk's marks, as the stream sees it."""

    table: TableName
    seen_before: tuple[int, ...]
    """Transactions that went by before the low mark."""
    observed: list[tuple[int, RowChange | Truncate]] = field(default_factory=list)
    characters: int = 0
    void: bool = False
    """More went by than is remembered."""

    def observe(self, xid: int, change: RowChange | Truncate) -> None:
        """A change of this table between the marks."""
        if self.void:
            return
        self.observed.append((xid, change))
        if isinstance(change, RowChange) and change.new is not None:
            self.characters += sum([len(value) for value in change.new if isinstance(value, str)])
        if len(self.observed) > MOST_OBSERVED or self.characters > MOST_OBSERVED_CHARACTERS:
            self.void, self.observed = True, []

    def clone(self) -> "SnapshotWindow":
        return SnapshotWindow(self.table, self.seen_before, list(self.observed), self.characters, self.void)

    def close(self, chunk: Chunk) -> Collection[Row] | None:
        """The chunk's rows as of the high mark; None when the chunk must be read again: also when the table's columns
        changed between the marks.

        Rows that nothing touched stay as they were read: all of them as `chunk.rows`, some in a `BroughtForward`.
        """
        snapshot = chunk.snapshot
        if self.void or (snapshot is not None and not all(snapshot.sees(xid) for xid in self.seen_before)):
            return None
        unseen = [change for xid, change in self.observed if snapshot is None or not snapshot.sees(xid)]
        if not unseen:
            return chunk.rows
        keys = _KeyOf(chunk.key_columns)
        untouched, read = CopiedRows(()), chunk.rows
        touched = _touched(unseen, keys)
        if isinstance(read, CopiedRows) and touched is not None:
            untouched, read = read.split(key_positions(chunk.relation, chunk.key_columns), touched)
        rows = {keys.of(chunk.relation, row): row for row in read}
        for change in unseen:
            if not _bring_forward(rows, change, keys, chunk.relation):
                return None
        return BroughtForward(untouched, list(rows.values()))


def _touched(changes: Iterable[RowChange | Truncate], keys: "_KeyOf") -> set[Key] | None:
    """The keys that the changes name; None when they may mean any row."""
    found: set[Key] = set()
    for change in changes:
        if isinstance(change, Truncate):
            return None
        found.update(keys.of(change.relation, row) for row in (change.old, change.new) if row is not None)
    return found


def _bring_forward(rows: dict[Key, Row], change: RowChange | Truncate, keys: "_KeyOf", relation: Relation) -> bool:
    """False when the row has other columns by now than `relation`, with which it was read."""
    if isinstance(change, Truncate):
        rows.clear()
        return True
    if change.op == "d":
        assert change.old is not None
        rows.pop(keys.of(change.relation, change.old), None)
        return True
    assert change.new is not None
    new_key = keys.of(change.relation, change.new)
    old_key = new_key if change.old is None else keys.of(change.relation, change.old)
    base = rows.get(old_key)
    if base is None:
        return True
    if [column.name for column in change.relation.columns] != [column.name for column in relation.columns]:
        return False
    if old_key != new_key:
        del rows[old_key]
    rows[new_key] = change.new if change.op == "c" else overlay(change.new, base)
    return True


def overlay(new: Row, base: Row) -> Row:
    """`new`, with the values that the update did not send taken from `base`."""
    return tuple(old if value is UNCHANGED else value for value, old in zip(new, base, strict=True))


def is_whole(row: Row) -> bool:
    """No value is missing because it was an untouched TOASTed one."""
    return UNCHANGED not in row


class _KeyOf:
    """The key values of a row, by its own relation's column order."""

    def __init__(self, key_columns: tuple[str, ...]) -> None:
        self._key_columns = key_columns
        self._positions: dict[int, tuple[int, ...]] = {}

    def of(self, relation: Relation, row: Row) -> Key:
        positions = self._positions.get(id(relation))
        if positions is None:
            positions = self._positions[id(relation)] = key_positions(relation, self._key_columns)
        return tuple([row[position] for position in positions])


def key_positions(relation: Relation, key_columns: Iterable[str]) -> tuple[int, ...]:
    """Where the key columns are in this relation's rows."""
    index: Mapping[str, int] = {column.name: position for position, column in enumerate(relation.columns)}
    return tuple(index[name] for name in key_columns)
