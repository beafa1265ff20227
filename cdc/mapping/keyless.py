"""Rows of a table without a primary key → target changes. Pure.

A row's identity is the whole row as it was, which the server sends under REPLICA IDENTITY FULL. Whatever the mapping
makes of it, the target holds as many rows of each value as the source has rows that become it.
"""

from collections.abc import Iterable

from cdc.errors import SchemaChanged
from cdc.events import UNCHANGED, Relation, Row, RowChange, TargetChange
from cdc.mapping.parts import Step
from cdc.mapping.rows import RowPlan, TargetPlan, TargetShape


class KeylessRowPlan(RowPlan):
    """`RowPlan` of a source table without a primary key."""

    def _target_plan(self, target: TargetShape, relation: Relation) -> "KeylessTargetPlan":
        return KeylessTargetPlan(self._table, target, relation, self._named)

    def steps(self, change: RowChange) -> list[Step]:
        """Raises `SchemaChanged` when the event does not carry the whole row as it was."""
        if change.op in ("u", "d") and (change.old is None or change.old_is_key or UNCHANGED in change.old):
            raise SchemaChanged(
                thing=f"table {self._table}",
                reason="has no primary key, and the server did not send a changed row as it was",
                mend=f"ALTER TABLE {self._table} REPLICA IDENTITY FULL in the source, then copy the table again",
                relation=self._relation,
            )
        return super().steps(change)

    def source_keys(self, change: RowChange) -> Iterable[tuple[str, ...]]:
        """None: no key tells its rows apart."""
        return ()

    def _named(self, row: Row) -> str:
        return f"a row of {self._table}"


class KeylessTargetPlan(TargetPlan):
    """`TargetPlan` of a target table without a primary key."""

    def insert(self, new: Row) -> Step:
        values = self._whole(new)
        return TargetChange(kind="insert", table=self._shape.table, key=values, values=values)

    def update(self, old: Row, new: Row) -> Step | None:
        before, after = self._whole(old), self._whole(new)
        changed = {name: value for name, value in after.items() if value != before[name]}
        if not changed:
            return None
        return TargetChange(kind="replace", table=self._shape.table, key=after, values=changed, old_key=before)

    def delete(self, old: Row) -> Step:
        return TargetChange(kind="remove", table=self._shape.table, key=self._whole(old), values={})

    def _whole(self, row: Row) -> dict[str, str | None]:
        return self._values(row, self._shape.absent)
