"""Connections to MySQL and MariaDB: URLs, driver errors translated at the border, what a server says about itself."""

import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.converters import encoders
from pymysql.cursors import DictCursor

from cdc.errors import DatabaseUnreachable, SourceUnfit
from cdc.mysql.values import ZeroDates
from cdc.server_kinds import MYSQL_SCHEMES
from strangler.errors import BadInput


class ControlConnection(Protocol):
    """What is used of the driver's connection."""

    def cursor(self) -> Any: ...

    def close(self) -> None: ...


_UNCONVERTED: Final = (
    "SET time_zone = '+00:00', sql_mode = '', wait_timeout = 28800, net_write_timeout = 600, "
    "character_set_results = NULL"
)
"""Without modes: PAD_CHAR_TO_FULL_LENGTH would show blanks that the binlog does not have."""
_CONNECT_S: Final = 10
_READ_S: Final = 60
_WRONG_LOGIN: Final = frozenset({1045, 1698})
_DENIED: Final = frozenset({1044, 1142, 1143, 1227, 1370})
_PASSING: Final = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226})
"""Too many connections, shutting down, a broken wire, a lock that was not had."""
_CLIENT_ERRORS: Final = 2000
_SSL_MODES: Final = ("disabled", "required", "verify_ca", "verify_identity")
_OPTIONS: Final = frozenset({"ssl_mode", "ssl_ca", "ssl_cert", "ssl_key", "zero_dates"})


@dataclass(frozen=True, kw_only=True, slots=True)
class MysqlPlace:
    """A parsed URL. `database` is empty when it names none."""

    host: str
    port: int
    user: str
    password: str = field(repr=False, default="")
    database: str = ""
    zero_dates: ZeroDates = "refuse"
    ssl_mode: str | None = None
    ssl_files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def parse_url(dsn: str) -> MysqlPlace:
    """`mysql://user:password@host:port/database?ssl_mode=verify_ca&ssl_ca=FILE&zero_dates=null`. Raises `BadInput`."""
    try:
        parts = urlsplit(dsn)
        port = parts.port or 3306
    except ValueError:
        raise _bad_url("its host or port cannot be read") from None
    options = {name: found[-1] for name, found in parse_qs(parts.query).items()}
    zero_dates, ssl_mode = options.get("zero_dates", "refuse"), options.get("ssl_mode")
    if parts.scheme not in MYSQL_SCHEMES or not parts.hostname:
        raise _bad_url("it is not of the form mysql://user@host:port/database")
    if unknown := options.keys() - _OPTIONS:
        raise _bad_url(f"it has the unknown option {sorted(unknown)[0]}")
    if zero_dates not in ("refuse", "null") or ssl_mode not in (None, *_SSL_MODES):
        raise _bad_url(f"zero_dates is one of refuse, null and ssl_mode one of {', '.join(_SSL_MODES)}")
    return MysqlPlace(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.lstrip("/")),
        zero_dates="null" if zero_dates == "null" else "refuse",
        ssl_mode=ssl_mode,
        ssl_files={name: options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in options},
    )


def connect(place: MysqlPlace, *, timeout_s: int = _CONNECT_S) -> ControlConnection:
    """An autocommit connection in UTC and utf8mb4. Raises `DatabaseUnreachable`, or `SourceUnfit` when access is
    denied."""
    return _opened(place, timeout_s, cursorclass=DictCursor, init_command="SET time_zone = '+00:00'")


def connect_unconverted(place: MysqlPlace) -> ControlConnection:
    """As `connect`, but every value of a result is the bytes that the server stored or prints: no conversion of
    character sets, none of types. Rows are tuples."""
    return _opened(place, _CONNECT_S, use_unicode=False, conv=dict(encoders), init_command=_UNCONVERTED)


def _opened(place: MysqlPlace, timeout_s: int, **how: Any) -> ControlConnection:
    with translated(place):
        connection: ControlConnection = pymysql.connect(
            host=place.host,
            port=place.port,
            user=place.user,
            password=place.password,
            database=place.database or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=timeout_s,
            read_timeout=_READ_S,
            write_timeout=_READ_S,
            ssl=tls_context(place),
            **how,
        )
        return connection


@contextlib.contextmanager
def open_mysql(dsn: str, connected: Callable[[MysqlPlace], ControlConnection] = connect) -> Iterator[ControlConnection]:
    """A control connection for as long as the block runs; its driver errors become ours."""
    place = parse_url(dsn)
    connection = connected(place)
    try:
        with translated(place):
            yield connection
    finally:
        with contextlib.suppress(pymysql.MySQLError, OSError):
            connection.close()


@contextlib.contextmanager
def translated(place: MysqlPlace) -> Iterator[None]:
    """Driver errors of the block as ours; the driver's texts name no secrets."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise translate(place, error) from error
    except OSError as error:
        raise unreachable(place, f"{type(error).__name__}: {error}") from error


def translate(place: MysqlPlace, error: pymysql.MySQLError) -> DatabaseUnreachable | SourceUnfit:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    if code in _WRONG_LOGIN:
        return SourceUnfit(
            thing=f"account {place.user} at {place}",
            reason=text.partition("\n")[0],
            mend="correct user and password in the URL (%40 for an @ in the password), or create the account",
        )
    if code in _DENIED:
        return denied(place, text)
    if code in _PASSING or code == 0 or _CLIENT_ERRORS <= code < 2 * _CLIENT_ERRORS:
        return unreachable(place, f"{text} ({code})" if code else text)
    return SourceUnfit(
        thing=f"server of {place}",
        reason=f"refused a statement: {text} ({code})",
        mend="compare its version and settings with what the binlog source needs",
    )


def denied(place: MysqlPlace, reason: str) -> SourceUnfit:
    return SourceUnfit(
        thing=f"account {place.user} at {place}",
        reason=reason.partition("\n")[0],
        mend="GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* (MariaDB 10.5 on: BINLOG MONITOR), SELECT on the "
        "tables, and ALL on the database strangler",
    )


def unreachable(place: MysqlPlace, reason: str) -> DatabaseUnreachable:
    return DatabaseUnreachable(
        thing=f"database {place}", reason=reason, mend="start it, or correct its URL; the stream goes on by itself"
    )


def query(connection: ControlConnection, statement: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, tuple(parameters))
        return list(cursor.fetchall())


def tls_context(place: MysqlPlace) -> ssl.SSLContext | None:
    """As the URL's `ssl_mode` says; None: no TLS."""
    if place.ssl_mode in (None, "disabled"):
        return None
    try:
        context = ssl.create_default_context(cafile=place.ssl_files.get("ssl_ca"))
        context.check_hostname = place.ssl_mode == "verify_identity"
        if place.ssl_mode == "required":
            context.verify_mode = ssl.CERT_NONE
        if "ssl_cert" in place.ssl_files:
            context.load_cert_chain(place.ssl_files["ssl_cert"], place.ssl_files.get("ssl_key"))
    except OSError as error:  # of a file, or of what it holds
        files = ", ".join(f"{name}={path}" for name, path in place.ssl_files.items())
        raise _bad_url(f"of {files} one cannot be used: {error.strerror or error}") from None
    return context


def _bad_url(reason: str) -> BadInput:
    return BadInput(
        thing="database URL", reason=reason, mend="write mysql://user:password@host:3306/database, options after a ?"
    )
