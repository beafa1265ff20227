"""Row for row: a PostgreSQL source against a target by SQLAlchemy, in canonical text forms.

Databases disagree about the order of keys, so rows are not merged but summed into buckets by the hash of their key:
one pass over both sides finds the buckets that differ, a second reads only those. What differs is looked at again,
because the stream runs meanwhile. The fast, server-side verification (`cdc.verify`) is for two PostgreSQL databases.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import Connection

from cdc.copy_reader import CopyTable, copy_table
from cdc.events import RowChange, TableName
from cdc.link import LinkSpec
from cdc.schema import reflect
from cdc.sessions import connect, source_error
from cdc.sql_target.catalog import load_table
from cdc.sql_target.columns import Dialect, SqlTable
from cdc.sql_target.engine import dialect_of, open_engine, settled, target_url
from cdc.sql_target.reading import normal, text_of
from cdc.sql_target.statements import TableStatements
from cdc.verify.verdict import Difference
from strangler.clock import Clock, SystemClock

_BUCKETS = 4096
_BUCKETS_LISTED = 64
_DIFFERENCES = 100
_ROUNDS = 5
_PAUSE_S = 0.3

Key = tuple[str, ...]
Row = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableComparison:
    """`rows`: of the source, as mapped. `unsettled`: rows that changed in every look; they prove nothing.

    `complete`: every difference is listed; otherwise there are more.
    """

    table: TableName
    rows: int
    differences: tuple[Difference, ...] = ()
    unsettled: int = 0
    complete: bool = True

    @property
    def equal(self) -> bool:
        return not self.differences and not self.unsettled and self.complete


@dataclass(slots=True)
class _Sums:
    """Per bucket: how many rows, and the sum of their hashes, each over key, columns and NULL marks."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    sums: list[int] = field(default_factory=lambda: [0] * _BUCKETS)

    def add(self, key: Key, row: Row) -> None:
        bucket = _bucket(key)
        self.counts[bucket] += 1
        self.sums[bucket] += _hash(row)

    def differing(self, other: "_Sums") -> list[int]:
        return [
            bucket
            for bucket in range(_BUCKETS)
            if (self.counts[bucket], self.sums[bucket]) != (other.counts[bucket], other.sums[bucket])
        ]


def compare_rows(link: LinkSpec, *, clock: Clock | None = None) -> list[TableComparison]:
    """Every target table of `link`. Raises `DatabaseUnreachable`, `SourceUnfit`, `ApplyFailed`: an error is never
    "equal"."""
    clock = clock or SystemClock()
    engine = open_engine(link.target_dsn)
    try:
        with (
            settled(link.target_dsn, "rows"),
            connect(link.source_dsn, f"{link.stream} compare") as source,
            engine.connect() as target,
        ):
            sides = _Sides(link, source, target)
            return [_compare(sides, table, clock) for table in link.mapper.target_tables]
    except psycopg.Error as error:
        raise source_error(link.source_dsn, "rows", error) from error
    finally:
        engine.dispose()


