"""Watch transactions, from a stream's change log or from a database.

A change log holds what its retention kept, and needs no connection. A database shows what commits from now on: a
temporary slot begins where the log is when it is created, and nothing earlier can be asked of it. What is in the tables
then can come first, as rows that were read (`r`), from the slot's own snapshot: nothing is missing in between, and
nothing comes twice.
"""

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from cdc.changelog.local import LocalChangeLog
from cdc.changelog.port import ChangeLog
from cdc.connections import CatalogConnection, canonical_conninfo, open_database, reaching
from cdc.debezium.catalog_reader import read_relations
from cdc.doctor import read_server_facts, read_table_facts
from cdc.errors import SourceUnfit
from cdc.events import Change, Message, Relation, RowChange, TableName, Transaction, Truncate
from cdc.fitness import judge_source_server, judge_source_tables
from cdc.insert_run import ChangesInRuns, Run, runs_of
from cdc.lsn import ZERO, Lsn, before_boundary, parse_lsn
from cdc.postgres_source import WalStream, start_stream
from cdc.replication_connection import ReplicationConnection
from cdc.schema_changes.publication import read_publication
from strangler.clock import Clock, SystemClock

_POLL_S = 0.5
_LOOK_S: Final = 2.0
_SNAPSHOT_ROWS: Final = 1000


def tail_log(
    log: ChangeLog | Path,
    *,
    after: Lsn = ZERO,
    tables: Sequence[TableName] = (),
    until_now: bool = False,
    clock: Clock | None = None,
) -> Generator[Transaction, None, None]:
    """Transactions of a stream's change log (or of a local one's folder), whoever writes it meanwhile.

    `after`: 0 means from the oldest that is kept. `tables`: only their rows; empty means all, messages too.
    `until_now`: stop at the newest transaction that the log had at the start; otherwise follow until the iterator is
    closed. Raises `LogNotFound`, `PositionExpired`, `LogDamaged`.
    """
    clock = clock or SystemClock()
    log = LocalChangeLog(log, read_only=True) if isinstance(log, Path) else log
    end = log.last_lsn() if until_now else None
    position = max(after, log.first_lsn()) if after == ZERO else after
    while True:
        for transaction in log.read(position):
            if end is not None and transaction.commit_lsn > end:
                return
            position = transaction.commit_lsn
            if not tables:
                yield transaction
            elif (wanted := _of_tables(transaction, tables)) is not None:
                yield wanted
        if end is not None:
            return
        clock.sleep(_POLL_S)


def tail_database(
    dsn: str,
    tables: Sequence[TableName],
    *,
    name: str,
    snapshot: bool = False,
    until_now: bool = False,
    clock: Clock | None = None,
) -> Generator[Transaction, None, None]:
    """What commits to `tables` from now on, through a temporary slot that no one else sees; messages are left out.

    `name` must be new and begin with `strangler_tail_`: slot and publication are called so, and both are gone when the
    iterator is closed (the slot even after a kill; the publication is then found as a leftover). `snapshot`: first the
    rows that are there, as transactions without id, `r`. `until_now`: stop at the position the source has once the slot
    stands and the snapshot has been read. Raises `SourceUnfit` when a table cannot be captured, or not any more,
    `DatabaseUnreachable`.
    """
    clock = clock or SystemClock()
    with open_database(dsn) as connection:
        _refuse_unfit(connection, dsn, tables)
        version = connection.info.server_version // 10_000
        _create_publication(connection, name, tables)
        try:
            still_sent = _StillSent(connection, dsn, name, tables)
            with _temporary_slot(dsn, name) as (replication, start, exported):
                reader = _snapshot(dsn, exported, start, tables, clock) if snapshot else iter(())
                first = next(reader, None)  # imports the snapshot, which the next walsender command ends
                stream = _start(dsn, replication, name, start, version, clock)
                try:
                    if first is not None:
                        for rows in reader:
                            yield rows
                            stream.report()  # a long snapshot must not look like a dead receiver
                    end = _current_lsn(connection) if until_now else None
                    for transaction in _follow(stream, end, still_sent, clock):
                        if (wanted := _of_tables(transaction, tables)) is not None:
                            yield wanted
                finally:
                    stream.close()
        finally:
            connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))


class _ChangesOf(ChangesInRuns):
    """The changes of some tables, looked at as they are asked for: those of a huge transaction lie on disk."""

    def __init__(self, changes: Collection[Change], tables: frozenset[TableName]) -> None:
        self._changes, self._tables = changes, tables

    def __len__(self) -> int:
        return sum(len(part) if isinstance(part, Run) else 1 for part in self.runs())

    def runs(self) -> Iterator[Change | Run]:
        return (part for part in runs_of(self._changes) if self._is_wanted(part))

    def _is_wanted(self, part: Change | Run) -> bool:
        if isinstance(part, Message):
            return False
        if isinstance(part, Truncate):
            return any(relation.table in self._tables for relation in part.relations)
        return part.relation.table in self._tables


def _of_tables(transaction: Transaction, tables: Sequence[TableName]) -> Transaction | None:
    """The transaction as far as it concerns `tables`; None when it does not."""
    changes = _ChangesOf(transaction.changes, frozenset(tables))
    return replace(transaction, changes=changes) if next(changes.runs(), None) is not None else None


