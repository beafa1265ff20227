"""Reading one side, and both at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from cdc.connections import canonical_conninfo, is_connection_loss, place, unreachable
from cdc.events import TableName
from cdc.schema import reflect
from cdc.tables import Schema
from cdc.verify.bags import BagSql
from cdc.verify.checksums import Checksum, Key
from cdc.verify.errors import ReadFailed
from cdc.verify.statements import Bounded, SideSql
from strangler.redaction import redact

Connection = psycopg.Connection[tuple[Any, ...]]

KEYS_PER_QUERY = 5_000
_TEXT_BOUNDS = 64
"""Chunks of a table whose key order no index gives: each costs a scan of the whole table."""

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Rows with `low < order key <= high`; None is open."""

    low: Key | None = None
    high: Key | None = None

    @property
    def bounded(self) -> Bounded:
        return Bounded(low=self.low is not None, high=self.high is not None)

    @property
    def values(self) -> Key:
        return (self.low or ()) + (self.high or ())


@dataclass(frozen=True, kw_only=True, slots=True)
class RowState:
    """A stored row: hash of its canonical text, and which version of the row it is (changes with every write).

    Without a primary key, all rows that are alike: how many, and which versions.
    """

    hash: str
    version: str


class Side:
    """One database, read only, canonical text forms. Not thread-safe: one call at a time."""

    def __init__(self, dsn: str, connection: Connection) -> None:
        self._dsn = dsn
        self._connection = connection

    def reflect(self, tables: Sequence[TableName]) -> Schema:
        with translated(self._dsn, "catalog"):
            return reflect(self._connection, tables)

    def checksum(self, sql: SideSql, span: Range) -> Checksum:
        count, first, second = self._ask(sql.checksum(span.bounded), span.values, sql.table)[0]
        return Checksum(count=count, sums=(int(first), int(second)))

    def rows(self, sql: SideSql, span: Range) -> dict[Key, str]:
        """Target key → hash, for every row in the range."""
        return {tuple(key): digest for digest, *key in self._ask(sql.rows(span.bounded), span.values, sql.table)}

    def next_bound(self, sql: SideSql, span: Range, rows: int) -> Key | None:
        """The end of the chunk of `rows` rows that starts the range; None when fewer than that many are in it."""
        found = self._ask(sql.next_bound(rows, bounded=span.bounded), span.values, sql.table)
        return tuple(found[0]) if found else None

    def all_bounds(self, sql: SideSql, rows: int) -> list[Key]:
        return [tuple(found) for found in self._ask(sql.all_bounds(rows, _TEXT_BOUNDS), (), sql.table)]

    def buckets(self, sql: BagSql) -> dict[int, Checksum]:
        """Of a table without a primary key: the checksum of each bucket that is not empty."""
        return {
            number: Checksum(count=count, sums=(int(first), int(second)))
            for number, count, first, second in self._ask(sql.buckets(), (), sql.table)
        }

    def kinds(self, sql: BagSql, buckets: Sequence[int]) -> dict[Key, str]:
        """In these buckets: the hash of each kind of row, and how many there are."""
        return {(hashes,): count for hashes, count in self._ask(sql.kinds(), (list(buckets),), sql.table)}

    def states(self, sql: SideSql | BagSql, keys: Sequence[Key]) -> dict[Key, RowState]:
        """The stored rows among `keys`."""
        return {
            keys[place]: RowState(hash=digest, version=version)
            for place, digest, version in self._by_keys(sql, sql.states(), keys)
        }

    def column_texts(self, sql: SideSql, keys: Sequence[Key]) -> dict[Key, Sequence[str]]:
        """Each stored row's columns, rendered one by one."""
        return {keys[place]: texts for place, texts in self._by_keys(sql, sql.column_texts(), keys)}

    def _by_keys(self, sql: SideSql | BagSql, query: str, keys: Sequence[Key]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), KEYS_PER_QUERY):
            batch = keys[start : start + KEYS_PER_QUERY]
            columns = [list(column) for column in zip(*batch, strict=True)]
            for place_in_batch, *rest in self._ask(query, columns, sql.table):
                yield (start + place_in_batch - 1, *rest)

    def _ask(self, query: str, values: Sequence[Any], thing: str) -> list[tuple[Any, ...]]:
        """Every row, or an error: a result that ends early is never taken for a whole one."""
        with translated(self._dsn, thing):
            return self._connection.execute(query, values).fetchall()


class Both:
    """Source and target, asked at the same time from two threads."""

    def __init__(self, source: Side, target: Side, scout: Side, pool: ThreadPoolExecutor) -> None:
        self.source = source
        self.target = target
        self.scout = scout
        """A second session on the source: finds the next chunk while this one is read."""
        self._pool = pool

    def start(
        self, source: Callable[[Side], _Answer], target: Callable[[Side], _Answer]
    ) -> tuple[Future[_Answer], Future[_Answer]]:
        return self._pool.submit(source, self.source), self._pool.submit(target, self.target)

    def ask(self, source: Callable[[Side], _Answer], target: Callable[[Side], _Answer]) -> tuple[_Answer, _Answer]:
        return joined(self.start(source, target))


def joined(futures: tuple[Future[_Answer], Future[_Answer]]) -> tuple[_Answer, _Answer]:
    """Both answers, or the first error, in either case after both have ended."""
    wait(futures)
    return futures[0].result(), futures[1].result()


@contextmanager
def open_both(source_dsn: str, target_dsn: str) -> Iterator[Both]:
    """Sessions on both sides. Raises `DatabaseUnreachable`."""
    with ExitStack() as stack, ThreadPoolExecutor(2, "verify") as pool:
        source, target, scout = (_connect(stack, dsn) for dsn in (source_dsn, target_dsn, source_dsn))
        yield Both(source, target, scout, pool)


def _connect(stack: ExitStack, dsn: str) -> Side:
    """With `row_security` off a policy that would hide rows is an error, not a smaller table."""
    options: Mapping[str, str] = {"application_name": "strangler verify"}
    with translated(dsn, "session"):
        connection: Connection = psycopg.connect(
            canonical_conninfo(dsn, **options), autocommit=True, cursor_factory=psycopg.RawCursor
        )
        stack.callback(connection.close)
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET standard_conforming_strings = on")
        connection.execute("SET row_security = off")
        return Side(dsn, connection)


@contextmanager
def translated(dsn: str, thing: str) -> Iterator[None]:
    """Driver errors of a reader as ours."""
    try:
        yield
    except psycopg.Error as error:
        if is_connection_loss(error):
            raise unreachable(dsn, str(error)) from None
        raise ReadFailed(
            thing=f"{thing} in {place(dsn)}",
            reason=redact(str(error).splitlines()[0]),
            mend="grant SELECT on it, or mend what the message says, and verify again; nothing was proven",
        ) from None
