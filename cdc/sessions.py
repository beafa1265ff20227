"""Database sessions whose text forms are the same on both sides, and driver errors in our words."""

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cdc.errors import ApplyFailed, DatabaseUnreachable, SourceUnfit
from strangler.errors import StranglerError
from strangler.redaction import redact

TEXT_FORM_SETTINGS: Final[Mapping[str, str]] = {
    "datestyle": "ISO, YMD",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "client_encoding": "UTF8",
}
"""A value printed under these settings is read back exactly under these settings (D11 to D16)."""

Connection = psycopg.Connection[tuple[object, ...]]

_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available."""

_AWAY_STATES = frozenset({"25006", "57014", "57P01", "57P02", "57P03", "57P05", "3D000"})
_AWAY_CLASSES = ("08", "28", "53", "58")


def connect(dsn: str, application: str, *, settings: Mapping[str, str] | None = None) -> Connection:
    """An autocommit session with `TEXT_FORM_SETTINGS` and `settings`. Raises `DatabaseUnreachable`.

    A peer that vanished without a word is noticed within about 30 seconds (T16).
    """
    try:
        connection: Connection = psycopg.connect(
            dsn,
            autocommit=True,
            application_name=application[:63],
            connect_timeout=10,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
        pairs = {**TEXT_FORM_SETTINGS, **(settings or {})}
        calls = ", ".join(["set_config(%s, %s, false)"] * len(pairs))
        connection.execute(f"SELECT {calls}".encode(), [text for pair in pairs.items() for text in pair])
    except psycopg.Error as error:
        raise unreachable(dsn, error) from error
    return connection


def describe(dsn: str) -> str:
    """`database NAME at HOST:PORT`, no secret."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        return "database with an unreadable connection string"
    return f"database {parts.get('dbname', '?')} at {parts.get('host', 'localhost')}:{parts.get('port', 5432)}"


def unreachable(dsn: str, error: psycopg.Error) -> DatabaseUnreachable:
    """A failed connection or a lost one."""
    return DatabaseUnreachable(
        thing=describe(dsn),
        reason=redact(_first_line(error)),
        mend="check that the server runs and accepts this user; the stream goes on by itself when it answers",
    )


def is_unreachable(error: psycopg.Error) -> bool:
    """The server went away, is full or is read-only: nothing is wrong with what we sent."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _AWAY_STATES or state[:2] in _AWAY_CLASSES


def is_transient(error: psycopg.Error) -> bool:
    """Nobody's fault; the same batch may succeed a moment later."""
    return error.sqlstate in _TRANSIENT_STATES


def target_error(dsn: str, thing: str, error: psycopg.Error) -> StranglerError:
    """What a target's refusal of `thing` means to a person."""
    if is_unreachable(error):
        return unreachable(dsn, error)
    return ApplyFailed(
        thing=thing,
        reason=f"SQLSTATE {error.sqlstate}: {redact(_first_line(error))}",
        mend=f"make {describe(dsn)} accept this change, or correct the row at its source; the stream retries by itself "
        "and never passes it",
    )


def source_error(dsn: str, thing: str, error: psycopg.Error) -> StranglerError:
    """What a source's refusal to be read means to a person."""
    if is_unreachable(error) or is_transient(error):
        return unreachable(dsn, error)
    return SourceUnfit(
        thing=thing,
        reason=f"SQLSTATE {error.sqlstate}: {redact(_first_line(error))}",
        mend=f"grant the stream's user what it lacks in {describe(dsn)}; `strangler doctor` lists it",
    )


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
