"""Connections to targets by SQLAlchemy: exact sessions, and what their drivers' errors mean."""

import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from cdc.errors import ApplyFailed, DatabaseUnreachable, TargetUnfit
from cdc.mysql.connections import parse_url, tls_context
from cdc.sql_target.columns import Dialect
from cdc.target_port import RaceLost, RowRefused
from strangler.errors import StranglerError
from strangler.redaction import redact

_ENABLE_TRIGGER: Final = 1003
"""SQLITE_DBCONFIG_ENABLE_TRIGGER"""

_CONNECT_S: Final = 10
_ANSWER_S: Final = 300
"""A server that says nothing for so long is gone (T16)."""

_MYSQL_MODE: Final = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION"
"""Refuse instead of cutting; a key 0 is a key; no other engine than the one asked for."""

_MYSQL_FLAGS: Final = 0x2 | 0x10000
"""CLIENT_FOUND_ROWS: an update that changes nothing still counts the row it matched. CLIENT_MULTI_STATEMENTS."""

_MYSQL_RACES: Final = frozenset({1213, 1205, 1020, 3572})
_MYSQL_AWAY: Final = frozenset(
    {1021, 1040, 1041, 1042, 1043, 1044, 1045, 1049, 1053, 1077, 1114, 1129, 1130, 1158, 1159, 1160, 1161, 1203}
    | {1226, 1290, 1317, 1836, 1927, 3024, 4031}
    | frozenset(range(2000, 3000))  # what the client says: refused, lost, TLS
)
_MYSQL_ROW: Final = frozenset(
    {1022, 1048, 1062, 1118, 1153, 1169, 1216, 1217, 1263, 1264, 1265, 1292, 1364, 1366, 1369, 1406, 1411, 1416, 1441}
    | {1451, 1452, 1525, 1557, 1586, 1644, 1690, 1761, 1762, 1906, 3140, 3819, 3903, 4025, 4078, 4161}
)
_SQLITE_RACES: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_AWAY: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
_SQLITE_ROW: Final = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH})


def target_url(dsn: str) -> URL:
    """The URL with its driver. `mysql://` and `mariadb://` mean PyMySQL. Raises `TargetUnfit`."""
    try:
        url = make_url(dsn)
    except ArgumentError:
        raise _no_such_target("URL") from None
    if url.drivername in ("mysql", "mariadb", "mariadb+pymysql"):
        return url.set(drivername="mysql+pymysql")
    return url


def dialect_of(url: URL) -> Dialect:
    backend = url.get_backend_name()
    if backend in ("mysql", "mariadb"):
        return "mysql"
    return "sqlite" if backend == "sqlite" else "generic"


def place(dsn: str) -> str:
    """The target without account and secret, for messages."""
    url = target_url(dsn)
    if dialect_of(url) == "sqlite":
        return f"sqlite:{url.database}"
    return f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def open_engine(dsn: str, *, lock_timeout_s: float = 10.0, applies: bool = False, writes: bool = False) -> Engine:
    """An engine that keeps no connection. `applies`: foreign keys are not checked. `writes`: a transaction on SQLite
    takes the write lock at its beginning, because one that has read cannot wait for it any more.

    Raises `TargetUnfit` for a URL that no installed driver serves.
    """
    url = target_url(dsn)
    dialect = dialect_of(url)
    options: dict[str, Any] = {"poolclass": NullPool}
    if dialect == "mysql":
        url, secured = _secured(url)
        connect_args = _mysql(lock_timeout_s) | {"ssl": secured}
        options |= {"paramstyle": "format", "isolation_level": "READ COMMITTED", "connect_args": connect_args}
        if applies:
            options["connect_args"]["init_command"] += ", foreign_key_checks = 0, @strangler_apply = 1"
    if dialect == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise TargetUnfit(
                thing=f"target {redact(dsn)}",
                reason="lives in memory, so a position in it is not durable",
                mend="name a file: sqlite:////var/lib/service/service.db",
            )
        options["connect_args"] = {"timeout": lock_timeout_s, "check_same_thread": False}
    try:
        engine = sa.create_engine(url, **options)
    except (ImportError, NoSuchModuleError):
        raise _no_such_target(url.drivername) from None
    if dialect == "sqlite":
        _prepare_sqlite(engine, immediate=applies or writes)
    return engine


