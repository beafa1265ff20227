"""What happened in a source database, as values. Pure.

Column values are PostgreSQL *text* form (`str`), SQL NULL (`None`), or `UNCHANGED`: exact for every type, no
conversion to Python numbers, dates or JSON anywhere on the path. A value that the server did not send because it is an
unchanged TOASTed column is the distinct object `UNCHANGED`, never a sentinel string (D6–D10).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeVar

from cdc.lsn import Lsn

Item = TypeVar("Item", covariant=True)


class Iterated(Collection[Item]):
    """What is iterated, again and again, and counted: perhaps made or read from a disk meanwhile. Nobody indexes it."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return any(item == each for each in self)


class Unchanged(Enum):
    """The type of `UNCHANGED`."""

    TOKEN = "unchanged"

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged.TOKEN

Value = str | Unchanged | None
"""PostgreSQL text form, SQL NULL, or a TOASTed value that this update did not touch."""

Row = tuple[Value, ...]
"""One value per `Relation.columns`, in that order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column as the stream describes it. `in_key`: part of the replica identity."""

    name: str
    type_oid: int
    type_modifier: int = -1
    in_key: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """A table as it was when the event happened: events decode with their own schema."""

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    replica_identity: Literal["d", "n", "f", "i"] = "d"

    @property
    def table(self) -> "TableName":
        return TableName(schema=self.schema, name=self.name)


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class TableName:
    """A schema-qualified table name, exactly as the catalog has it (no quoting)."""

    schema: str = "public"
    name: str

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChange:
    """One row inserted (`c`), updated (`u`), deleted (`d`) or read by a copy (`r`).

    `old` is the previous row image when the server sent one: with `old_is_key` only the replica-identity columns are
    meaningful and the others are None; otherwise (replica identity full) it is the whole row. An update that leaves the
    key alone sends none under replica identity default.
    """

    relation: Relation
    op: Literal["c", "u", "d", "r"]
    new: Row | None
    old: Row | None = None
    old_is_key: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncate:
    """`TRUNCATE` of one or several tables in one statement."""

    relations: tuple[Relation, ...]
    cascade: bool = False
    restart_identity: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """`pg_logical_emit_message`: barriers, watermarks, heartbeats and the application's own."""

    prefix: str
    content: bytes
    transactional: bool
    lsn: Lsn


Change = RowChange | Truncate | Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One committed source transaction, in commit order. An event's identity is `(commit_lsn, index in changes)`.

    `changes` may be iterated again and again and knows its length; nothing may index it, because those of a huge
    transaction lie on disk and are decoded while they are iterated.
    A non-transactional message arrives as a Transaction of its own with `xid` 0.
    `commit_time_us`: microseconds since the Unix epoch, source clock. `origin`: replication origin name, if any.
    """

    xid: int
    commit_lsn: Lsn
    end_lsn: Lsn
    commit_time_us: int
    changes: Collection[Change]
    origin: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetChange:
    """What one event means for one target table, after mapping. Values are target text forms.

    - `upsert`: `values` holds every mapped column; insert, or overwrite the row with the same `key`.
    - `update`: set `values` (maybe only some columns) on the row whose key is `old_key` (or `key`).
    - `delete`: remove the row with `key`. `truncate`: empty the table (`key` and `values` empty).

    Of a table without a primary key, where a row's identity is the whole row and several may be alike:

    - `insert`: one more row, `values`, which `key` repeats.
    - `replace`: one row that is exactly `old_key` becomes `key`; `values` holds the columns that differ, at least one.
    - `remove`: one row that is exactly `key` goes. Both are errors when there is none, whatever `missing` says.

    `missing` says what an update or delete that matches no row means: `error` (the sides have diverged) or `ignore`
    (the row is expected to come, or to have gone, by another event).
    """

    kind: Literal["upsert", "update", "delete", "truncate", "insert", "replace", "remove"]
    table: TableName
    key: Mapping[str, str | None]
    values: Mapping[str, str | None]
    old_key: Mapping[str, str | None] | None = None
    missing: Literal["error", "ignore"] = "error"
