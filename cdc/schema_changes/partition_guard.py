"""What the stream of a partitioned table does not say is kept in its database, in the transaction that does it.

No event comes of rows that a partition brings when it is attached, of those that leave with one that is detached or
dropped, of a single partition that is truncated, and of any change of one that is unlogged or foreign. Triggers on the
partitions see the truncation, an event trigger sees the others (where the role may make one; otherwise a comparison of
catalogs, made again and again), and each leaves a row in `strangler.partition_change`. Whoever reads those rows stops
the table. A partition without rows is nobody's loss, so the daily making of new ones stops nothing, nor does detaching
one whose rows were deleted before.

Servers before 15 go on decoding a table as what it was when they first saw it: there the stream's publication is
written anew, which makes the server forget what it knew, from exactly that commit on.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from cdc.connections import CatalogConnection
from cdc.errors import StreamBusy
from cdc.events import TableName

_DROP_ATTEMPTS, _DROP_PAUSE_S = 30, 0.3
_EVENT_TRIGGER: Final = "strangler_partitions"
_TRIGGERS: Final = {
    "{leaf}": "strangler_part_emptied",
    "{before}": "strangler_root_emptied",
    "{after}": "strangler_root_was_emptied",
}
_TABLES: Final = ("partition_change", "partition", "partitioned")
_FUNCTIONS: Final = ("partition_ddl()", "partition_emptied()", "root_emptied()", "note_partitions(boolean)",
                     "has_rows(oid)")  # fmt: skip

_CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS strangler.partitioned (
        stream text NOT NULL,
        root oid NOT NULL,
        noted boolean NOT NULL DEFAULT false,
        PRIMARY KEY (stream, root)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS strangler.partition (
        stream text NOT NULL,
        root oid NOT NULL,
        leaf oid NOT NULL,
        link text NOT NULL,
        name text NOT NULL,
        PRIMARY KEY (stream, root, leaf)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS strangler.partition_change (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream text NOT NULL,
        root oid NOT NULL,
        what text NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    # A doubt is a yes: an older snapshot does not see what others committed, and policies may hide rows.
    """
    CREATE OR REPLACE FUNCTION strangler.has_rows(part oid) RETURNS boolean LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET row_security = off AS $$
    DECLARE
        found boolean := true;
    BEGIN
        IF pg_relation_size(part) = 0 THEN
            RETURN false;
        END IF;
        IF current_setting('transaction_isolation') = 'read committed' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', part::regclass) INTO found;
        END IF;
        RETURN found;
    EXCEPTION WHEN insufficient_privilege OR lock_not_available OR wrong_object_type THEN
        RETURN true;
    END $$
    """,
    # `everywhere`: also give partitions that are not new the trigger that they lack, for which each is locked.
    # Catalogs only, no pg_partition_tree: that locks every partition, and this runs inside other people's DDL.
    r"""
    CREATE OR REPLACE FUNCTION strangler.note_partitions(everywhere boolean) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
    DECLARE
        seen record;
        changed text[] := '{}';
        fresh oid[] := '{}';
    BEGIN
        IF pg_is_in_recovery() THEN
            RETURN;
        END IF;
        FOR seen IN
            WITH RECURSIVE tree AS (
                SELECT p.stream, p.root, p.root AS part, '' AS link FROM strangler.partitioned p
                UNION ALL
                SELECT t.stream, t.root, i.inhrelid, t.link || i.xmin::text || ' '
                  FROM tree t JOIN pg_inherits i ON i.inhparent = t.part
            ), now AS (
                SELECT t.stream, t.root, t.part AS leaf, t.link, t.part::regclass::text AS name
                  FROM tree t JOIN pg_class c ON c.oid = t.part
                 WHERE t.part <> t.root AND c.relkind <> 'p'
            )
            SELECT stream, root, leaf, n.link AS link, k.link AS was, coalesce(n.name, k.name) AS name
              FROM now n FULL JOIN strangler.partition k USING (stream, root, leaf)
             WHERE n.link IS DISTINCT FROM k.link
        LOOP
            IF EXISTS (SELECT FROM strangler.partitioned p
                        WHERE p.stream = seen.stream AND p.root = seen.root AND p.noted) THEN
                changed := changed || seen.stream;
                IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = seen.leaf) THEN
                    INSERT INTO strangler.partition_change (stream, root, what)
                    VALUES (seen.stream, seen.root, 'partition ' || seen.name || ' was dropped');
                ELSIF strangler.has_rows(seen.leaf) THEN
                    INSERT INTO strangler.partition_change (stream, root, what)
                    VALUES (seen.stream, seen.root, 'partition ' || seen.name || ' was ' || CASE
                        WHEN seen.link IS NULL THEN 'detached with its rows'
                        WHEN seen.was IS NULL THEN 'attached with rows'
                        ELSE 'detached and attached' END);
                END IF;
            END IF;
            DELETE FROM strangler.partition k
             WHERE k.stream = seen.stream AND k.root = seen.root AND k.leaf = seen.leaf;
            IF seen.link IS NOT NULL THEN
                fresh := fresh || seen.leaf;
                INSERT INTO strangler.partition (stream, root, leaf, link, name)
                VALUES (seen.stream, seen.root, seen.leaf, seen.link, seen.name) ON CONFLICT DO NOTHING;
            END IF;
        END LOOP;
        INSERT INTO strangler.partition_change (stream, root, what)
        SELECT n.* FROM (
            SELECT k.stream, k.root, 'partition ' || k.name || ' is unlogged or foreign: its changes are not logged'
              FROM strangler.partition k JOIN strangler.partitioned p ON p.stream = k.stream AND p.root = k.root
              JOIN pg_class c ON c.oid = k.leaf
             WHERE p.noted AND (c.relpersistence <> 'p' OR c.relkind = 'f')
        ) AS n (stream, root, what) WHERE NOT EXISTS (
            SELECT FROM strangler.partition_change x
             WHERE x.stream = n.stream AND x.root = n.root AND x.what = n.what);
        UPDATE strangler.partitioned SET noted = true WHERE NOT noted;
        FOR seen IN
            SELECT w.* FROM (
                SELECT DISTINCT leaf::regclass AS name, '{leaf}' AS trigger, 'BEFORE' AS moment,
                       'partition_emptied' AS function FROM strangler.partition
                UNION SELECT root::regclass, '{before}', 'BEFORE', 'root_emptied' FROM strangler.partitioned
                UNION SELECT root::regclass, '{after}', 'AFTER', 'root_emptied' FROM strangler.partitioned
            ) AS w JOIN pg_class c ON c.oid = w.name
             WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = w.name AND g.tgname = w.trigger)
               AND (everywhere OR w.name = ANY (fresh)) ORDER BY random()
        LOOP
            BEGIN
                EXECUTE format('CREATE TRIGGER %I %s TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION strangler.%I()',
                               seen.trigger, seen.moment, seen.name, seen.function);
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', seen.name, seen.trigger);
            EXCEPTION
                WHEN insufficient_privilege OR wrong_object_type OR undefined_table THEN
                    NULL; -- not ours: verification only
                WHEN lock_not_available THEN
                    EXIT; -- the others must not stay locked while we wait for more that are in use: at the next look
            END;
        END LOOP;
        -- A partition does not inherit it, and without it the server would refuse the application's updates.
        FOR seen IN
            SELECT DISTINCT k.leaf::regclass AS name FROM strangler.partition k
              JOIN pg_class c ON c.oid = k.leaf JOIN pg_class r ON r.oid = k.root
             WHERE r.relreplident = 'f' AND c.relreplident = 'd' AND c.relkind = 'r'
               AND (everywhere OR k.leaf = ANY (fresh))
               AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)
        LOOP
            BEGIN
                EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', seen.name);
            EXCEPTION WHEN insufficient_privilege OR undefined_table OR lock_not_available OR object_in_use THEN
                NULL; -- not ours, or in use: at the next look
            END;
        END LOOP;
        IF current_setting('server_version_num')::int < 150000 THEN
            FOR seen IN SELECT DISTINCT pubname FROM pg_publication WHERE pubname = ANY (changed) LOOP
                EXECUTE format('ALTER PUBLICATION %I SET (publish = ''insert, update, delete, truncate'')',
                               seen.pubname);
            END LOOP;
        END IF;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION strangler.partition_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        IF tg_tag = 'CREATE TABLE' AND NOT EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid WHERE c.relispartition
        ) THEN
            RETURN;
        END IF;
        PERFORM strangler.note_partitions(false);
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION strangler.root_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_catalog.set_config(
            'strangler.emptying_' || TG_RELID, CASE TG_WHEN WHEN 'BEFORE' THEN 'yes' ELSE '' END, true);
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION strangler.partition_emptied() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        INSERT INTO strangler.partition_change (stream, root, what)
        SELECT k.stream, k.root, 'partition ' || TG_RELID::regclass::text || ' was truncated by itself'
          FROM strangler.partition k
         WHERE k.leaf = TG_RELID AND strangler.has_rows(TG_RELID)
           AND coalesce(current_setting('strangler.emptying_' || k.root, true), '') <> 'yes';
        RETURN NULL;
    END $$
    """,
)

_CREATE_EVENT_TRIGGER: Final = f"""
    CREATE EVENT TRIGGER {_EVENT_TRIGGER} ON ddl_command_end
      WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'CREATE SCHEMA', 'DROP SCHEMA', 'DROP OWNED')
   EXECUTE FUNCTION strangler.partition_ddl()
