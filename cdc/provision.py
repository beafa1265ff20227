"""Everything a stream needs in its two databases: made idempotently, removed idempotently, found again by name.

Slot, publication, replication origin and rows all carry the stream's one name. The publication is made before the slot
and dropped after it: a slot without its publication means that somebody else removed it, and is refused.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from cdc.bookkeeping import (
    CANARY_TABLE,
    create_source_tables,
    create_target_tables,
    drop_if_unused,
    forget_stream,
    lock_schema,
)
from cdc.connections import CatalogConnection, open_database, place
from cdc.doctor import ORIGIN_MEND, read_server_facts, read_table_facts
from cdc.errors import SlotInUse, SlotMismatch, SourceUnfit, StreamBusy, TargetUnfit
from cdc.events import TableName
from cdc.fitness import judge_source_server, judge_source_tables
from cdc.lsn import Lsn, before_boundary
from cdc.marker_rows import MESSAGE_TABLE
from cdc.schema_changes.partition_guard import guard_partitions, partition_changes, unguard_partitions
from cdc.schema_changes.publication import read_publication
from cdc.server_kinds import is_postgresql
from cdc.server_versions import FAILOVER_SLOTS
from cdc.slot_checks import PLUGIN, START_OVER

PREFIX: Final = "strangler_"
_SLOT_TIMEOUT_S: Final = 120

_OLDEST_TRANSACTION = """
    SELECT pid, extract(epoch FROM now() - xact_start)::int AS age_s
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1
"""

_LOCK_HOLDERS = """
    SELECT DISTINCT pid FROM pg_locks
     WHERE granted AND pid <> pg_backend_pid() AND relation IN (SELECT to_regclass(n) FROM unnest(%s::text[]) AS t (n))
       AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                    'AccessExclusiveLock')
     ORDER BY pid
"""

_SOME_OPEN = "SELECT WHERE pg_snapshot_xmin(pg_current_snapshot()) < %s::xid8"
_OPEN_POLL_S: Final = 0.05

_LEFTOVERS = r"""
    SELECT 'slot' AS kind, slot_name::text AS name FROM pg_replication_slots
     WHERE slot_name LIKE 'strangler\_%' AND database = current_database()
    UNION ALL SELECT 'publication', pubname::text FROM pg_publication WHERE pubname LIKE 'strangler\_%'
    UNION ALL SELECT 'origin', roname FROM pg_replication_origin WHERE roname LIKE 'strangler\_%'
    ORDER BY 1, 2
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """Something named like ours. Origins belong to the whole server, not to one database."""

    kind: Literal["slot", "publication", "origin"]
    name: str


def refuse_unfit_source(dsn: str, stream: str, tables: Sequence[TableName]) -> None:
    """What `provision_source` would refuse, before anything is made elsewhere. Raises `SourceUnfit`, `SlotMismatch`."""
    with open_database(dsn) as connection:
        slot = _slot(connection, stream)
        _refuse_unfit(connection, dsn, tables, needs_slot=slot is None)
        _refuse_foreign(connection, stream, slot)


def provision_source(
    dsn: str,
    stream: str,
    tables: Sequence[TableName],
    *,
    slot_timeout_s: float = _SLOT_TIMEOUT_S,
    failover: bool = False,
) -> Lsn:
    """Publication of exactly `tables`, the canary and the markers, and the slot. Returns where the slot starts.

    Everything that commits after that position will be in the stream: it is the first position of a new ledger. For a
    slot that exists it is how far the slot was confirmed. `failover`: standbys that synchronise slots (PostgreSQL 17
    on) keep a copy, so that the stream outlives a failover; servers before 17 cannot. Raises `SourceUnfit` before
    touching anything when the server or a table cannot be captured, `SlotMismatch` when what exists under this name
    cannot be ours.
    """
    with open_database(dsn) as connection:
        slot = _slot_when_made(connection, stream, slot_timeout_s)
        _refuse_unfit(connection, dsn, tables, needs_slot=slot is None)
        _refuse_foreign(connection, stream, slot)
        create_source_tables(connection)
        with connection.transaction():
            lock_schema(connection)
            guard_partitions(connection, stream, tables)
        before = _publish(connection, stream, [*tables, CANARY_TABLE, MESSAGE_TABLE], slot_timeout_s)
        if slot is not None:
            if not before >= set(tables):
                try:
                    _wait_for_open_transactions(connection, stream, slot_timeout_s)
                except SourceUnfit:
                    # As it was: who tries again has to wait again.
                    _publish(connection, stream, sorted(before), slot_timeout_s)
                    raise
            return before_boundary(int(slot["confirmed"]))
        position = _create_slot(connection, stream, slot_timeout_s, failover=failover)
        # Those that were in use before have ended: the slot waited for them.
        partition_changes(connection, stream)
        return position


