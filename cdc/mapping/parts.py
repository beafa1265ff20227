"""Columns of one target row that arrive by another table's events, put in an order that loses nothing. Pure.

Within one transaction the events of the owning table and of a part may come in any order: a statement with several
data-modifying WITH parts writes them as it likes, and foreign keys are checked only afterwards. So a part's change

- waits for the owner's event that brings its row, when that comes later in the transaction;
- leaves the row that it moved away from alone when the owner moves the same key (the data travel with the row);
- otherwise blanks the columns where it was and sets them where it is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdc.events import TableName, TargetChange
from cdc.mapping.errors import RowUnmappable

Key = Mapping[str, str | None]
_RowId = tuple[TableName, tuple[str | None, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartChange:
    """One event of a partial feeder. `before`/`after`: the target row's key, None on insert/delete.

    `values`: the columns known after the event, without the key. `blank`: all columns of the part as NULL.
    `complete`: no column is unknown (unchanged TOAST).
    """

    source: TableName
    table: TableName
    before: Key | None
    after: Key | None
    values: Mapping[str, str | None]
    blank: Mapping[str, None]
    complete: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PartTruncate:
    """The part's table was emptied, but not its owner in the same statement."""

    source: TableName
    table: TableName


Step = TargetChange | PartChange | PartTruncate


def weave(steps: Sequence[Step]) -> list[TargetChange]:
    """The target changes of one transaction in an order that is safe to apply one after the other."""
    plan = _Plan(steps)
    done: list[TargetChange] = []
    for position, step in enumerate(steps):
        if isinstance(step, PartTruncate):
            plan.forget(step, position)
        elif isinstance(step, PartChange):
            done += plan.place(step, position)
        else:
            done.append(step)
            if step.kind == "truncate":
                plan.drop_waiting(step.table)
            done += plan.released(position)
    return done


class _Plan:
    """What the owner does in this transaction, and the part changes that wait for it."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._arrivals: dict[_RowId, list[int]] = defaultdict(list)
        self._moves: set[tuple[_RowId, _RowId]] = set()
        self._truncates: dict[TableName, int] = {}
        self._waiting: dict[int, list[TargetChange]] = defaultdict(list)
        for position, step in enumerate(steps):
            if isinstance(step, TargetChange):
                self._note(step, position)

    def _note(self, change: TargetChange, position: int) -> None:
        if change.kind == "truncate":
            self._truncates[change.table] = position
        elif change.kind == "upsert":
            self._arrivals[_row_id(change.table, change.key)].append(position)
        elif change.old_key is not None:
            row = _row_id(change.table, change.key)
            self._arrivals[row].append(position)
            self._moves.add((_row_id(change.table, change.old_key), row))

    def place(self, part: PartChange, position: int) -> list[TargetChange]:
        """What to apply now for this event; the rest is kept for its owner's event."""
        now: list[TargetChange] = []
        moved = part.before is not None and part.after is not None and part.before != part.after
        carried = moved and self._carried(part)
        if moved and not carried and not part.complete:
            raise RowUnmappable(
                thing=f"{part.source} moved from {_show(part.before)} to {_show(part.after)}",
                reason=f"its unchanged large column was not sent, and {part.table} does not move the same row",
                mend=f"ALTER TABLE {part.source} REPLICA IDENTITY FULL, then repeat the change",
            )
        if part.before is not None and (part.after is None or (moved and not carried)):
            now += self._blank(part, position)
        if part.after is not None and part.values:
            now += self._now_or_later(_update(part.table, part.after, part.values), position)
        return now

    def _carried(self, part: PartChange) -> bool:
        assert part.before is not None
        assert part.after is not None
        return (_row_id(part.table, part.before), _row_id(part.table, part.after)) in self._moves

    def _blank(self, part: PartChange, position: int) -> list[TargetChange]:
        assert part.before is not None
        change = _update(part.table, part.before, part.blank)
        waits = any(
            other.table == part.table and other.key == part.before
            for changes in self._waiting.values()
            for other in changes
        )
        return self._now_or_later(change, position) if waits else [change]

    def _now_or_later(self, change: TargetChange, position: int) -> list[TargetChange]:
        arrivals = self._arrivals.get(_row_id(change.table, change.key), ())
        arrival = next((later for later in arrivals if later > position), None)
        if arrival is None:
            return [change]
        self._waiting[arrival].append(change)
        return []

    def released(self, position: int) -> list[TargetChange]:
        return self._waiting.pop(position, [])

    def drop_waiting(self, table: TableName) -> None:
        for position, changes in self._waiting.items():
            self._waiting[position] = [change for change in changes if change.table != table]

    def forget(self, part: PartTruncate, position: int) -> None:
        """Harmless when the owner is emptied later in the same transaction; otherwise it cannot be expressed."""
        if self._truncates.get(part.table, -1) < position:
            raise RowUnmappable(
                thing=f"TRUNCATE of {part.source}",
                reason=f"its rows are columns of {part.table}, which was not truncated with it",
                mend=f"DELETE FROM {part.source} instead, or truncate both tables in one statement",
            )
        self.drop_waiting(part.table)


def _update(table: TableName, key: Key, values: Mapping[str, str | None]) -> TargetChange:
    return TargetChange(kind="update", table=table, key=key, values=values, missing="ignore")


def _row_id(table: TableName, key: Key) -> _RowId:
    return table, tuple(key.values())


def _show(key: Key | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (key or {}).items())
