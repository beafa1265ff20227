"""Many updates in few round trips, each with its own count of matched rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from cdc.sql_target.columns import Dialect

_STATEMENTS_AT_ONCE = 200
_BYTES_AT_ONCE = 1 << 20


def run_updates(connection: Connection, dialect: Dialect, text: str, rows: Sequence[Any]) -> list[int]:
    """Execute `text` with each row's parameters, in order."""
    if dialect != "mysql" or len(rows) == 1:
        return [connection.exec_driver_sql(text, row).rowcount for row in rows]
    found: list[int] = []
    cursor: Any = connection.connection.cursor()
    try:
        sent: list[str] = []
        size = 0
        for row in rows:
            statement = cursor.mogrify(text, row)
            if sent and (len(sent) == _STATEMENTS_AT_ONCE or size + len(statement) > _BYTES_AT_ONCE):
                found += _send(cursor, sent)
                sent, size = [], 0
            sent.append(statement)
            size += len(statement)
        return found + _send(cursor, sent)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(text, None, error) from error
    finally:
        cursor.close()


def _send(cursor: Any, statements: Sequence[str]) -> list[int]:
    cursor.execute(";".join(statements))
    found = [cursor.rowcount]
    while cursor.nextset():
        found.append(cursor.rowcount)
    return found
