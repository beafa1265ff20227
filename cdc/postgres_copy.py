"""Reads chunks of PostgreSQL tables for the copier. The `CopySource` of PostgreSQL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from cdc.copy_reader import CopyTable, copy_table, parents_first, read_again, read_range, read_whole, write_mark
from cdc.copy_source import FilledRows
from cdc.copy_tracker import CopyCursor, SourceKey, Watermark
from cdc.errors import SourceUnfit
from cdc.events import Relation, TableName
from cdc.link import LinkSpec
from cdc.schema import reflect
from cdc.sessions import Connection, connect, source_error
from cdc.snapshot_window import Chunk


@contextmanager
def open_postgres_copy(link: LinkSpec) -> "Iterator[PostgresCopySource]":
    """A session for one run of the copy. Raises `DatabaseUnreachable`."""
    with connect(link.source_dsn, f"{link.stream} copy") as connection:
        try:
            yield PostgresCopySource(link, connection)
        except psycopg.Error as error:
            raise source_error(link.source_dsn, f"copy of {link.stream}", error) from error


class PostgresCopySource:
    """See `cdc.copy_source.CopySource`."""

    def __init__(self, link: LinkSpec, connection: Connection) -> None:
        self._link, self._connection = link, connection
        self._tables: dict[TableName, CopyTable] = {}
        connection.execute("SELECT set_config('enable_seqscan', 'off', false)")

    def tables(self, names: Sequence[TableName]) -> list[Relation]:
        found = reflect(self._connection, list(names)).tables
        if missing := [str(name) for name in names if name not in found]:
            raise SourceUnfit(
                thing=f"source table {missing[0]}",
                reason="does not exist",
                mend="restore it, or take it out of the plan",
            )
        self._tables = {
            name: copy_table(found[name], tuple(self._link.source_keys.get(name, ())))
            for name in parents_first([found[name] for name in names])
        }
        return [table.relation for table in self._tables.values()]

    def mark(self, mark: Watermark) -> None:
        write_mark(self._connection, mark)

    def read_range(
        self, table: TableName, cursor: CopyCursor, limit: int, *, most_bytes: int, most_together: int
    ) -> Chunk:
        return read_range(
            self._connection,
            self._tables[table],
            cursor,
            limit,
            most_bytes=most_bytes,
            most_together=most_together,
        )

    def read_whole(self, table: TableName, rows: FilledRows) -> Chunk:
        return read_whole(self._connection, self._tables[table], rows)

    def read_again(self, table: TableName, keys: Sequence[SourceKey]) -> Chunk:
        return read_again(self._connection, self._tables[table], keys)
