"""The tables of schema `strangler` that the streams keep, in both databases. The one place that has their DDL.

`migration_plans` adds its own `strangler.ownership` to the same schema.
"""

from typing import Final

from cdc.connections import CatalogConnection
from cdc.events import TableName
from cdc.marker_rows import MESSAGE_TABLE

CANARY_TABLE: Final = TableName(schema="strangler", name="canary")

_SCHEMA = "CREATE SCHEMA IF NOT EXISTS strangler"

_CANARY = """
    CREATE TABLE IF NOT EXISTS strangler.canary (
        stream text PRIMARY KEY,
        token text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    )
"""

_MESSAGE = """
    CREATE TABLE IF NOT EXISTS strangler.message (
        sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
        prefix text NOT NULL,
        content text NOT NULL
    )
"""

_STREAM_POSITION = """
    CREATE TABLE IF NOT EXISTS strangler.stream_position (
        stream text PRIMARY KEY,
        commit_lsn pg_lsn NOT NULL,
        source_commit_time timestamptz,
        applied_at timestamptz NOT NULL DEFAULT now(),
        transactions bigint NOT NULL DEFAULT 0,
        events bigint NOT NULL DEFAULT 0
    )
"""

_STREAM_STATUS = """
    CREATE TABLE IF NOT EXISTS strangler.stream_status (
        stream text PRIMARY KEY,
        state text NOT NULL CHECK (state IN ('idle', 'copying', 'streaming', 'retrying', 'stopped')),
        error jsonb,
        updated_at timestamptz NOT NULL DEFAULT now(),
        worker_pid int,
        lag_bytes bigint,
        lag_seconds double precision,
        events_waiting bigint,
        tables jsonb,
        progress_events bigint,
        progress_total bigint
    )
"""

_COPY_PROGRESS = """
    CREATE TABLE IF NOT EXISTS strangler.copy_progress (
        stream text NOT NULL,
        source_table text NOT NULL,
        state text NOT NULL CHECK (state IN ('requested', 'copying', 'done')),
        last_key jsonb,
        rows bigint NOT NULL DEFAULT 0,
        started_at timestamptz,
        finished_at timestamptz,
        PRIMARY KEY (stream, source_table)
    )
"""

_PARKED_ROW = """
    CREATE TABLE IF NOT EXISTS strangler.parked_row (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream text NOT NULL,
        source_table text NOT NULL,
        key jsonb NOT NULL,
        commit_lsn pg_lsn NOT NULL,
        event_index bigint NOT NULL,
        operation text NOT NULL,
        event bytea NOT NULL,
        state text NOT NULL CHECK (state IN ('refused', 'waiting')),
        whole_table boolean NOT NULL DEFAULT false,
        lenient boolean NOT NULL DEFAULT false,
        thing text NOT NULL,
        reason text NOT NULL,
        mend text NOT NULL,
        code text NOT NULL DEFAULT '',
        parked_at timestamptz NOT NULL,
        attempts int NOT NULL DEFAULT 1,
        request text CHECK (request IN ('retry', 'skip')),
        requested_by text NOT NULL DEFAULT '',
        request_reason text NOT NULL DEFAULT ''
    )
"""

_PARKED_AUDIT = """
    CREATE TABLE IF NOT EXISTS strangler.parked_audit (
        audit bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id bigint NOT NULL,
        stream text NOT NULL,
        source_table text NOT NULL,
        key jsonb NOT NULL,
        commit_lsn pg_lsn NOT NULL,
        event_index bigint NOT NULL,
        operation text NOT NULL,
        event bytea NOT NULL,
        reason text NOT NULL,
        code text NOT NULL,
        parked_at timestamptz NOT NULL,
        skipped_at timestamptz NOT NULL,
        skipped_by text NOT NULL,
        skip_reason text NOT NULL
    )
"""

_SOURCE_SCHEMA = """
    CREATE TABLE IF NOT EXISTS strangler.source_schema (
        stream text NOT NULL,
        source_table text NOT NULL,
        version int NOT NULL,
        state text NOT NULL CHECK (state IN ('met', 'stopped', 'broken')),
        form jsonb NOT NULL,
        changes jsonb NOT NULL,
        mend text NOT NULL DEFAULT '',
        position pg_lsn,
        noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (stream, source_table, version)
    )
"""