"""

_IS_HERE: Final = "SELECT to_regclass('strangler.partitioned') IS NOT NULL AS it"

_STRAY_TRIGGERS: Final = """
    SELECT n.nspname AS schema, c.relname AS name, g.tgname AS trigger
      FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE g.tgname = ANY (%s) AND NOT EXISTS (SELECT FROM strangler.partition k WHERE k.leaf = g.tgrelid)
       AND NOT EXISTS (SELECT FROM strangler.partitioned p WHERE p.root = g.tgrelid)
"""

_STATE: Final = """
    SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = %(event)s AND evtenabled <> 'D') AS sees_ddl,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
             OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                                              AND pg_has_role(oid, 'MEMBER')) AS may_see_ddl
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionChange:
    """Rows of `table` came or went with a whole partition, and no event said so. `id`: of the note of it."""

    id: int
    table: TableName
    root: int
    what: str


def guard_partitions(connection: CatalogConnection, stream: str, tables: Sequence[TableName]) -> None:
    """Watch the partitions of those of `tables` that are partitioned. In a transaction that holds `lock_schema`.

    Idempotent; takes a lock of each partition that is new to us for a moment, and leaves what is in use to a later
    `partition_changes`.
    """
    names = {"schemas": [table.schema for table in tables], "names": [table.name for table in tables]}
    roots = [
        row["oid"]
        for row in connection.execute(
            "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'p'"
            " AND (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))",
            names,
        )
    ]
    if not roots and not _is_here(connection):
        return
    for statement in _CREATE:
        for mark, name in _TRIGGERS.items():
            statement = statement.replace(mark, name)
        connection.execute(statement.encode())
    for name in ("partition_change", "partition", "partitioned"):
        connection.execute(
            f"DELETE FROM strangler.{name} WHERE stream = %s AND root <> ALL (%s::oid[])".encode(), [stream, roots]
        )
    connection.execute(
        "INSERT INTO strangler.partitioned (stream, root) SELECT %s, unnest(%s::oid[]) ON CONFLICT DO NOTHING",
        [stream, roots],
    )
    connection.execute("SELECT strangler.note_partitions(true)")
    if roots:
        _watch_ddl(connection)


