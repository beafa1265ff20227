"""Rows that one statement writes: what the planning of a batch and a target's session pass between them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cdc.events import TableName

Batching = Literal["any", "in_order", "one", "whole_rows", "whole_rows_in_order"]
"""How a table's rows may share a statement.

- `any`: rows of different keys commute.
- `in_order`: another unique constraint exists; rows keep their order, neighbours of one shape share a statement.
- `one`: two text forms may mean one key (numeric, case-insensitive text); one statement a row.
- `whole_rows`: the table has no primary key (`cdc.keyless_batch`); `whole_rows_in_order`: but a unique constraint.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowGroup:
    """Rows of one table that one statement writes.

    - `upsert`: a row holds the values of `columns` (which include `key`).
    - `update`: a row holds the key to look for, then the values of `columns`.
    - `delete`: a row holds the key. `truncate`: no rows.

    Of a table without a primary key, whose rows may be alike (`cdc.keyless_batch`):

    - `insert`: a row holds the values of `columns`.
    - `replace`: a row holds the row to look for (`key` names its columns), the values that `columns` get, and which of
      the rows that are exactly so it is about: first and last, counted from 1.
    - `remove`: a row holds the row to look for, 1, and how many of those that are exactly so go.

    `must_match`: fewer rows hit than given means that the sides have diverged.
    """

    kind: Literal["upsert", "update", "delete", "truncate", "insert", "replace", "remove"]
    table: TableName
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | None]]
    must_match: bool = False

    @property
    def hits(self) -> int:
        """How many rows of the target it writes when none is missing."""
        if self.kind not in ("replace", "remove"):
            return len(self.rows)
        return sum(int(row[-1] or 0) - int(row[-2] or 0) + 1 for row in self.rows)
