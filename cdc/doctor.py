"""Can these databases be captured and written to? Reads facts, reports findings, never raises on an unfit database."""

from collections.abc import Sequence

import psycopg

from cdc.connections import CatalogConnection, open_database, place
from cdc.errors import DatabaseUnreachable
from cdc.events import TableName
from cdc.fitness import (
    Finding,
    ServerFacts,
    SlotFacts,
    TableFacts,
    judge_any_server,
    judge_slot,
    judge_source_server,
    judge_source_tables,
)
from cdc.replication_connection import ReplicationConnection
from cdc.schema_changes.partition_guard import sees_ddl, unguarded
from cdc.slot_checks import LOG_END
from strangler.errors import StranglerError

_SERVER = """
    SELECT current_user AS role, current_setting('server_version_num')::int / 10000 AS version,
           current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS in_recovery,
           current_setting('wal_level') AS wal_level,
           (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
             OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'azure_pg_admin')
                                              AND pg_has_role(oid, 'MEMBER')) AS may_replicate,
           has_database_privilege(current_database(), 'CREATE') AS may_create_in_database,
           (SELECT count(*) FROM pg_replication_slots) AS slots_used,
           current_setting('max_replication_slots')::int AS slots_limit,
           (SELECT count(*) FROM pg_stat_replication) AS senders_used,
           current_setting('max_wal_senders')::int AS senders_limit,
           (SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc
             WHERE proname = 'pg_logical_emit_message') AS may_emit_messages
"""

_TABLES = """
    SELECT n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident,
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate) AS has_key,
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate)
             AS has_deferrable_key,
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid) AS has_index,
           current_setting('server_version_num')::int >= 180000
             AND EXISTS (SELECT FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident
                          WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped
                            AND (c.relreplident = 'f' OR c.relreplident = 'i' AND a.attnum = ANY (i.indkey)))
             AS identity_is_generated,
           pg_has_role(c.relowner, 'USAGE') AS is_owned,
           has_table_privilege(c.oid, 'SELECT') AS is_readable,
           c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) AS has_heirs,
           row_security_active(c.oid) AS hides_rows,
           EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS is_subscribed,
           ARRAY(SELECT p.relid::oid FROM pg_partition_tree(c.oid) p
                  WHERE c.relkind = 'p' AND p.isleaf AND p.relid <> c.oid) AS partitions,
           c.oid
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND ((n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
            OR c.oid = ANY (%(oids)s::oid[]))
"""

_SLOT = f"""
    SELECT plugin, wal_status, pg_wal_lsn_diff({LOG_END}, restart_lsn)::bigint AS retained_bytes,
           (to_jsonb(slots) ->> 'failover')::boolean AS failover
      FROM pg_replication_slots AS slots WHERE slot_name = %(stream)s
"""

_ORIGIN_FUNCTIONS = """
    SELECT bool_and(has_function_privilege(oid, 'EXECUTE'))
           AND (current_setting('server_version_num')::int >= 140000
                OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)) AS may
      FROM pg_proc WHERE proname IN ('pg_replication_origin_create', 'pg_replication_origin_drop',
                                     'pg_replication_origin_session_setup', 'pg_replication_origin_oid')
"""

ORIGIN_MEND = (
    "use a superuser, or (PostgreSQL 14 on) run GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), "
    "pg_replication_origin_drop(text), pg_replication_origin_oid(text), "
    "pg_replication_origin_session_setup, pg_replication_origin_session_reset(), "
    "pg_replication_origin_xact_setup TO the role"
)


def examine_source(dsn: str, tables: Sequence[TableName], *, stream: str | None = None) -> list[Finding]:
    """Every need of capturing `tables`, met or not. With `stream`, also the state of its slot."""
    try:
        with open_database(dsn) as connection:
            findings = [_connected(dsn)]
            facts = read_server_facts(connection, dsn)
            slot = connection.execute(_SLOT.encode(), {"stream": stream}).fetchone()
            findings += judge_source_server(facts, needs_slot=slot is None)
            table_facts = read_table_facts(connection, tables)
            findings += judge_source_tables(tables, table_facts)
            if any(fact.kind == "p" for fact in table_facts.values()):
                findings.append(_partitions(connection, dsn, stream))
            if slot is not None and stream is not None:
                findings.append(judge_slot(stream, SlotFacts(**slot)))
    except DatabaseUnreachable as error:
        return [_not_connected(error)]
    findings.append(_try_replication(dsn))
    return findings


def examine_target(dsn: str, tables: Sequence[TableName] = ()) -> list[Finding]:
    """Every need of applying a stream into `tables`, met or not."""
    try:
        with open_database(dsn) as connection:
            findings = [_connected(dsn), *judge_any_server(read_server_facts(connection, dsn))]
            findings.append(_try_replica_role(connection, dsn))
            findings.append(_origin_privilege(connection, dsn))
            findings += [_judge_target_table(connection, table) for table in tables]
    except DatabaseUnreachable as error:
        return [_not_connected(error)]
    return findings


