"""Reads chunks of a MySQL or MariaDB table in key order. The `CopySource` of both.

Each chunk is one statement's or transaction's consistent read between two rows of ours in `strangler.message`, which
the binlog carries as marks. InnoDB makes transactions visible in the order of the binlog, so a read that begins after
the low mark's commit shows everything before it, and nothing that comes after a high mark written later.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pymysql

from cdc.chunk_handover import CopyInterrupted
from cdc.copied_rows import CopiedRows
from cdc.copy_source import FilledRows
from cdc.copy_tracker import WATERMARK_PREFIX, CopyCursor, SourceKey, Watermark
from cdc.errors import CopyRefused, SourceUnfit
from cdc.events import Relation, Row, TableName
from cdc.insert_run import NULL_CELL, escaped
from cdc.mysql import server
from cdc.mysql.assembly import MESSAGE_TABLE, OWN_SCHEMA
from cdc.mysql.connections import ControlConnection, connect_unconverted, open_mysql, parse_url
from cdc.mysql.copy_statements import CopyPlan, Printed
from cdc.mysql.copy_values import ColumnFacts, copied_column
from cdc.mysql.table_map import table_oid
from cdc.mysql.values import ZeroDates
from cdc.snapshot_window import Chunk

_COLUMNS: Final = """
    SELECT COLUMN_NAME, lower(DATA_TYPE), lower(COLUMN_TYPE), CHARACTER_SET_NAME, coalesce(CHARACTER_MAXIMUM_LENGTH, 0),
           coalesce(NUMERIC_PRECISION, 0), coalesce(NUMERIC_SCALE, 0), coalesce(DATETIME_PRECISION, 0)
      FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_ROW_BYTES: Final = """
    SELECT coalesce(AVG_ROW_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
"""
_MARK: Final = f"INSERT INTO {OWN_SCHEMA}.{MESSAGE_TABLE} (stream, prefix, content) VALUES (%s, %s, %s)"
_FORGET_MARKS: Final = f"DELETE FROM {OWN_SCHEMA}.{MESSAGE_TABLE} WHERE stream = %s AND prefix = %s"
_MARKS_KEPT: Final = 500
_OTHER_TABLE: Final = frozenset({1054, 1146, 1412, 1932})
"""Unknown column, no such table, a definition that is newer than the snapshot."""
_FIRST_ROWS: Final = 500
"""How wide a table's rows are is not surely known before some were read."""


@contextlib.contextmanager
def open_mysql_copy(dsn: str, stream: str) -> "Iterator[MysqlCopySource]":
    """A session for one run of the copy. Raises `DatabaseUnreachable`, `SourceUnfit`."""
    with open_mysql(dsn, connect_unconverted) as connection:
        yield MysqlCopySource(dsn, connection, stream)