def _secured(url: URL) -> tuple[URL, ssl.SSLContext | None]:
    """The URL without its options, and TLS as they say, with the same names as a source has (`cdc.mysql`).

    A certificate authority without an `ssl_mode` means that the server has to prove its identity. Raises `BadInput`.
    """
    given = dict(url.query)
    given.pop("charset", None)  # It is utf8mb4, whatever the URL says.
    kept = {name: given.pop(name) for name in ("unix_socket",) if name in given}
    if "ssl_ca" in given:
        given.setdefault("ssl_mode", "verify_identity")
    as_source = url.set(drivername="mysql", host=url.host or "localhost", query=given)
    place = parse_url(as_source.render_as_string(hide_password=False))
    return url.set(query=kept), tls_context(place)


def _mysql(lock_timeout_s: float) -> dict[str, Any]:
    seconds = max(1, int(lock_timeout_s))
    return {
        "charset": "utf8mb4",
        "client_flag": _MYSQL_FLAGS,
        "connect_timeout": _CONNECT_S,
        "read_timeout": _ANSWER_S,
        "write_timeout": _ANSWER_S,
        "init_command": f"SET SESSION sql_mode = '{_MYSQL_MODE}', time_zone = '+00:00', "
        f"innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}",
    }


def _prepare_sqlite(engine: Engine, *, immediate: bool) -> None:
    """The driver begins nothing by itself."""

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA synchronous = FULL")
        if hasattr(connection, "setconfig"):  # Python 3.12
            connection.setconfig(_ENABLE_TRIGGER, False)

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


@contextmanager
def translated(dsn: str, thing: str) -> Iterator[None]:
    """Driver errors inside become those of `cdc.target_port`."""
    try:
        yield
    except DBAPIError as error:
        raise meaning(dsn, thing, error) from error


@contextmanager
def settled(dsn: str, thing: str) -> Iterator[None]:
    """The same for callers outside the applier: whatever passes is `DatabaseUnreachable`, the rest `ApplyFailed`."""
    try:
        with translated(dsn, thing):
            yield
    except RaceLost as lost:
        raise unreachable(dsn, f"locked by others ({lost.code})") from lost
    except RowRefused as refused:
        raise _failed(dsn, thing, refused.reason) from refused


def meaning(dsn: str, thing: str, error: DBAPIError) -> StranglerError | RaceLost | RowRefused:
    """What a driver's error is to the applier."""
    dialect = dialect_of(target_url(dsn))
    code = _code(error, dialect)
    races, away, row = {
        "mysql": (_MYSQL_RACES, _MYSQL_AWAY, _MYSQL_ROW),
        "sqlite": (_SQLITE_RACES, _SQLITE_AWAY, _SQLITE_ROW),
        "generic": (frozenset[int](), frozenset[int](), frozenset[int]()),
    }[dialect]
    reason = _reason(error)
    state = str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")
    if code in races or (dialect == "generic" and (state[:2] == "40" or state == "55P03")):
        return RaceLost(str(code or state))
    if code in away or (error.connection_invalidated and code not in row):
        return unreachable(dsn, reason)
    if code in row or isinstance(error, IntegrityError | DataError):
        return RowRefused(reason, str(code or ""))
    if code in (None, 0) and dialect == "mysql":
        return unreachable(dsn, reason)
    return _failed(dsn, thing, reason)


def unreachable(dsn: str, reason: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(
        thing=f"database {place(dsn)}",
        reason=" ".join(redact(reason).split()) or "the connection was closed",
        mend="check that the server runs, has room, and that host, port, database, user and password are right",
    )


def _failed(dsn: str, thing: str, reason: str) -> ApplyFailed:
    return ApplyFailed(
        thing=thing,
        reason=reason,
        mend=f"make {place(dsn)} accept it; the stream retries by itself and has passed nothing",
    )


def _code(error: DBAPIError, dialect: Dialect) -> int | None:
    origin = error.orig
    if dialect == "sqlite":
        code = getattr(origin, "sqlite_errorcode", None)
        return None if code is None else code & 0xFF
    arguments = getattr(origin, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _reason(error: DBAPIError) -> str:
    origin = error.orig
    said = origin.args[-1] if origin is not None and origin.args else origin
    return redact((str(said).strip().splitlines() or [type(origin).__name__])[0])[:500]


def _no_such_target(name: str) -> TargetUnfit:
    return TargetUnfit(
        thing=f"target database URL ({redact(name)})",
        reason="no installed driver serves it",
        mend="use postgresql://…, mysql+pymysql://user:password@host/name or sqlite:////path/file.db",
    )


def sqlite_file(dsn: str) -> Path:
    return Path(target_url(dsn).database or "")