def published_tables(dsn: str, stream: str) -> list[TableName]:
    """The tables that the stream's publication has, without ours; none before provisioning."""
    with open_database(dsn) as connection:
        rows = connection.execute(
            "SELECT schemaname AS schema, tablename AS name FROM pg_publication_tables WHERE pubname = %s", [stream]
        )
        found = [TableName(schema=row["schema"], name=row["name"]) for row in rows]
    return [table for table in found if table not in (CANARY_TABLE, MESSAGE_TABLE)]


def provision_target(dsn: str, stream: str) -> None:
    """Bookkeeping tables, the stream's status row and its replication origin. Raises `TargetUnfit`."""
    if not is_postgresql(dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.provision_target(dsn, stream)
    with open_database(dsn) as connection:
        try:
            create_target_tables(connection, stream)
            with connection.transaction():
                lock_schema(connection)
                connection.execute(
                    "SELECT pg_replication_origin_create(name) FROM (SELECT %s::text AS name) AS wanted "
                    "WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = name)",
                    [stream],
                )
        except psycopg.errors.InsufficientPrivilege as error:
            raise TargetUnfit(
                thing=f"role that connects to {place(dsn)}",
                reason=str(error).partition("\n")[0],
                mend=f"grant it CREATE on the database; for replication origins {ORIGIN_MEND}",
            ) from None


def deprovision_source(dsn: str, stream: str) -> None:
    """Drop the stream's slot, publication and rows, whatever of them exists; then our tables if no stream uses them.

    Raises `SlotInUse` when a worker still reads the slot.
    """
    with open_database(dsn) as connection:
        _drop_slot(connection, stream)
        with connection.transaction():
            lock_schema(connection)
            connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(stream)))
            forget_stream(connection, stream)
            unguard_partitions(connection, stream)
            drop_if_unused(connection)


def deprovision_target(dsn: str, stream: str) -> None:
    """Drop the stream's origin and rows, whatever of them exists; then our tables if no stream uses them.

    Raises `StreamBusy` when a worker still applies under the origin.
    """
    if not is_postgresql(dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.deprovision_target(dsn, stream)
    with open_database(dsn) as connection:
        with connection.transaction():
            lock_schema(connection)
            forget_stream(connection, stream)
            drop_if_unused(connection)
        try:
            connection.execute(
                "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = %s", [stream]
            )
        except psycopg.errors.ObjectInUse as error:
            raise StreamBusy(
                thing=f"replication origin {stream}",
                reason=str(error).partition("\n")[0],
                mend="stop the stream worker, then run this again",
            ) from None


def find_leftovers(dsn: str) -> list[Leftover]:
    """Slots and publications of this database, and origins of its server, whose names begin with `strangler_`."""
    with open_database(dsn) as connection:
        return [Leftover(**row) for row in connection.execute(_LEFTOVERS)]


def _refuse_unfit(connection: CatalogConnection, dsn: str, tables: Sequence[TableName], *, needs_slot: bool) -> None:
    findings = judge_source_server(read_server_facts(connection, dsn), needs_slot=needs_slot)
    findings += judge_source_tables(tables, read_table_facts(connection, tables))
    for finding in findings:
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)


def _slot(connection: CatalogConnection, stream: str) -> DictRow | None:
    return connection.execute(
        "SELECT plugin, database, wal_status, confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed, active_pid, "
        "current_database() AS here FROM pg_replication_slots WHERE slot_name = %s",
        [stream],
    ).fetchone()


def _slot_when_made(connection: CatalogConnection, stream: str, timeout_s: float) -> DictRow | None:
    """The server goes on making a slot when whoever asked for it was killed: it is there soon, or gone."""
    deadline_s = time.monotonic() + timeout_s
    while (slot := _slot(connection, stream)) is not None and slot["active_pid"] and slot["confirmed"] is None:
        if time.monotonic() > deadline_s:
            raise _slot_creation_blocked(connection, stream, timeout_s)
        time.sleep(_OPEN_POLL_S)
    return slot


def _refuse_foreign(connection: CatalogConnection, stream: str, slot: DictRow | None) -> None:
    """What is there under this name and is not as we make it."""
    published = connection.execute(
        "SELECT pubviaroot AS via_root FROM pg_publication WHERE pubname = %s", [stream]
    ).fetchone()
    if published is not None and not (published["via_root"] and _is_whole(connection, stream)):
        raise SlotMismatch(
            thing=f"publication {stream}",
            reason="exists with other options than ours, so changes would be left out",
            mend=f"DROP PUBLICATION {stream} if nobody needs it, or give the stream another name",
        )
    if slot is None:
        return
    if slot["plugin"] != PLUGIN or slot["database"] != slot["here"]:
        what = f"plugin {slot['plugin']} in database {slot['database']}" if slot["plugin"] else "physical replication"
        raise SlotMismatch(
            thing=f"replication slot {stream}",
            reason=f"exists for {what}: it is somebody else's",
            mend="give the stream another name, or drop that slot if nobody needs it",
        )
    if slot["wal_status"] == "lost":
        reason = "is lost: the server removed log that it still needed (max_slot_wal_keep_size)"
    elif published is None:
        reason = "exists without its publication, so it has left out changes"
    else:
        return
    raise SlotMismatch(thing=f"replication slot {stream}", reason=reason, mend=START_OVER)


