"""What the worker's status and copy loops need of a target by SQLAlchemy: one connection each, a transaction a look."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cdc.copy_tracker import CopyCursor
from cdc.sql_target import bookkeeping as tables
from cdc.sql_target.engine import open_engine, settled
from cdc.sql_target.provision import pending_copies


class SqlBoard:
    """An open connection to one stream's rows. One thread uses it; `open_board` closes it."""

    def __init__(self, dsn: str, stream: str, connection: Connection) -> None:
        self._dsn, self._stream, self._connection = dsn, stream, connection

    def pending_copies(self) -> dict[str, CopyCursor]:
        """Cursors of copies that are asked for or under way, by source table."""
        with settled(self._dsn, tables.COPY_PROGRESS.name), self._connection.begin():
            return pending_copies(self._connection, self._stream)

    def canary(self) -> str | None:
        """The token of the stream's canary row, as it arrived."""
        canary = tables.CANARY
        with settled(self._dsn, canary.name), self._connection.begin():
            query = sa.select(canary.c.token).where(canary.c.stream == self._stream)
            token: str | None = self._connection.execute(query).scalar_one_or_none()
            return token

    def write_status(self, said: Mapping[str, Any]) -> None:
        """Columns of `stream_status`, `error` and `tables` as JSON text; what is not provisioned stays unwritten.

        `tables` is merged into what an earlier worker said about other tables.
        """
        status = tables.STREAM_STATUS
        now = datetime.now(UTC).replace(tzinfo=None)
        mine = status.c.stream == self._stream
        # Reading and writing apart: on SQLite a transaction that has read cannot wait for the write lock.
        with settled(self._dsn, status.name), self._connection.begin():
            if not sa.inspect(self._connection).has_table(status.name):
                return
            before = self._connection.execute(sa.select(status.c.tables).where(mine)).scalar_one_or_none()
            lag_seconds = self._lag(said, now)
        by_table = {**(json.loads(before) if before else {}), **json.loads(said["tables"])}
        row = {**said, "tables": json.dumps(by_table), "updated_at": now, "lag_seconds": lag_seconds}
        with settled(self._dsn, status.name), self._connection.begin():
            if not self._connection.execute(sa.update(status).values(row).where(mine)).rowcount:
                self._connection.execute(sa.insert(status).values({**row, "stream": self._stream}))

    def _lag(self, said: Mapping[str, Any], now: datetime) -> float | None:
        if said["lag_bytes"] == 0:
            return 0.0
        ledger = tables.STREAM_POSITION
        committed = self._connection.execute(
            sa.select(ledger.c.source_commit_time).where(ledger.c.stream == self._stream)
        ).scalar_one_or_none()
        return None if committed is None else max(0.0, (now - committed).total_seconds())


@contextmanager
def open_board(dsn: str, stream: str) -> Iterator[SqlBoard]:
    """Raises `DatabaseUnreachable`."""
    engine = open_engine(dsn)
    try:
        with settled(dsn, f"stream {stream}"), engine.connect() as connection:
            yield SqlBoard(dsn, stream, connection)
    finally:
        engine.dispose()
