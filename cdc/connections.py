"""Connections to source and target databases: one text form for every value, driver errors translated at the border."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from cdc.errors import DatabaseUnreachable
from strangler.redaction import redact

CANONICAL_SETTINGS: Final[Mapping[str, str]] = {
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "timezone": "UTC",
    "lc_monetary": "C",
    "array_nulls": "on",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
}
"""Session settings under which a value's text form is exact and the same on every server (D11 to D16), read as what it
is (with `array_nulls` off, NULL among the values of an array would become a text), and names are not quoted. A database
or a role may have other defaults."""

_DEFAULTS: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "application_name": "strangler",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""A peer that vanished without a word is noticed within about 30 seconds (T16)."""

CatalogConnection = psycopg.Connection[DictRow]


def canonical_conninfo(dsn: str, **extra: str) -> str:
    """`dsn` with the canonical session settings, UTF-8, timeouts and `extra`.

    What the DSN sets itself is kept, except the session settings that change a value's text form.
    """
    given = _parse(dsn)
    settings = " ".join(f"-c {name}={value}" for name, value in CANONICAL_SETTINGS.items())
    options = f"{given.get('options') or ''} {settings}".strip()
    return make_conninfo("", **{**_DEFAULTS, **given, **extra, "options": options, "client_encoding": "UTF8"})


@contextlib.contextmanager
def open_database(dsn: str) -> Iterator[CatalogConnection]:
    """An autocommit connection with dictionary rows. A lost or refused connection becomes `DatabaseUnreachable`."""
    with (
        reaching(dsn),
        psycopg.connect(canonical_conninfo(dsn), autocommit=True, row_factory=dict_row) as connection,
    ):
        yield connection


@contextlib.contextmanager
def reaching(dsn: str) -> Iterator[None]:
    """Translate lost and refused connections inside the block; every other driver error passes through."""
    try:
        yield
    except psycopg.Error as error:
        if not is_connection_loss(error):
            raise
        raise unreachable(dsn, str(error)) from None


def is_connection_loss(error: psycopg.Error) -> bool:
    """The database did not answer, refused the connection, or ended it (not: refused a statement)."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in {"08", "28"} or error.sqlstate[:4] == "57P0" or error.sqlstate in {"53300", "3D000"}


def unreachable(dsn: str, reason: str) -> DatabaseUnreachable:
    """The error for a database that does not answer; `reason` is redacted and made one line."""
    return DatabaseUnreachable(
        thing=f"database {place(dsn)}",
        reason=" ".join(redact(reason).split()) or "the connection was closed",
        mend="check that the server runs and that host, port, database, user and password are right",
    )


def place(dsn: str) -> str:
    """`host:port/dbname` of a DSN, for messages."""
    given = _parse(dsn)
    return f"{given.get('host') or 'localhost'}:{given.get('port') or 5432}/{given.get('dbname') or ''}"


def _parse(dsn: str) -> dict[str, Any]:
    """Without a word of what may be a password: a URL that is cut in the wrong place shows a part of it as the host."""
    if not dsn.strip():
        raise _not_a_url("is empty")
    try:
        given = conninfo_to_dict(dsn)
    except (psycopg.ProgrammingError, UnicodeEncodeError):
        raise _not_a_url("not a PostgreSQL URL or key=value connection string") from None
    if "@" in str(given.get("host") or "").lstrip("@"):
        raise _not_a_url("has more than one @ before its host", ", and an @ in the password as %40")
    return given


def _not_a_url(reason: str, more: str = "") -> DatabaseUnreachable:
    return DatabaseUnreachable(
        thing="database URL", reason=reason, mend=f"write it as postgresql://user:password@host:5432/name{more}"
    )