class MysqlCopySource:
    """See `cdc.copy_source.CopySource`."""

    def __init__(self, dsn: str, connection: ControlConnection, stream: str) -> None:
        self._dsn, self._connection, self._stream = dsn, connection, stream
        self._zero_dates: ZeroDates = parse_url(dsn).zero_dates
        self._plans: dict[TableName, CopyPlan] = {}
        self._facts: dict[TableName, list[ColumnFacts]] = {}
        self._row_bytes: dict[TableName, int] = {}
        self._marks = 0

    def tables(self, names: Sequence[TableName]) -> list[Relation]:
        with open_mysql(self._dsn) as control:
            facts = server.read_server_facts(control, str(parse_url(self._dsn)))
            if facts.variables.get("binlog_order_commits", "ON").upper() not in ("ON", "1"):
                raise SourceUnfit(
                    thing=f"binlog_order_commits of {facts.place}",
                    reason="is OFF, so that the binlog does not say in which order changes become visible",
                    mend="SET GLOBAL binlog_order_commits = ON",
                )
            known = server.read_table_facts(control, names)
            keys = server.primary_keys(control, names)
        self._plans = {}
        for name in names:
            if name not in known:
                raise SourceUnfit(
                    thing=f"source table {name}", reason="does not exist", mend="restore it, or leave it out"
                )
            if known[name].engine.lower() != "innodb":
                raise CopyRefused(
                    thing=f"source table {name}",
                    reason=f"is kept by {known[name].engine}, of which it is not known that changes become visible in "
                    "the order of the binlog",
                    mend=f"run ALTER TABLE `{name.schema}`.`{name.name}` ENGINE = InnoDB",
                )
            self._plans[name] = self._plan(name, keys[name])
            ((size,),) = self._rows(_ROW_BYTES, (name.schema, name.name))
            self._row_bytes[name] = int(size)
        return [self._plans[name].relation for name in names]

    def mark(self, mark: Watermark) -> None:
        if self._marks % _MARKS_KEPT == 0:
            self._rows(_FORGET_MARKS, (self._stream, WATERMARK_PREFIX))
        self._marks += 1
        self._rows(_MARK, (self._stream, WATERMARK_PREFIX, mark.content().encode()))

    def read_range(
        self, table: TableName, cursor: CopyCursor, limit: int, *, most_bytes: int, most_together: int
    ) -> Chunk:
        plan = self._plans[table]
        lines: list[bytes] = []
        with self._snapshot(plan):
            until = cursor.until or self._greatest_key(plan)
            size, after, last = 0, cursor.after, until is None
            while until is not None and not last and len(lines) < limit and size < most_bytes:
                wanted = min(limit - len(lines), most_together, self._fitting(table, len(lines), size, most_bytes))
                found = self._rows(plan.chunk(after, until, wanted))
                for printed in found:
                    lines.append(_line(plan.row(printed)))
                    size += len(lines[-1])
                after = plan.key_of(found[-1]) if found else after
                last = len(found) < wanted or after == until
        return Chunk(
            relation=plan.relation,
            key_columns=plan.key_names,
            rows=CopiedRows(lines),
            snapshot=None,
            begin=cursor.after,
            after=after,
            until=until,
            last=last,
        )

    def read_whole(self, table: TableName, rows: FilledRows) -> Chunk:
        raise CopyRefused(
            thing=f"source table {table}", reason="has no primary key", mend=f"give {table} a primary key"
        )

    def read_again(self, table: TableName, keys: Sequence[SourceKey]) -> Chunk:
        """Never asked for: the binlog sends every row whole."""
        raise AssertionError(f"{table}: a binlog leaves nothing to be read again")

    def _plan(self, name: TableName, key: tuple[str, ...]) -> CopyPlan:
        if not key:
            raise CopyRefused(
                thing=f"source table {name}",
                reason="has no primary key, so a copy could neither be resumed nor meet the stream",
                mend=f"give {name} a primary key",
            )
        facts = self._facts[name] = self._columns(name)
        columns = tuple(copied_column(each, name, self._zero_dates, in_key=each.name in key) for each in facts)
        relation = Relation(
            oid=table_oid(name.schema, name.name),
            schema=name.schema,
            name=name.name,
            columns=tuple(column.column for column in columns),
        )
        by_name = {column.column.name: column for column in columns}
        return CopyPlan(relation=relation, columns=columns, key=tuple(by_name[each] for each in key))

    def _columns(self, name: TableName) -> list[ColumnFacts]:
        return [
            ColumnFacts(
                name=row[0].decode(),
                kind=row[1].decode(),
                full_kind=row[2].decode(),
                charset=None if row[3] is None else row[3].decode(),
                length=int(row[4]),
                digits=int(row[5]),
                scale=int(row[6]),
                fraction_digits=int(row[7]),
            )
            for row in self._rows(_COLUMNS, (name.schema, name.name))
        ]

    @contextlib.contextmanager
    def _snapshot(self, plan: CopyPlan) -> Iterator[None]:
        """One consistent read. Once the table is open in it, its definition stays until the end."""
        try:
            self._rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            self._rows("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            self._rows(plan.nothing())
            if self._columns(plan.relation.table) != self._facts[plan.relation.table]:
                raise CopyInterrupted
            yield
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _OTHER_TABLE:
                raise CopyInterrupted from None
            raise
        finally:
            with contextlib.suppress(pymysql.MySQLError, OSError):  # what broke it is on its way already
                self._rows("COMMIT")

    def _greatest_key(self, plan: CopyPlan) -> SourceKey | None:
        rows = self._rows(plan.greatest_key())
        return plan.cursor_key(rows[0]) if rows else None

    def _fitting(self, table: TableName, count: int, size: int, most_bytes: int) -> int:
        """Rows that fill what is left, by those that were read, or by the server's statistics."""
        if size:
            return max(1, (most_bytes - size) * count // size)
        row_bytes = self._row_bytes[table]
        return max(1, min(_FIRST_ROWS, most_bytes // row_bytes)) if row_bytes else _FIRST_ROWS

    def _rows(self, statement: str, parameters: Sequence[Any] | None = None) -> Sequence[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows: Sequence[Printed] = cursor.fetchall()
            return rows


def _line(row: Row) -> bytes:
    """As `COPY` writes it."""
    return b"\t".join([escaped(value.encode()) if isinstance(value, str) else NULL_CELL for value in row]) + b"\n"
