"""Writes row groups through one connection, each in as few statements as is safe; the session owns transactions."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from cdc.apply_batch import RowGroup
from cdc.events import TableName
from cdc.sql_target.columns import Dialect
from cdc.sql_target.pipeline import run_updates
from cdc.sql_target.statements import Compiled, Parameters, TableStatements
from cdc.target_port import RowRefused, RowsNotFound

_DELETED_AT_ONCE = 200


class RowWriter:
    """`largest`: bytes that the server takes in one statement; None when there is no such limit."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        statements: Callable[[TableName], TableStatements],
        largest: int | None,
    ) -> None:
        self._connection, self._dialect, self._statements, self._largest = connection, dialect, statements, largest

    def write(self, groups: Iterable[RowGroup]) -> None:
        """Execute the groups in order. Raises `RowRefused`, `RowsNotFound` and driver errors."""
        for group in groups:
            table = self._statements(group.table)
            found = self._write(group, table)
            if group.must_match and found != len(group.rows):
                raise RowsNotFound(group)

    def _write(self, group: RowGroup, table: TableStatements) -> int:
        if group.kind == "truncate":
            self._run(table.truncate(), ())
            return 0
        if group.kind == "upsert":
            rows = [table.convert(group.columns, row) for row in group.rows]
            self._refuse_large(group, rows)
            self._upsert(group, table, rows)
            return len(rows)
        if group.kind == "delete":
            return self._delete(group, table, [table.convert(group.key, row) for row in group.rows])
        names = (*group.key, *group.columns)
        rows = [table.convert(names, row) for row in group.rows]
        self._refuse_large(group, rows)
        update = table.update(group.key, group.columns)
        if self._dialect == "sqlite" and len(rows) > 1:
            return self._many(update, rows)
        return sum(self._update(update, rows))

    def _upsert(self, group: RowGroup, table: TableStatements, rows: Sequence[Sequence[object]]) -> None:
        if table.upserts_natively(group.key):
            self._many(table.upsert(group.key, group.columns), rows)
            return
        insert = table.insert(group.columns)
        try:
            with self._connection.begin_nested():
                self._many(insert, rows)
        except IntegrityError:
            self._update_or_insert(group, table, rows)

    def _update_or_insert(self, group: RowGroup, table: TableStatements, rows: Sequence[Sequence[object]]) -> None:
        """Some row is there already, or something else is in its way: then the insert says so again."""
        settable = [name for name in group.columns if name not in group.key]
        places = [group.columns.index(name) for name in (*group.key, *(settable or group.key))]
        update = table.update(group.key, settable or group.key)
        found = self._update(update, [[row[place] for place in places] for row in rows])
        missing = [row for row, hits in zip(rows, found, strict=True) if not hits]
        if missing:
            self._many(table.insert(group.columns), missing)

    def _update(self, update: Compiled, rows: Sequence[Sequence[object]]) -> list[int]:
        """How many rows each one matched."""
        return run_updates(self._connection, self._dialect, update.text, [update.parameters(row) for row in rows])

    def _delete(self, group: RowGroup, table: TableStatements, rows: Sequence[Sequence[object]]) -> int:
        found = 0
        for at in range(0, len(rows), _DELETED_AT_ONCE):
            part = rows[at : at + _DELETED_AT_ONCE]
            found += self._run(table.delete(group.key, len(part)), [value for row in part for value in row])
        return found

    def _many(self, compiled: Compiled, rows: Sequence[Sequence[object]]) -> int:
        """Rows hit, where the driver adds them up (SQLite's does)."""
        parameters: list[Parameters] = [compiled.parameters(row) for row in rows]
        found = self._connection.exec_driver_sql(compiled.text, parameters if len(parameters) > 1 else parameters[0])
        return found.rowcount

    def _run(self, compiled: Compiled, row: Sequence[object]) -> int:
        return self._connection.exec_driver_sql(compiled.text, compiled.parameters(row)).rowcount

    def _refuse_large(self, group: RowGroup, rows: Iterable[Sequence[object]]) -> None:
        """A MySQL server hangs up on a statement that is too long; that must not look like an outage."""
        if self._largest is None:
            return
        for row in rows:
            size = sum(len(value) for value in row if isinstance(value, str | bytes))
            if size > self._largest // 4 and sum(map(_escaped_bytes, row)) + 4096 > self._largest:
                raise RowRefused(f"a row of {group.table} of {size} bytes is longer than max_allowed_packet", "1153")


def _escaped_bytes(value: object) -> int:
    if isinstance(value, bytes):
        return 2 * len(value) + 16
    if not isinstance(value, str):
        return 32
    sent = value.encode()
    return len(sent) + sum(sent.count(mark) for mark in (b"\0", b"\n", b"\r", b"\\", b"'", b'"', b"\x1a"))
