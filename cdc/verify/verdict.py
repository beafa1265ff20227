"""The proof that both sides are equal, and when it stops being one. Pure."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

MOST_DIFFERENCES_LISTED = 100


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Difference(_Value):
    """One row, by its target key. `missing`: only in the source. `extra`: only in the target.

    `columns`: the target columns that differ; no values, they may be private. Of a table without a primary key `key` is
    a hash of the row, and `different` says that the sides have different numbers of such rows.
    """

    key: tuple[str, ...]
    kind: Literal["missing", "extra", "different"]
    columns: tuple[str, ...] = ()


class TableVerdict(_Value):
    """One source table against one of its targets.

    `rows`, `checksum`: of the source in target shape, as read. `difference_count` is a lower bound unless `complete`.
    `unsettled`: rows that changed faster than they could be compared; each changed after the verdict's position, so
    the check of changed keys in the fence window covers it.
    """

    source: str
    table: str
    rows: int
    checksum: str
    difference_count: int = 0
    complete: bool = True
    unsettled: int = 0
    differences: tuple[Difference, ...] = ()


class Verdict(_Value):
    """What a verification found. JSON both ways: `model_dump_json()` and `model_validate_json()`.

    `position`: where the source's log was when reading began; whatever is later is not proven. `method`: `full` read
    every row, `changed` only the keys it was given. `schema_hash`: `cdc.tables.schema_hash` of both sides.
    """

    move: str
    direction: Literal["forward", "reverse"]
    equal: bool
    position: str
    schema_hash: str
    rows: int
    tables: tuple[TableVerdict, ...]
    method: Literal["full", "changed"]
    at: AwareDatetime
    seconds: float

    @property
    def difference_count(self) -> int:
        return sum(table.difference_count for table in self.tables)

    def refusal(self, now: datetime, max_age_s: float, schema_hash: str) -> str | None:
        """Why this verdict proves nothing any more (promise 6, C11), or None while it does."""
        if not self.equal:
            where = ", ".join(f"{t.table} ({t.difference_count})" for t in self.tables if t.difference_count)
            return f"the sides differ: {where}"
        if self.schema_hash != schema_hash:
            return "a table's structure changed since it was made"
        age_s = (now - self.at).total_seconds()
        if age_s < 0:
            return f"it is dated {-age_s:.0f} s in the future: the clock was set back"
        if age_s > max_age_s:
            return f"it is {age_s:.0f} s old, older than {max_age_s:.0f} s"
        return None
