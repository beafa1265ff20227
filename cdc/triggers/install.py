"""Triggers and tables of trigger capture: made idempotently, removed idempotently, found again by name."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from cdc.bookkeeping import lock_schema
from cdc.connections import CatalogConnection, open_database, place
from cdc.doctor import read_table_facts
from cdc.errors import SlotInUse, SourceUnfit
from cdc.events import TableName
from cdc.fitness import judge_source_tables
from cdc.lsn import Lsn
from cdc.triggers import statements

PREFIX: Final = "strangler_capture_"


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerLeftover:
    """A trigger of ours: on which table, and its name, which is made from the stream's."""

    table: TableName
    name: str


def trigger_names(stream: str) -> tuple[str, str]:
    """(row trigger, truncate trigger); of any stream name they fit into 63 bytes. They sort late among the table's."""
    digest = hashlib.blake2b(stream.encode(), digest_size=8).hexdigest()
    return f"{PREFIX}{digest}_row", f"{PREFIX}{digest}_truncate"


def install(dsn: str, stream: str, tables: Sequence[TableName]) -> Lsn:
    """Triggers on exactly `tables`. Everything that commits from now on lies above the returned position.

    Waits for open write transactions on the tables (CREATE TRIGGER locks each against writers for a moment). Raises
    `SourceUnfit` before touching anything when a table cannot be captured, a name of ours is somebody else's object, or
    privileges are missing.
    """
    with open_database(dsn) as connection:
        _refuse_unfit(connection, tables)
        _refuse_foreign(connection, stream)
        try:
            with connection.transaction():
                lock_schema(connection)
                for statement in statements.CREATE:
                    connection.execute(statement.encode())
                connection.execute(
                    "INSERT INTO strangler.captured_stream (stream) VALUES (%s) ON CONFLICT DO NOTHING", [stream]
                )
                _replace_triggers(connection, stream, tables)
                oids = [_oid(connection, table) for table in tables]
                connection.execute(
                    "UPDATE strangler.captured_stream SET tables = %s::oid[] WHERE stream = %s", [oids, stream]
                )
        except psycopg.errors.InsufficientPrivilege as error:
            raise SourceUnfit(
                thing=f"role that connects to {place(dsn)}",
                reason=str(error).partition("\n")[0],
                mend="grant it CREATE on the database and TRIGGER on the tables, or use their owner",
            ) from None
        row = connection.execute(statements.STATE, {"stream": stream}).fetchone()
        assert row is not None
        return Lsn(int(row["last_position"]))


def uninstall(dsn: str, stream: str) -> None:
    """Drop the stream's triggers and rows, whatever of them exists; then our tables if no stream uses them.

    Raises `SlotInUse` while a worker reads the stream.
    """
    with open_database(dsn) as connection, connection.transaction():
        lock_schema(connection)
        if not _exists(connection, statements.STREAM_TABLE):
            return
        take_stream(connection, stream, for_transaction=True)
        _drop_triggers(connection, _installed(connection, trigger_names(stream)))
        for name in statements.TABLES:
            statement = sql.SQL("DELETE FROM {} WHERE stream = %s").format(sql.Identifier("strangler", name))
            connection.execute(statement, [stream])
        if connection.execute("SELECT FROM strangler.captured_stream LIMIT 1").fetchone() is None:
            connection.execute(f"DROP FUNCTION strangler.{statements.FUNCTION}() CASCADE".encode())
            for name in statements.TABLES:
                connection.execute(f"DROP TABLE strangler.{name}".encode())


def leftovers(dsn: str) -> list[TriggerLeftover]:
    """Every trigger of ours in this database, of whatever stream."""
    with open_database(dsn) as connection:
        return _installed(connection, ())


def emit_message(dsn: str, stream: str, prefix: str, content: bytes) -> None:
    """A marker in the stream, in the order of its commit."""
    with open_database(dsn) as connection:
        connection.execute(statements.EMIT, {"stream": stream, "prefix": prefix, "content": content})


def take_stream(connection: CatalogConnection, stream: str, *, for_transaction: bool = False) -> None:
    """Be the only reader until the session (or the transaction) ends. Raises `SlotInUse`."""
    function = "pg_try_advisory_xact_lock" if for_transaction else "pg_try_advisory_lock"
    row = connection.execute(
        f"SELECT {function}(hashtext('strangler.triggers'), hashtext(%s)) AS mine".encode(), [stream]
    ).fetchone()
    if row is None or not row["mine"]:
        raise SlotInUse(
            thing=f"captured changes of {stream}",
            reason="are being read by another session",
            mend="stop the other stream worker; if it is gone, wait until the server has noticed",
        )


def _refuse_unfit(connection: CatalogConnection, tables: Sequence[TableName]) -> None:
    for finding in judge_source_tables(tables, read_table_facts(connection, tables)):
        if not finding.ok:
            raise SourceUnfit(thing=finding.thing, reason=finding.reason, mend=finding.mend)


def _refuse_foreign(connection: CatalogConnection, stream: str) -> None:
    parameters = {"tables": list(statements.TABLES), "triggers": list(trigger_names(stream))}
    row = connection.execute(statements.FOREIGN, parameters).fetchone()
    if row is not None:
        raise SourceUnfit(
            thing=str(row["thing"]),
            reason="exists and was not made by this version of trigger capture",
            mend="rename or drop it, then run this again",
        )


def _replace_triggers(connection: CatalogConnection, stream: str, tables: Sequence[TableName]) -> None:
    names = trigger_names(stream)
    there = _installed(connection, names)
    wanted = set(tables)
    _drop_triggers(connection, [trigger for trigger in there if trigger.table not in wanted])
    complete = {table for table in wanted if sum(trigger.table == table for trigger in there) == len(names)}
    for table in tables:
        if table in complete:
            continue
        _drop_triggers(connection, [trigger for trigger in there if trigger.table == table])
        _create_triggers(connection, stream, table)


def _create_triggers(connection: CatalogConnection, stream: str, table: TableName) -> None:
    target = sql.Identifier(table.schema, table.name)
    oid = str(_oid(connection, table))
    arguments = sql.SQL(", ").join(map(sql.Literal, (stream, table.schema, table.name, oid)))
    events = ((0, "INSERT OR UPDATE OR DELETE", "ROW"), (1, "TRUNCATE", "STATEMENT"))
    for number, event, level in events:
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER {} AFTER {} ON {} FOR EACH {} EXECUTE FUNCTION strangler.capture_change({})"
            ).format(sql.Identifier(trigger_names(stream)[number]), sql.SQL(event), target, sql.SQL(level), arguments)
        )


def _oid(connection: CatalogConnection, table: TableName) -> int:
    name = sql.Identifier(table.schema, table.name).as_string(connection)
    row = connection.execute("SELECT %s::regclass::oid AS oid", [name]).fetchone()
    assert row is not None
    return int(row["oid"])


def _installed(connection: CatalogConnection, names: Sequence[str]) -> list[TriggerLeftover]:
    rows = connection.execute(statements.TRIGGERS, {"triggers": list(names)})
    return [TriggerLeftover(table=TableName(schema=r["schema"], name=r["name"]), name=r["trigger"]) for r in rows]


def _drop_triggers(connection: CatalogConnection, triggers: Sequence[TriggerLeftover]) -> None:
    for trigger in triggers:
        connection.execute(
            sql.SQL("DROP TRIGGER {} ON {}").format(
                sql.Identifier(trigger.name), sql.Identifier(trigger.table.schema, trigger.table.name)
            )
        )


def _exists(connection: CatalogConnection, name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS it", [f"strangler.{name}"]).fetchone()
    return row is not None and bool(row["it"])
