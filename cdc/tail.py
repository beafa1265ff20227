"""Watch changes as Debezium records, from a stream's change log or from a database.

A change log holds what its retention kept, and needs no connection. A database shows only what commits from now on: a
temporary slot begins where the log is when it is created, and nothing earlier can be asked of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from psycopg import sql

from cdc.changelog.local import LocalChangeLog
from cdc.changelog.port import ChangeLog
from cdc.connections import CatalogConnection, open_database
from cdc.doctor import read_server_facts, read_table_facts
from cdc.envelope import DebeziumRecord, encode
from cdc.errors import SourceUnfit
from cdc.events import TableName, Transaction
from cdc.fitness import judge_source_server, judge_source_tables
from cdc.lsn import ZERO, Lsn, parse_lsn
from cdc.postgres_source import WalStream, start_stream
from cdc.replication_connection import ReplicationConnection
from strangler.clock import Clock, SystemClock

_POLL_S = 0.5

_KEYS = """
    SELECT n.nspname AS schema, c.relname AS name, array_agg(a.attname::text ORDER BY key.position) AS columns
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS key (number, position)
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.number
     WHERE i.indisprimary
       AND (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
     GROUP BY n.nspname, c.relname
"""


def tail_log(
    log: ChangeLog | Path,
    *,
    logical_name: str,
    database: str,
    after: Lsn = ZERO,
    tables: Sequence[TableName] = (),
    until_now: bool = False,
    clock: Clock | None = None,
) -> Iterator[DebeziumRecord]:
    """Records of a stream's change log (or of a local one's folder), whoever writes it meanwhile.

    `after`: 0 means from the oldest that is kept. `tables`: only these; empty means all, messages too. `until_now`:
    stop at the newest transaction that the log had at the start; otherwise follow until the iterator is closed.
    Raises `LogNotFound`, `PositionExpired`, `LogDamaged`.
    """
    clock = clock or SystemClock()
    log = LocalChangeLog(log, read_only=True) if isinstance(log, Path) else log
    end = log.last_lsn() if until_now else None
    position = max(after, log.first_lsn()) if after == ZERO else after
    previous = ZERO
    while True:
        for transaction in log.read(position):
            if end is not None and transaction.commit_lsn > end:
                return
            yield from _records(transaction, logical_name, database, previous, tables, {}, clock)
            position = previous = transaction.commit_lsn
        if end is not None:
            return
        clock.sleep(_POLL_S)


def tail_database(
    dsn: str,
    tables: Sequence[TableName],
    *,
    name: str,
    logical_name: str,
    until_now: bool = False,
    clock: Clock | None = None,
) -> Iterator[DebeziumRecord]:
    """Records of what commits to `tables` from now on, through a temporary slot that no one else sees.

    `name` must be new and begin with `strangler_tail_`: slot and publication are called so, and both are gone when the
    iterator is closed (the slot even after a kill; the publication is then found as a leftover). `until_now`: stop at
    the position the source has once the slot stands, which shows only what committed in that moment. Raises
    `SourceUnfit` when a table cannot be captured, `DatabaseUnreachable`.
    """
    clock = clock or SystemClock()
    with open_database(dsn) as connection:
        _refuse_unfit(connection, dsn, tables)
        keys = _primary_keys(connection, tables)
        database, version = connection.info.dbname, connection.info.server_version // 10_000
        _create_publication(connection, name, tables)
        try:
            stream = _open_temporary(dsn, name, version, clock)
            try:
                end = _current_lsn(connection) if until_now else None
                previous = ZERO
                for transaction in _follow(stream, end):
                    yield from _records(transaction, logical_name, database, previous, tables, keys, clock)
                    previous = transaction.commit_lsn
            finally:
                stream.close()
        finally:
            connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))


def _follow(stream: WalStream, end: Lsn | None) -> Iterator[Transaction]:
    while True:
        for transaction in stream.poll(_POLL_S):
            if end is not None and transaction.commit_lsn >= end:
                return
            yield transaction
            stream.acknowledge(transaction.commit_lsn)
        through = stream.delivered_through.lsn
        if end is not None and through >= end:
            return
        stream.acknowledge(through)


def _open_temporary(dsn: str, name: str, version: int, clock: Clock) -> WalStream:
    """The slot lives and dies with its walsender."""
    connection = ReplicationConnection(dsn)
    try:
        (slot,) = connection.command(f'CREATE_REPLICATION_SLOT "{name}" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT')
        start = parse_lsn(slot["consistent_point"] or "0/0")
    except BaseException:
        connection.close()
        raise
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


def _records(
    transaction: Transaction,
    logical_name: str,
    database: str,
    previous: Lsn,
    tables: Sequence[TableName],
    keys: Mapping[TableName, Sequence[str]],
    clock: Clock,
) -> Iterator[DebeziumRecord]:
    records = encode(
        transaction,
        logical_name=logical_name,
        database=database,
        processed_at_us=int(clock.now().timestamp() * 1_000_000),
        previous_commit_lsn=previous,
        keys=keys,
    )
    topics = {f"{logical_name}.{table.schema}.{table.name}" for table in tables}
    yield from (record for record in records if not topics or record.topic in topics)


def _refuse_unfit(connection: CatalogConnection, dsn: str, tables: Sequence[TableName]) -> None:
    findings = judge_source_server(read_server_facts(connection, dsn), needs_slot=True)
    findings += judge_source_tables(tables, read_table_facts(connection, tables))
    for finding in findings:
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)


def _primary_keys(connection: CatalogConnection, tables: Sequence[TableName]) -> dict[TableName, Sequence[str]]:
    parameters = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    rows = connection.execute(_KEYS, parameters)
    return {TableName(schema=row["schema"], name=row["name"]): row["columns"] for row in rows}


def _create_publication(connection: CatalogConnection, name: str, tables: Sequence[TableName]) -> None:
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    statement = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)")
    connection.execute(statement.format(sql.Identifier(name), names))


def _current_lsn(connection: CatalogConnection) -> Lsn:
    row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn AS lsn").fetchone()
    assert row is not None
    return Lsn(int(row["lsn"]))