def partition_changes(connection: CatalogConnection, stream: str) -> list[PartitionChange]:
    """What happened since the table was provisioned or a person last accepted it, oldest first."""
    if not _is_here(connection):
        return []
    connection.execute("SELECT strangler.note_partitions(true)")
    rows = connection.execute(
        "SELECT p.id, p.root::int8 AS root, p.what, n.nspname AS schema, c.relname AS name"
        "  FROM strangler.partition_change p JOIN pg_class c ON c.oid = p.root"
        "  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.stream = %s ORDER BY p.id",
        [stream],
    )
    return [
        PartitionChange(
            id=row["id"], root=row["root"], what=row["what"], table=TableName(schema=row["schema"], name=row["name"])
        )
        for row in rows
    ]


def forget_changes(connection: CatalogConnection, changes: Sequence[PartitionChange]) -> None:
    """They are kept elsewhere now."""
    connection.execute(
        "DELETE FROM strangler.partition_change WHERE id = ANY (%s)", [[change.id for change in changes]]
    )


def unguarded(connection: CatalogConnection, stream: str) -> list[str]:
    """Partitions of which a truncation would not be noticed: they are not this role's, or were in use all the time."""
    if not _is_here(connection):
        return []
    rows = connection.execute(
        "SELECT DISTINCT k.name FROM strangler.partition k WHERE k.stream = %s AND NOT EXISTS"
        " (SELECT FROM pg_trigger g WHERE g.tgrelid = k.leaf AND g.tgname = %s) ORDER BY 1",
        [stream, _TRIGGERS["{leaf}"]],
    )
    return [str(row["name"]) for row in rows]


