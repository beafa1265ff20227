"""Reads chunks of a source table in key order, each in a snapshot that says what it contains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from cdc.chunk_handover import CopyInterrupted
from cdc.copied_rows import CopiedRows
from cdc.copy_source import FilledRows
from cdc.copy_tracker import WATERMARK_PREFIX, CopyCursor, SourceKey, Watermark
from cdc.errors import CopyRefused
from cdc.events import Column, Relation, Row, TableName
from cdc.markers import emit_marker
from cdc.sessions import Connection
from cdc.snapshot_window import Chunk, key_positions, parse_snapshot
from cdc.tables import Table

_COLUMNS = """
SELECT attname, atttypid::int8 FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyTable:
    """A source table as the copy reads it. `key`: its key columns in index order; empty when it has none."""

    relation: Relation
    key: tuple[str, ...]
    partitioned: bool


def copy_table(table: Table, key: tuple[str, ...]) -> CopyTable:
    """Without a key it is read as a whole. Raises `CopyRefused` when its log does not carry whole rows."""
    if not key and table.replica_identity != "f":
        raise CopyRefused(
            thing=f"source table {table.name}",
            reason="has no primary key, and its log does not carry whole rows, so a copy could not meet the stream",
            mend=f"give {table.name} a primary key, or ALTER TABLE {table.name} REPLICA IDENTITY FULL",
        )
    columns = tuple(
        Column(name=column.name, type_oid=column.type_oid, in_key=column.name in key)
        for column in table.columns
        if not column.generated
    )
    relation = Relation(oid=0, schema=table.name.schema, name=table.name.name, columns=columns)
    return CopyTable(relation=relation, key=key, partitioned=table.partitioned)


def write_mark(connection: Connection, mark: Watermark) -> None:
    """Durable in the source log, in commit order, on return."""
    emit_marker(connection, WATERMARK_PREFIX, mark.content())


FIRST_ROWS: Final = 500
"""How wide a table's rows are is not known before some were read."""


def read_range(
    connection: Connection,
    table: CopyTable,
    cursor: CopyCursor,
    limit: int,
    *,
    most_bytes: int = 4 << 20,
    most_together: int = 5000,
) -> Chunk:
    """Up to `limit` rows behind `cursor.after`, not beyond the greatest key of the time when the copy began; fewer when
    they reach `most_bytes`. At most `most_together` of them are asked for at a time: rows that are suddenly wider do
    not fill the memory.

    Raises `CopyInterrupted` when the table has other columns than the copy began with (H11): begin the run again.
    """
    with connection.transaction():
        snapshot = _begin(connection, table)
        until = cursor.until or _greatest_key(connection, table)
        lines: list[bytes] = []
        size, after, last = 0, cursor.after, until is None
        while until is not None and not last and len(lines) < limit and size < most_bytes:
            fitting = (most_bytes - size) * len(lines) // size if size else FIRST_ROWS
            wanted = min(limit - len(lines), most_together, max(1, fitting))
            rows = _rows(connection, table, _range_condition(table, after, until), wanted)
            lines += rows.lines
            size += rows.size
            after = _key_of(table, rows.last()) if rows else after
            last = len(rows) < wanted or after == until
    return Chunk(
        relation=table.relation,
        key_columns=table.key,
        rows=CopiedRows(lines),
        snapshot=parse_snapshot(snapshot),
        begin=cursor.after,
        after=after,
        until=until,
        last=last,
    )


def read_again(connection: Connection, table: CopyTable, keys: Sequence[SourceKey]) -> Chunk:
    """The rows that have one of these keys now."""
    with connection.transaction():
        snapshot = _begin(connection, table)
        wanted = sql.SQL(", ").join(_tuple(key) for key in keys)
        condition = sql.SQL("{} IN ({})").format(_key_tuple(table), wanted)
        rows = _rows(connection, table, condition, len(keys))
    return Chunk(
        relation=table.relation,
        key_columns=table.key,
        rows=rows,
        snapshot=parse_snapshot(snapshot),
        again=tuple(keys),
    )


def read_whole(connection: Connection, table: CopyTable, rows: FilledRows) -> Chunk:
    """All rows, put into `rows`."""
    columns = _names([column.name for column in table.relation.columns])
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, _from(table))
    with connection.transaction():
        snapshot = _begin(connection, table)
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            for line in copy:
                rows.add(bytes(line))
    return Chunk(relation=table.relation, key_columns=(), rows=rows, snapshot=parse_snapshot(snapshot), last=True)


def _begin(connection: Connection, table: CopyTable) -> str:
    """The table's lock comes before the snapshot: a rewrite that commits between the two would show an empty table."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    name = sql.Identifier(table.relation.schema, table.relation.name)
    connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(name))
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    if [(str(n), t) for n, t in connection.execute(_COLUMNS, (name.as_string(connection),))] != [
        (column.name, column.type_oid) for column in table.relation.columns
    ]:
        raise CopyInterrupted
    return str(row[0])


def _greatest_key(connection: Connection, table: CopyTable) -> SourceKey | None:
    order = sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier(name)) for name in table.key)
    query = sql.SQL("SELECT {} FROM {} ORDER BY {} LIMIT 1").format(_names(table.key), _from(table), order)
    rows = _copy_out(connection, query)
    return _texts(rows.last()) if rows else None


def _rows(connection: Connection, table: CopyTable, condition: sql.Composed, limit: int) -> CopiedRows:
    columns = [column.name for column in table.relation.columns]
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {}").format(
        _names(columns), _from(table), condition, _names(table.key), sql.Literal(limit)
    )
    return _copy_out(connection, query)


def _copy_out(connection: Connection, query: sql.Composed) -> CopiedRows:
    """COPY prints values by the types' output functions, as the stream does; a cast to text would not.

    The server sends one row a message.
    """
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(query)) as copy:
        return CopiedRows([bytes(line) for line in copy])


def _range_condition(table: CopyTable, after: SourceKey | None, until: SourceKey) -> sql.Composed:
    key = _key_tuple(table)
    within = sql.SQL("{} <= {}").format(key, _tuple(until))
    return within if after is None else sql.SQL("{} > {} AND {}").format(key, _tuple(after), within)


def _key_tuple(table: CopyTable) -> sql.Composed:
    return sql.SQL("({})").format(_names(table.key))


def _tuple(values: SourceKey) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, values)))


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _from(table: CopyTable) -> sql.Composed:
    """Children that inherit from a plain table are tables of their own (H14); partitions are not."""
    only = "" if table.partitioned else "ONLY "
    return sql.SQL(only) + sql.Identifier(table.relation.schema, table.relation.name)


def _key_of(table: CopyTable, row: Row) -> SourceKey:
    return _texts([row[position] for position in key_positions(table.relation, table.key)])


def _texts(values: Sequence[object]) -> SourceKey:
    return tuple(str(value) for value in values)


def parents_first(tables: Sequence[Table]) -> list[TableName]:
    """Foreign-key order, otherwise as given; tables in a ring of references come in the given order."""
    names = {table.name: table for table in tables}
    ordered: dict[TableName, None] = {}

    def visit(name: TableName, path: frozenset[TableName]) -> None:
        if name in ordered or name in path:
            return
        for key in names[name].foreign_keys_out:
            if key.ref_table in names:
                visit(key.ref_table, path | {name})
        ordered[name] = None

    for table in tables:
        visit(table.name, frozenset())
    return list(ordered)
