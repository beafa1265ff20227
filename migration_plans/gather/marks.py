"""Marks in the log of a database: comments between which one request ran alone."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from migration_plans.errors import LogUnreadable, SourceUnreadable
from migration_plans.gather.requests import MARKER
from migration_plans.gather.schema import reading
from strangler.redaction import redact

_POSTGRES_BUSY: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend' AND state <> 'idle'"
)
_POSTGRES_LOGGED: Final = text(
    "SELECT current_setting('log_statement') = 'all' OR current_setting('log_min_duration_statement') = '0'"
)
_MYSQL_BUSY: Final = text(
    "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id() "
    "AND command NOT IN ('Sleep', 'Daemon')"
)
"""Open transactions of sleeping sessions are in a table that the server renews ten times a second at most."""
_MYSQL_LOGGED: Final = text(
    "SELECT find_in_set('FILE', @@global.log_output) > 0 AND "
    "(@@global.general_log OR (@@global.slow_query_log AND @@global.long_query_time = 0))"
)
_SERVERS: Final = {
    "postgresql": (
        _POSTGRES_BUSY,
        _POSTGRES_LOGGED,
        "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf();",
    ),
    **dict.fromkeys(("mysql", "mariadb"), (_MYSQL_BUSY, _MYSQL_LOGGED, "SET GLOBAL general_log = 1;")),
}
"""Whether a session is at work, whether statements are logged, and what logs them."""
_POLL_S: Final = 0.005


class LogMarks:
    """Writes the marks, by a session of its own. Not for two threads at once."""

    def __init__(self, connection: Connection, settle_s: float) -> None:
        """`settle_s`: how long to wait at most for the database to be quiet. Raises `LogUnreadable` when statements
        are not logged, and `SourceUnreadable`."""
        if connection.dialect.name not in _SERVERS:
            raise LogUnreadable(
                thing=redact(str(connection.engine.url)),
                reason="is neither PostgreSQL nor MySQL: its log cannot be marked",
                mend="leave --source out; requests are then told apart by time",
            )
        self._busy, logged, logs = _SERVERS[connection.dialect.name]
        self._connection = connection
        self._settle_s = settle_s
        connection.execution_options(isolation_level="AUTOCOMMIT")
        if not connection.execute(logged).scalar_one():
            raise LogUnreadable(
                thing="the server's log",
                reason="statements are not logged",
                mend=f"{logs} and take it back afterwards",
            )

    def begin(self, marker: str) -> None:
        """What runs from now on is of this request. Raises `SourceUnreadable`."""
        with _translated():
            self._mark(marker, "begin")
            # MySQL's slow log has a statement after its answer: answered again, it has the mark.
            self._connection.execute(self._busy)

    def end(self, marker: str) -> bool:
        """Wait until no other session is at work, then mark the end; False when that took too long.

        So what a request starts in the background counts as its own. Raises `SourceUnreadable`.
        """
        with _translated():
            is_quiet = self._wait_until_quiet()
            self._mark(marker, "end")
        return is_quiet

    def _mark(self, marker: str, word: str) -> None:
        self._connection.exec_driver_sql(f"/* {MARKER} {marker} {word} */ SELECT 1")

    def _wait_until_quiet(self) -> bool:
        until = time.monotonic() + self._settle_s
        while self._connection.execute(self._busy).scalar_one():
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True


@contextlib.contextmanager
def open_marks(url: str, settle_s: float) -> Iterator[LogMarks]:
    """A connection that marks the log of this database."""
    with reading(url) as connection:
        yield LogMarks(connection, settle_s)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise SourceUnreadable(
            thing="the session that marks the log",
            reason=redact(reason[0] if reason else type(error).__name__),
            mend="check that the database runs; what was recorded meanwhile is told apart by time",
        ) from error
