"""Take back the rows that our own copy brought, so that a new copy can start from an empty target."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from cdc.errors import StreamBusy, TargetUnfit
from cdc.events import TableName
from cdc.server_kinds import is_postgresql
from cdc.sessions import Connection, connect, target_error


def empty_copied_tables(target_dsn: str, stream: str, tables: Sequence[TableName]) -> bool:
    """Truncate `tables` if `copy_progress` proves that the stream's copy filled them; False when it proves nothing.

    Raises `StreamBusy` while a worker still applies, `TargetUnfit` when a table outside the move references one of
    them: nothing is changed then.
    """
    if not is_postgresql(target_dsn):
        from cdc.sql_target import provision as sql_target

        return sql_target.empty_copied_tables(target_dsn, stream, tables)
    with connect(target_dsn, f"{stream} reset") as connection:
        try:
            with connection.transaction():
                _demand_idle(connection, stream)
                if not _was_copied(connection, stream):
                    return False
                connection.execute("SET LOCAL session_replication_role = replica")
                names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
                connection.execute(sql.SQL("TRUNCATE {}").format(names))
                connection.execute("DELETE FROM strangler.copy_progress WHERE stream = %s", (stream,))
                return True
        except psycopg.errors.FeatureNotSupported as error:
            raise TargetUnfit(
                thing=f"target tables of {stream}",
                reason=str(error).partition("\n")[0],
                mend="empty the referencing table, or drop its foreign key, and run the command again",
            ) from None
        except psycopg.Error as error:
            raise target_error(target_dsn, f"target tables of {stream}", error) from error


def _demand_idle(connection: Connection, stream: str) -> None:
    """Hold the applier's own lock until the end: a batch that it still finishes would bring rows back."""
    row = connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('strangler stream ' || %s, 0))", (stream,)
    ).fetchone()
    if row != (True,):
        raise StreamBusy(
            thing=f"stream {stream}",
            reason="a worker still applies it",
            mend="wait for it to end, or stop it; then run the command again",
        )


def _was_copied(connection: Connection, stream: str) -> bool:
    if connection.execute("SELECT to_regclass('strangler.copy_progress')").fetchone() == (None,):
        return False
    row = connection.execute("SELECT 1 FROM strangler.copy_progress WHERE stream = %s LIMIT 1", (stream,)).fetchone()
    return row is not None