class _Sides:
    """Mapped source rows and target rows, each as (key, canonical row)."""

    def __init__(self, link: LinkSpec, source: psycopg.Connection[Any], target: Connection) -> None:
        self._link, self._source, self._target = link, source, target
        self._dialect: Dialect = dialect_of(target_url(link.target_dsn))
        tables = reflect(source, list(link.mapper.source_tables)).tables
        self._tables = [copy_table(tables[name], tuple(link.source_keys[name])) for name in link.mapper.source_tables]
        self._targets: dict[TableName, SqlTable] = {}
        self._columns: dict[TableName, tuple[str, ...]] = {}

    def target_table(self, name: TableName) -> SqlTable:
        if name not in self._targets:
            types = self._link.value_types.get(name)
            with self._target.begin():
                self._targets[name] = load_table(self._target, name, self._dialect, types)
        return self._targets[name]

    def source_rows(self, name: TableName) -> Iterator[tuple[Key, Row]]:
        table = self.target_table(name)
        for origin in self._tables:
            for values in self._copied(origin):
                change = RowChange(relation=origin.relation, op="r", new=values)
                for mapped in self._link.mapper.map(change):
                    if mapped.table == name:
                        self._columns[name] = tuple(mapped.values)
                        yield self._canonical(table, mapped.values)

    def target_rows(self, name: TableName) -> Iterator[tuple[Key, Row]]:
        table = self.target_table(name)
        columns = self._columns.get(name) or (*(self._link.value_types.get(name) or {}),) or table.primary_key
        query = TableStatements(table, self._dialect, self._target.dialect).select_all(columns)
        streamed = self._target.execution_options(stream_results=True, max_row_buffer=1000)
        with self._target.begin(), closing(streamed.exec_driver_sql(query.text)) as found:
            for row in found:
                values = {
                    name: text_of(value, table.column(name), table.known_types.get(name))
                    for name, value in zip(columns, row, strict=True)
                }
                yield self._canonical(table, values)

    def _canonical(self, table: SqlTable, values: Mapping[str, str | None]) -> tuple[Key, Row]:
        types = table.known_types
        row = {name: normal(text, types.get(name), table.column(name)) for name, text in values.items()}
        return tuple(row[name] or "" for name in table.primary_key), row

    def _copied(self, table: CopyTable) -> Iterable[tuple[Any, ...]]:
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.relation.columns)
        only = sql.SQL("" if table.partitioned else "ONLY ")
        name = sql.Identifier(table.relation.schema, table.relation.name)
        query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(names, only, name)
        with self._source.cursor() as cursor, cursor.copy(query) as copy:
            yield from copy.rows()


def _compare(sides: _Sides, table: TableName, clock: Clock) -> TableComparison:
    source, target = _Sums(), _Sums()
    for key, row in sides.source_rows(table):
        source.add(key, row)
    for key, row in sides.target_rows(table):
        target.add(key, row)
    wanted = source.differing(target)
    rows = sum(source.counts)
    if not wanted:
        return TableComparison(table=table, rows=rows)
    differences, unsettled = _settle(sides, table, frozenset(wanted[:_BUCKETS_LISTED]), clock)
    complete = len(wanted) <= _BUCKETS_LISTED and len(differences) <= _DIFFERENCES
    return TableComparison(
        table=table, rows=rows, differences=differences[:_DIFFERENCES], unsettled=unsettled, complete=complete
    )


def _settle(
    sides: _Sides, table: TableName, buckets: Collection[int], clock: Clock
) -> tuple[tuple[Difference, ...], int]:
    """A difference counts once it was seen twice around the same source row; the others were in flight."""
    seen = _look(sides, table, buckets)
    confirmed: dict[Key, Difference] = {}
    for _ in range(_ROUNDS):
        if not seen:
            break
        clock.sleep(_PAUSE_S)
        again = _look(sides, table, frozenset(_bucket(key) for key in seen))
        for key, (source_row, difference) in list(again.items()):
            if key in seen and seen[key][0] == source_row:
                confirmed[key] = difference
                del again[key]
        seen = {key: found for key, found in again.items() if key not in confirmed}
    return tuple(confirmed[key] for key in sorted(confirmed)), len(seen)


def _look(sides: _Sides, table: TableName, buckets: Collection[int]) -> dict[Key, tuple[Row | None, Difference]]:
    source = dict(_within(sides.source_rows(table), buckets))
    target = dict(_within(sides.target_rows(table), buckets))
    return {
        key: (source.get(key), _difference(key, source.get(key), target.get(key)))
        for key in source.keys() | target.keys()
        if source.get(key) != target.get(key)
    }


def _within(rows: Iterable[tuple[Key, Row]], buckets: Collection[int]) -> Iterator[tuple[Key, Row]]:
    return (pair for pair in rows if _bucket(pair[0]) in buckets)


def _difference(key: Key, source: Row | None, target: Row | None) -> Difference:
    if source is None or target is None:
        return Difference(key=key, kind="extra" if source is None else "missing")
    columns = tuple(name for name in source if source[name] != target.get(name))
    return Difference(key=key, kind="different", columns=columns)


def _bucket(key: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(key).encode(), digest_size=4).digest(), "big") % _BUCKETS


def _hash(row: Row) -> int:
    """JSON keeps names, separators and NULL apart from every text (V2)."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
