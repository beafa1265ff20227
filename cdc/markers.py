"""Writes barriers and watermarks into a source's log: as logical messages, or as rows where there are none."""

from typing import Any

import psycopg

from cdc.lsn import Lsn, parse_lsn
from cdc.server_versions import MESSAGES

_MESSAGE = "SELECT pg_logical_emit_message(true, %s, %s::text)::text"
_ROW = """
INSERT INTO strangler.message (prefix, content) VALUES (%s, %s)
    ON CONFLICT (sole) DO UPDATE SET prefix = EXCLUDED.prefix, content = EXCLUDED.content
 RETURNING pg_current_wal_insert_lsn()::text
"""


def emit_marker(connection: psycopg.Connection[Any], prefix: str, content: str) -> Lsn:
    """Durable in the log, in commit order, on return. Everything that committed before this call lies below the
    returned position, and the marker's own commit does not.

    `connection` is in autocommit. By a row of the one table that every publication of ours has when the server is too
    old to send messages, or the role may not emit them (`cdc.marker_rows` reads it).
    """
    row = None
    if connection.info.server_version >= MESSAGES * 10_000:
        try:
            row = connection.execute(_MESSAGE, (prefix, content)).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            row = None
    if row is None:
        with connection.transaction():
            # Another stream's marker may come in between; a database may be set to refuse what follows it.
            connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            row = connection.execute(_ROW, (prefix, content)).fetchone()
    assert row is not None
    (position,) = row.values() if isinstance(row, dict) else row
    return parse_lsn(str(position))