class _StillSent:
    """A server says nothing when a table is not published any more, or not under its name."""

    def __init__(self, connection: CatalogConnection, dsn: str, name: str, tables: Sequence[TableName]) -> None:
        self._connection, self._dsn, self._name, self._tables = connection, dsn, name, tables
        self._entries = {table: self._entry(table) for table in tables}

    def demand(self) -> None:
        """Raises `SourceUnfit` for the first table whose changes may be missing, `DatabaseUnreachable`."""
        with reaching(self._dsn):
            publication = read_publication(self._connection, self._name)
            for table, (oid, entry) in self._entries.items():
                reason = publication.left_out(oid)
                if self._entry(table)[0] != oid:
                    reason = "was dropped or renamed"
                elif reason is None and publication.entry(oid) != entry:
                    reason = "was taken out of the publication for a time"
                if reason is not None:
                    raise SourceUnfit(
                        thing=f"table {table}",
                        reason=f"{reason}; its events end somewhere before",
                        mend="see who changes it, then start this command anew",
                    )

    def _entry(self, table: TableName) -> tuple[int, int]:
        """Its object id, 0 when there is no such table, and its entry in the publication."""
        row = self._connection.execute(
            "SELECT c.oid::bigint AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s",
            [table.schema, table.name],
        ).fetchone()
        oid = int(row["oid"]) if row else 0
        return oid, read_publication(self._connection, self._name).entry(oid)


def _follow(stream: WalStream, end: Lsn | None, still_sent: _StillSent, clock: Clock) -> Iterator[Transaction]:
    looked_s = clock.monotonic()
    while True:
        for transaction in stream.poll(_POLL_S):
            if end is not None and transaction.commit_lsn > end:
                still_sent.demand()
                return
            yield transaction
            stream.acknowledge(transaction.commit_lsn)
        through = stream.delivered_through.lsn
        if end is not None and through >= end:
            still_sent.demand()
            return
        stream.acknowledge(through)
        if clock.monotonic() - looked_s >= _LOOK_S:
            still_sent.demand()
            looked_s = clock.monotonic()


@contextmanager
def _temporary_slot(dsn: str, name: str) -> Iterator[tuple[ReplicationConnection, Lsn, str]]:
    """The slot lives and dies with its walsender. Its snapshot lives until the walsender's next command."""
    connection = ReplicationConnection(dsn)
    try:
        (slot,) = connection.command(f'CREATE_REPLICATION_SLOT "{name}" TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT')
        yield connection, parse_lsn(slot["consistent_point"] or "0/0"), slot["snapshot_name"] or ""
    finally:
        connection.close()


def _start(dsn: str, connection: ReplicationConnection, name: str, start: Lsn, version: int, clock: Clock) -> WalStream:
    return start_stream(
        dsn,
        connection,
        slot=name,
        publication=name,
        after=start,
        acknowledged=start,
        server_version=version,
        clock=clock,
    )


def _snapshot(dsn: str, exported: str, start: Lsn, tables: Sequence[TableName], clock: Clock) -> Iterator[Transaction]:
    """The rows as they were when the slot was made. The first item is empty: the snapshot has been taken over."""
    with (
        reaching(dsn),
        psycopg.connect(canonical_conninfo(dsn)) as connection,
    ):
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
        yield _rows_read((), start, clock)
        for relation in read_relations(connection, tables):
            for rows in _read(connection, relation):
                yield _rows_read([RowChange(relation=relation, op="r", new=row) for row in rows], start, clock)


def _read(connection: psycopg.Connection[Any], relation: Relation) -> Iterator[list[tuple[str | None, ...]]]:
    """Text forms, a thousand rows at a time: the output function's, which a cast to text is not for every type."""
    for column in relation.columns:
        connection.adapters.register_loader(column.type_oid, TextLoader)
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in relation.columns)
    table = sql.Identifier(relation.schema, relation.name)
    with connection.cursor(name="strangler_tail") as cursor:
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(names, table))
        while rows := cursor.fetchmany(_SNAPSHOT_ROWS):
            yield rows


def _rows_read(changes: Sequence[RowChange], start: Lsn, clock: Clock) -> Transaction:
    at_us = int(clock.now().timestamp() * 1_000_000)
    return Transaction(xid=0, commit_lsn=start, end_lsn=start, commit_time_us=at_us, changes=tuple(changes))


def _refuse_unfit(connection: CatalogConnection, dsn: str, tables: Sequence[TableName]) -> None:
    findings = judge_source_server(read_server_facts(connection, dsn), needs_slot=True)
    findings += judge_source_tables(tables, read_table_facts(connection, tables))
    for finding in findings:
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)


def _create_publication(connection: CatalogConnection, name: str, tables: Sequence[TableName]) -> None:
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    statement = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)")
    connection.execute(statement.format(sql.Identifier(name), names))


def _current_lsn(connection: CatalogConnection) -> Lsn:
    """What has been committed by now, as a ledger position."""
    row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS lsn").fetchone()
    assert row is not None
    return before_boundary(Lsn(int(row["lsn"])))