def sees_ddl(connection: CatalogConnection) -> tuple[bool, bool]:
    """(an event trigger of ours is there, this role may make one)."""
    row = connection.execute(_STATE, {"event": _EVENT_TRIGGER}).fetchone()
    assert row is not None
    return bool(row["sees_ddl"]), bool(row["may_see_ddl"])


def unguard_partitions(connection: CatalogConnection, stream: str) -> None:
    """Take back what `guard_partitions` made, as far as no other stream needs it. In a transaction, as there."""
    if not _is_here(connection):
        return
    for name in _TABLES:
        connection.execute(f"DELETE FROM strangler.{name} WHERE stream = %s".encode(), [stream])
    for row in connection.execute(_STRAY_TRIGGERS, [list(_TRIGGERS.values())]).fetchall():
        _drop_trigger(connection, row["trigger"], TableName(schema=row["schema"], name=row["name"]))
    if connection.execute("SELECT FROM strangler.partitioned LIMIT 1").fetchone() is not None:
        return
    connection.execute(f"DROP EVENT TRIGGER IF EXISTS {_EVENT_TRIGGER}".encode())
    for name in _FUNCTIONS:
        connection.execute(f"DROP FUNCTION strangler.{name}".encode())
    for name in _TABLES:
        connection.execute(f"DROP TABLE strangler.{name}".encode())


def _drop_trigger(connection: CatalogConnection, trigger: str, table: TableName) -> None:
    """Others of the table wait as long as we do, so we wait a little, again and again."""
    drop = sql.SQL("DROP TRIGGER {} ON {}").format(sql.Identifier(trigger), sql.Identifier(table.schema, table.name))
    for _ in range(_DROP_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '200ms'")
                connection.execute(drop)
                connection.execute("SET LOCAL lock_timeout TO DEFAULT")
            return
        except psycopg.errors.LockNotAvailable:
            time.sleep(_DROP_PAUSE_S)
    raise StreamBusy(
        thing=f"partition {table}",
        reason="is in use by other sessions, so our trigger on it could not be dropped",
        mend="end them, or wait for them (pg_stat_activity, pg_locks); then run this again",
    )


def _watch_ddl(connection: CatalogConnection) -> None:
    """Only a superuser, or what a managed service has in its place, may make an event trigger."""
    if sees_ddl(connection)[0]:
        return
    try:
        with connection.transaction():
            connection.execute(_CREATE_EVENT_TRIGGER.encode())
            connection.execute(f"ALTER EVENT TRIGGER {_EVENT_TRIGGER} ENABLE ALWAYS".encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.DuplicateObject):
        return


def _is_here(connection: CatalogConnection) -> bool:
    row = connection.execute(_IS_HERE).fetchone()
    return row is not None and bool(row["it"])
