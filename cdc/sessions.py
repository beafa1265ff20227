"""Apply, copy and ledger sessions, and what the driver's errors in them mean to a person."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from cdc.connections import canonical_conninfo, is_connection_loss, place, reaching, unreachable
from cdc.errors import ApplyFailed, SourceUnfit
from strangler.errors import StranglerError
from strangler.redaction import redact

Connection = psycopg.Connection[tuple[object, ...]]

_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available."""

_ROW_CLASSES = frozenset({"21", "22", "23", "44", "54"})
"""Cardinality, data exception, constraint, view check, size limit: the row's own fault, and of no other row."""
_RAISED = "P0001"
"""A trigger that is enabled ALWAYS said no."""

_AWAY_STATES = frozenset({"25006", "57014"})
_AWAY_CLASSES = ("53", "58")
"""Read-only, cancelled, out of resources, system error: nothing is wrong with what we sent."""


def connect(dsn: str, application: str) -> Connection:
    """An autocommit session with exact text forms. Raises `DatabaseUnreachable`."""
    with reaching(dsn):
        connection: Connection = psycopg.connect(
            canonical_conninfo(dsn, application_name=application[:63]), autocommit=True
        )
        return connection


@contextmanager
def begun(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction by two plain statements: for a small batch the driver's own costs more than the rows do. Not to be
    nested; `Connection.transaction` inside it is a savepoint."""
    connection.execute(b"BEGIN")
    try:
        yield
        connection.execute(b"COMMIT")
    except BaseException:
        # Whatever ended it must not be hidden by what is done about it now.
        with suppress(psycopg.Error):
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK")
        raise


def is_away(error: psycopg.Error) -> bool:
    """The server went away, is full or is read-only; it may come back."""
    state = error.sqlstate or ""
    return is_connection_loss(error) or state in _AWAY_STATES or state[:2] in _AWAY_CLASSES


def is_transient(error: psycopg.Error) -> bool:
    """Nobody's fault; the same batch may succeed a moment later."""
    return error.sqlstate in _TRANSIENT_STATES


def is_row_level(error: psycopg.Error) -> bool:
    """The server takes our statements, but not these values."""
    state = error.sqlstate or ""
    return state[:2] in _ROW_CLASSES or state == _RAISED


def target_reason(error: psycopg.Error) -> str:
    """What the server said, in one line without a secret."""
    return _reason(error)


def target_error(dsn: str, thing: str, error: psycopg.Error) -> StranglerError:
    """What a target's refusal of `thing` means."""
    if is_away(error):
        return unreachable(dsn, str(error))
    return ApplyFailed(
        thing=thing,
        reason=_reason(error),
        mend=f"make {place(dsn)} accept this change, or correct the row at its source; the stream retries by itself "
        "and never passes it",
    )


def source_error(dsn: str, thing: str, error: psycopg.Error) -> StranglerError:
    """What a source's refusal to be read means."""
    if is_away(error) or is_transient(error):
        return unreachable(dsn, str(error))
    return SourceUnfit(
        thing=thing,
        reason=_reason(error),
        mend=f"grant the stream's user what it lacks in {place(dsn)}; `strangler doctor` lists it",
    )


def _reason(error: psycopg.Error) -> str:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"SQLSTATE {error.sqlstate}: {redact(first_line)}"