def _publish(
    connection: CatalogConnection, stream: str, tables: Sequence[TableName], timeout_s: float
) -> set[TableName]:
    """Returns what was published before. Waits for others' DDL, VACUUM and the like on the tables, but not for ever."""
    try:
        return _publish_now(connection, stream, tables, timeout_s)
    except psycopg.errors.LockNotAvailable:
        names = [sql.Identifier(table.schema, table.name).as_string(connection) for table in tables]
        holders = [str(row["pid"]) for row in connection.execute(_LOCK_HOLDERS, [names])]
        by = f" by server process {', '.join(holders)}" if holders else ""
        raise SourceUnfit(
            thing=f"publication {stream}",
            reason=f"could not be made within {timeout_s:g} s: a table of it is locked{by}",
            mend="let its DDL, VACUUM or CREATE INDEX end, or end it with pg_terminate_backend, then run this again",
        ) from None


def _publish_now(
    connection: CatalogConnection, stream: str, tables: Sequence[TableName], timeout_s: float
) -> set[TableName]:
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    publication = sql.Identifier(stream)
    with connection.transaction():
        connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(timeout_s * 1000)}ms"])
        lock_schema(connection)
        before = _published(connection, stream)
        if connection.execute("SELECT FROM pg_publication WHERE pubname = %s", [stream]).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
                    publication, names
                )
            )
        elif before != set(tables):
            connection.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, names))
    return before


def _is_whole(connection: CatalogConnection, stream: str) -> bool:
    publication = read_publication(connection, stream)
    tables = (publication.entries or {}).keys()
    return publication.whole and not publication.all_tables and not any(map(publication.left_out, tables))


def _wait_for_open_transactions(connection: CatalogConnection, stream: str, timeout_s: float) -> None:
    """What one wrote to a table before it was published is not sent, even if it commits much later: a copy of the table
    that begins earlier would not see it either."""
    deadline_s = time.monotonic() + timeout_s
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next").fetchone()
    assert row is not None
    while connection.execute(_SOME_OPEN, [row["next"]]).fetchone() is not None:
        if time.monotonic() > deadline_s:
            raise _slot_creation_blocked(connection, stream, timeout_s)
        time.sleep(_OPEN_POLL_S)


def _published(connection: CatalogConnection, publication: str) -> set[TableName]:
    rows = connection.execute(
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_publication p "
        "JOIN pg_publication_rel r ON r.prpubid = p.oid JOIN pg_class c ON c.oid = r.prrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = %s",
        [publication],
    )
    return {TableName(**row) for row in rows}


def _create_slot(connection: CatalogConnection, stream: str, timeout_s: float, *, failover: bool) -> Lsn:
    """Waits for the transactions that are open now, so it has its own time limit."""
    option = ", failover => true" if failover and connection.info.server_version >= FAILOVER_SLOTS * 10_000 else ""
    connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{int(timeout_s * 1000)}ms"])
    try:
        row = connection.execute(
            f"SELECT lsn - '0/0'::pg_lsn AS start FROM pg_create_logical_replication_slot(%s, %s{option})".encode(),
            [stream, PLUGIN],
        ).fetchone()
    except psycopg.errors.QueryCanceled:
        raise _slot_creation_blocked(connection, stream, timeout_s) from None
    assert row is not None
    connection.execute("RESET statement_timeout")
    return before_boundary(int(row["start"]))


def _slot_creation_blocked(connection: CatalogConnection, stream: str, timeout_s: float) -> SourceUnfit:
    connection.execute("RESET statement_timeout")
    oldest = connection.execute(_OLDEST_TRANSACTION).fetchone()
    culprit = "" if oldest is None else f", the oldest in server process {oldest['pid']} since {oldest['age_s']} s"
    return SourceUnfit(
        thing=f"replication slot {stream}",
        reason=f"could not start within {timeout_s:.0f} s because of open write transactions{culprit}",
        mend="let them end, or end them with pg_terminate_backend, then run this again",
    )


def _drop_slot(connection: CatalogConnection, stream: str) -> None:
    try:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = %s AND database = current_database()",
            [stream],
        )
    except psycopg.errors.ObjectInUse as error:
        raise SlotInUse(
            thing=f"replication slot {stream}",
            reason=str(error).partition("\n")[0],
            mend="stop the stream worker, then run this again",
        ) from None