_TOPIC_POSITION = """
    CREATE TABLE IF NOT EXISTS strangler.topic_position (
        stream text NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        next_offset bigint NOT NULL,
        newest jsonb,
        topic_id text,
        PRIMARY KEY (stream, topic, partition)
    )
"""
_TOPIC_ID = "ALTER TABLE strangler.topic_position ADD COLUMN IF NOT EXISTS topic_id text"
"""For a target that was provisioned before there was this column."""

_STREAM_TABLES: Final = (
    "stream_position",
    "stream_status",
    "copy_progress",
    "parked_row",
    "parked_audit",
    "source_schema",
    "topic_position",
)

_AUDIT: Final = "parked_audit"
"""Outlives its stream: what was left out for good, by whom and why."""

PARKED_DDL: Final = (_PARKED_ROW, _PARKED_AUDIT)
"""For a target that was provisioned before there were these tables."""

_IN_USE = """
    SELECT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                    WHERE c.oid = to_regclass('strangler.canary'))
"""


def create_source_tables(connection: CatalogConnection) -> None:
    """What capture writes to: the schema, the canary and the newest marker."""
    with connection.transaction():
        lock_schema(connection)
        for statement in (_SCHEMA, _CANARY, _MESSAGE):
            connection.execute(statement)


def create_target_tables(connection: CatalogConnection, stream: str) -> None:
    """What apply writes to, and the stream's own status row, `idle`."""
    with connection.transaction():
        lock_schema(connection)
        tables = (_CANARY, _STREAM_POSITION, _STREAM_STATUS, _COPY_PROGRESS, _PARKED_ROW, _PARKED_AUDIT, _SOURCE_SCHEMA)
        for statement in (_SCHEMA, *tables):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO strangler.stream_status (stream, state) VALUES (%s, 'idle') ON CONFLICT DO NOTHING", [stream]
        )


def create_topic_positions(connection: CatalogConnection) -> None:
    """Where a stream that reads the topics of others stands in them."""
    with connection.transaction():
        lock_schema(connection)
        for statement in (_SCHEMA, _TOPIC_POSITION, _TOPIC_ID):
            connection.execute(statement)


def create_source_schema(connection: CatalogConnection) -> None:
    """Of a stream that was provisioned before there was this table."""
    with connection.transaction():
        lock_schema(connection)
        for statement in (_SCHEMA, _SOURCE_SCHEMA):
            connection.execute(statement)


def forget_stream(connection: CatalogConnection, stream: str) -> None:
    """Delete the stream's rows from whichever of the tables exist, but for the audit."""
    for name in existing_tables(connection):
        if name in (_AUDIT, MESSAGE_TABLE.name):
            continue
        connection.execute(f"DELETE FROM strangler.{name} WHERE stream = %s".encode(), [stream])


def drop_if_unused(connection: CatalogConnection) -> None:
    """Drop our tables when no stream has a row in them or publishes the canary, and the schema when it is empty."""
    tables = existing_tables(connection)
    row = connection.execute(_IN_USE).fetchone()
    assert row is not None
    used = {name for name in tables if name in _STREAM_TABLES and _has_rows(connection, name)}
    if row["exists"] or used - {_AUDIT}:
        return
    for name in tables:
        if name in used:
            continue
        connection.execute(f"DROP TABLE strangler.{name}".encode())
    connection.execute(
        """
        DO $$ BEGIN
            IF to_regnamespace('strangler') IS NOT NULL THEN DROP SCHEMA strangler; END IF;
        EXCEPTION WHEN dependent_objects_still_exist THEN NULL; -- ownership, fence functions: their owner drops them
        END $$
        """
    )


def lock_schema(connection: CatalogConnection) -> None:
    """One creator or dropper at a time, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('strangler.bookkeeping'))")


def existing_tables(connection: CatalogConnection) -> list[str]:
    """Names of our tables that exist in this database."""
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass('strangler.' || name) IS NOT NULL",
        [["canary", MESSAGE_TABLE.name, *_STREAM_TABLES]],
    )
    return [row["name"] for row in rows]


def _has_rows(connection: CatalogConnection, name: str) -> bool:
    return connection.execute(f"SELECT FROM strangler.{name} LIMIT 1".encode()).fetchone() is not None
