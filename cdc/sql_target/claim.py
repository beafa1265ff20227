"""Only one worker per stream: a named lock of a MySQL server, a locked file beside a SQLite database."""

import fcntl
import os
from typing import Any

from sqlalchemy.engine import Connection

from cdc.errors import StreamBusy, TargetUnfit
from cdc.sql_target.columns import Dialect
from cdc.sql_target.engine import sqlite_file
from strangler.clock import Clock

_POLL_S = 0.1
_LONGEST_LOCK_NAME = 64


class StreamClaim:
    """Held until `release`, the end of the connection (MySQL) or of the process (SQLite).

    Other dialects have no claim; there the compare-and-set of the ledger alone keeps two workers from applying the
    same transaction.
    """

    def __init__(self, connection: Connection, dialect: Dialect, dsn: str, stream: str) -> None:
        self._connection, self._dialect, self._dsn, self._stream = connection, dialect, dsn, stream
        self._file: int | None = None

    def take(self, clock: Clock, timeout_s: float) -> None:
        """Raises `StreamBusy` after `timeout_s`: a killed worker's session is given time to end."""
        deadline = clock.monotonic() + timeout_s
        while not self._try():
            if clock.monotonic() >= deadline:
                raise StreamBusy(
                    thing=f"stream {self._stream}",
                    reason="another worker holds it",
                    mend="stop the other `strangler cdc stream` process; its pid is in strangler_stream_status",
                )
            clock.sleep(_POLL_S)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _try(self) -> bool:
        if self._dialect == "mysql":
            # The lock is the server's, so its name carries the database.
            name: Any = (
                f"SELECT GET_LOCK(CONCAT(LEFT(%s, {_LONGEST_LOCK_NAME - 33}), ' ', MD5(CONCAT(DATABASE(), %s))), 0)"
            )
            with self._connection.begin():
                return bool(self._connection.exec_driver_sql(name, (self._stream, self._stream)).scalar_one() == 1)
        return self._dialect != "sqlite" or self._lock_file()

    def _lock_file(self) -> bool:
        database = sqlite_file(self._dsn)
        path = database.with_name(f"{database.name}.{self._stream}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise TargetUnfit(
                thing=f"lock file {path}",
                reason=error.strerror or type(error).__name__,
                mend="let the worker's account write in the folder of the database",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True