def read_server_facts(connection: CatalogConnection, dsn: str) -> ServerFacts:
    """What `judge_source_server` needs, in one query."""
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return ServerFacts(place=place(dsn), **row)


def read_table_facts(connection: CatalogConnection, tables: Sequence[TableName]) -> dict[TableName, TableFacts]:
    """Facts of the tables that exist and are visible, partitions included."""
    parameters = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    rows = connection.execute(_TABLES, {**parameters, "oids": []}).fetchall()
    leaf_oids = [oid for row in rows for oid in row["partitions"]]
    leaves = {}
    if leaf_oids:
        found = connection.execute(_TABLES, {"schemas": [], "names": [], "oids": leaf_oids}).fetchall()
        leaves = {row["oid"]: _table_facts(row, {}) for row in found}
    facts = [_table_facts(row, leaves) for row in rows]
    return {fact.name: fact for fact in facts}


def _table_facts(row: dict[str, object], leaves: dict[int, TableFacts]) -> TableFacts:
    partitions = row["partitions"]
    assert isinstance(partitions, list)
    return TableFacts(
        name=TableName(schema=str(row["nspname"]), name=str(row["relname"])),
        kind=str(row["relkind"]),
        persistence=str(row["relpersistence"]),
        replica_identity=str(row["relreplident"]),
        has_primary_key=bool(row["has_key"]),
        has_deferrable_key=bool(row["has_deferrable_key"]),
        identity_index_usable=bool(row["has_index"]),
        identity_is_generated=bool(row["identity_is_generated"]),
        is_owned=bool(row["is_owned"]),
        is_readable=bool(row["is_readable"]),
        has_heirs=bool(row["has_heirs"]),
        hides_rows=bool(row["hides_rows"]),
        is_subscribed=bool(row["is_subscribed"]),
        partitions=tuple(leaves[oid] for oid in partitions if oid in leaves),
    )


def _try_replication(dsn: str) -> Finding:
    thing = f"replication connection to {place(dsn)}"
    try:
        connection = ReplicationConnection(dsn)
        try:
            connection.command("IDENTIFY_SYSTEM")
        finally:
            connection.close()
    except StranglerError as error:
        return Finding(
            check="replication_connection",
            ok=False,
            thing=thing,
            reason=error.reason,
            mend="allow it in pg_hba.conf for this database and role, grant REPLICATION, and connect to PostgreSQL "
            "itself rather than through a pooler",
        )
    return Finding(check="replication_connection", ok=True, thing=thing, reason="accepted")


def _try_replica_role(connection: CatalogConnection, dsn: str) -> Finding:
    thing = f"session_replication_role at {place(dsn)}"
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return Finding(
            check="replica_role",
            ok=False,
            thing=thing,
            reason="may not be set by this role",
            mend="use a superuser, or (PostgreSQL 15 on) GRANT SET ON PARAMETER session_replication_role TO the role",
        )
    return Finding(check="replica_role", ok=True, thing=thing, reason="may be set")


def _origin_privilege(connection: CatalogConnection, dsn: str) -> Finding:
    row = connection.execute(_ORIGIN_FUNCTIONS).fetchone()
    ok = row is not None and bool(row["may"])
    return Finding(
        check="replication_origin",
        ok=ok,
        thing=f"replication origins at {place(dsn)}",
        reason="may be created" if ok else "may not be created by this role",
        mend="" if ok else ORIGIN_MEND,
    )


def _judge_target_table(connection: CatalogConnection, table: TableName) -> Finding:
    facts = read_table_facts(connection, [table]).get(table)
    if facts is not None and facts.kind in "rp" and not facts.has_deferrable_key:
        by = "by key" if facts.has_primary_key else "row by row: it has no primary key"
        return Finding(check="table", ok=True, thing=f"table {table}", reason=f"can be written to {by}")
    return Finding(
        check="table",
        ok=False,
        thing=f"table {table}",
        reason="does not exist" if facts is None else "has no primary key, or a deferrable one",
        mend="run the service's own migrations first" if facts is None else "add a primary key in a migration",
    )


def _partitions(connection: CatalogConnection, dsn: str, stream: str | None) -> Finding:
    """Both are fit: one is later, and knows less."""
    there, may = sees_ddl(connection)
    reason = (
        "whatever no event says of partitions (ATTACH, DETACH, DROP, TRUNCATE of one) is noticed at once"
        if there or may
        else "this role may not make an event trigger: ATTACH, DETACH and DROP of one are noticed within seconds "
        "while the worker runs, but rows of one that came and went in between only by verification"
    )
    if stream is not None and (missing := unguarded(connection, stream)):
        reason += f"; a truncation of {', '.join(missing)} only by verification: not this role's, or always in use"
    return Finding(check="partitions", ok=True, thing=f"partitioned tables at {place(dsn)}", reason=reason)


def _connected(dsn: str) -> Finding:
    return Finding(check="connect", ok=True, thing=f"database {place(dsn)}", reason="answers")


def _not_connected(error: DatabaseUnreachable) -> Finding:
    return Finding(check="connect", ok=False, thing=error.thing, reason=error.reason, mend=error.mend)
