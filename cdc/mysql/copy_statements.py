"""Statements of the chunked copy, and the keys that it goes on from. Pure.

Rows are read in the order of the primary key, by the collations of its own columns: the index stands in that order, the
key is unique under it, and conditions compare with constants that take the column's collation. A cursor holds what a
condition needs (bytes as hex, labels by number), not the text forms that travel.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdc.copy_tracker import SourceKey
from cdc.errors import ValueRefused
from cdc.events import Relation, Row
from cdc.mysql.charsets import BINARY
from cdc.mysql.copy_values import CopiedColumn
from cdc.mysql.values import Unrepresentable

Printed = Sequence[bytes | None]
"""One row as the server prints it: the table's columns, then the key's own."""

_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_MOMENT: Final = re.compile(r"[-0-9:. ]+")
_HEX: Final = re.compile(r"([0-9a-f]{2})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyPlan:
    """How one table is read. `key`: its key columns in index order."""

    relation: Relation
    columns: tuple[CopiedColumn, ...]
    key: tuple[CopiedColumn, ...]

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(column.column.name for column in self.key)

    def nothing(self) -> str:
        """No row, but the table is open then."""
        return f"SELECT 1 FROM {self._from()} LIMIT 0"

    def greatest_key(self) -> str:
        """One row of the key's own columns, or none."""
        order = ", ".join(f"{quoted(name)} DESC" for name in self.key_names)
        return f"SELECT {self._key_list()} FROM {self._from()} ORDER BY {order} LIMIT 1"

    def chunk(self, after: SourceKey | None, until: SourceKey, limit: int) -> str:
        """Up to `limit` rows behind `after` and not beyond `until`."""
        within = self._compare("<", until)
        where = within if after is None else f"{self._compare('>', after)} AND {within}"
        if after is None:
            where = f"({within})"
        order = ", ".join(map(quoted, self.key_names))
        return f"SELECT {self._list()} FROM {self._from()} WHERE {where} ORDER BY {order} LIMIT {limit}"

    def row(self, printed: Printed) -> Row:
        """The row's text forms. Raises `ValueRefused`."""
        row: list[str | None] = []
        for column, data in zip(self.columns, printed, strict=False):
            try:
                row.append(None if data is None else column.from_text(data))
            except Unrepresentable as error:
                raise self._refused(column, str(error)) from None
        return tuple(row)

    def key_of(self, printed: Printed) -> SourceKey:
        """Where the copy stands behind this row."""
        return self.cursor_key(printed[len(self.columns) :])

    def cursor_key(self, printed: Printed) -> SourceKey:
        """The same, of the key's own columns alone."""
        return tuple(_kept(column, data) for column, data in zip(self.key, printed, strict=True))

    def _list(self) -> str:
        return ", ".join(
            [*(each.expression.format(quoted(each.column.name)) for each in self.columns), self._key_list()]
        )

    def _key_list(self) -> str:
        return ", ".join(_key_expression(each) for each in self.key)

    def _from(self) -> str:
        table = self.relation.table
        return f"{quoted(table.schema)}.{quoted(table.name)} FORCE INDEX (PRIMARY)"

    def _compare(self, sign: str, key: SourceKey) -> str:
        """`(a, b) > (1, 2)` or `(a, b) <= (1, 2)`, spelled out: an index range is not found for the short form. The
        bound on the first column comes first, so that it is one."""
        last = "" if sign == ">" else "="
        compared = ""
        for number, (column, value) in reversed(list(enumerate(zip(self.key, key, strict=True)))):
            name, constant = _key_compared(column), _constant(column, value)
            if number == len(self.key) - 1:
                compared = f"{name} {sign}{last} {constant}"
            else:
                compared = f"{name} {sign}= {constant} AND ({name} {sign} {constant} OR ({compared}))"
        return f"({compared})"

    def _refused(self, column: CopiedColumn, reason: str) -> ValueRefused:
        table = self.relation.table
        return ValueRefused(
            thing=f"column {column.column.name} of {table.schema}.{table.name}",
            reason=f"a value {reason}, so PostgreSQL cannot hold it as it is",
            mend="mend the row in the source; for dates, zero_dates=null in the source's URL makes them NULL",
        )


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _key_compared(column: CopiedColumn) -> str:
    """A label compared with text would be compared as text, and its index is in the order of its numbers."""
    name = quoted(column.column.name)
    return f"{name} + 0" if column.key_kind == "label" else name


def _key_expression(column: CopiedColumn) -> str:
    name = quoted(column.column.name)
    if column.key_kind == "label" or column.column.type_oid == _BIT:
        return f"{name} + 0"
    return column.expression.format(name)


_BIT: Final = 1560


def _kept(column: CopiedColumn, data: bytes | None) -> str:
    assert data is not None, "a primary key is not NULL"
    return data.hex() if column.key_kind == "bytes" else data.decode()


def _constant(column: CopiedColumn, value: str) -> str:
    """Only what is surely a constant becomes part of a statement."""
    if column.key_kind in ("number", "label"):
        assert _NUMBER.fullmatch(value), value
        return value
    if column.key_kind == "moment":
        assert _MOMENT.fullmatch(value), value
        return f"'{value}'"
    assert _HEX.fullmatch(value), value
    return f"X'{value}'" if column.key_charset == BINARY else f"_{column.key_charset} X'{value}'"
