"""A real PostgreSQL server with `wal_level=logical`, supervised, as root or not, on a loopback port, gone on exit.

Loopback only and without passwords (`trust`): a throw-away server for the demo, the tests and the benchmarks.
"""

import contextlib
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql

from sandbox.errors import PartMissing, ProgramFailed
from sandbox.leftovers import MARK
from sandbox.ports import free_port
from sandbox.postgres_binaries import MEND, VARIABLE, PostgresBinaries, find_binaries, postgres_bin
from sandbox.programs import DATABASE_PRIORITY, Probe, ProgramSpec
from sandbox.supervision import Stack
from strangler.durable_files import replace_file
from strangler.errors import BadInput, Unreachable

__all__ = [
    "create_database",
    "database_url",
    "free_port",
    "postgres_bin",
    "postgres_program",
    "postgres_server",
    "server_url",
    "start_postgres",
]

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a@%d ",
    "jit": "off",
    "max_connections": "200",
    "wal_level": "logical",
    "max_wal_senders": "64",
    "max_replication_slots": "64",
    "fsync": "on",
    "full_page_writes": "on",
    "wal_compression": "on",
    "min_wal_size": "64MB",
    "max_wal_size": "512MB",
}
_SETTINGS_SINCE: Mapping[int, Mapping[str, str]] = {
    # Until 18 the number of replication origins was that of the slots.
    18: {"max_active_replication_origins": "64"},
}
_LOCALES = ("C.UTF-8", "C")
_CONFIG_NAME = "sandbox.conf"
_START_S = 60.0
_FAST_SHUTDOWN = "INT"
_STOP_S = 20


@contextlib.contextmanager
def postgres_server(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server; yields its superuser URL (`postgresql://postgres@127.0.0.1:PORT/postgres`).

    `settings` are PostgreSQL's own, as in `postgresql.conf` without quotes; they win over ours.
    """
    with Stack() as stack:
        yield start_postgres(stack, settings=settings)


def start_postgres(stack: Stack, name: str = "postgres", settings: Mapping[str, str] | None = None) -> str:
    """Make a new server in the stack and start it; returns its superuser URL when it answers."""
    (port,) = stack.reserve_ports(1)
    stack.run(postgres_program(stack.folder, name=name, port=port, settings=settings), timeout_s=_START_S)
    return server_url(port)


def postgres_program(
    folder: Path, *, port: int, name: str = "postgres", settings: Mapping[str, str] | None = None
) -> ProgramSpec:
    """A server with its data in `folder`/`name`, initialised now unless it already is. Stops by fast shutdown."""
    binaries = find_binaries()
    home = folder / name
    data = home / "data"
    if not (data / "PG_VERSION").exists():
        _make_home(home, binaries.user)
        _initialise(data, binaries)
    _write_settings(data, _all_settings(binaries.major) | {"port": str(port)} | dict(settings or {}))
    return ProgramSpec(
        name=name,
        argv=(str(binaries.folder / "postgres"), "-D", str(data)),
        env={"HOME": str(home)},
        cwd=home,
        user=binaries.user,
        stop_signal=_FAST_SHUTDOWN,
        stop_seconds=_STOP_S,
        priority=DATABASE_PRIORITY,
        ready=postgres_probe(server_url(port)),
    )


def postgres_probe(url: str) -> Probe:
    """Whether the server accepts a connection now."""

    def accepts() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2).close()
            return True
        return False

    return accepts


def server_url(port: int) -> str:
    """Superuser URL of the local server on `port`."""
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def database_url(server_url: str, name: str) -> str:
    """The URL of database `name` on the same server, with the same account and options."""
    return urlsplit(server_url)._replace(path="/" + quote(name, safe="")).geturl()


def create_database(server_url: str, name: str) -> str:
    """Create an empty database; returns its URL."""
    try:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase as error:
        raise BadInput(
            thing=f"database {name!r}", reason="exists already", mend="drop it or choose another name"
        ) from error
    except psycopg.OperationalError as error:
        raise Unreachable(
            thing=f"database {name!r}", reason=f"could not be created: {error}", mend="start its server first"
        ) from error
    return database_url(server_url, name)


def _all_settings(major: int) -> dict[str, str]:
    newer = (settings for since, settings in _SETTINGS_SINCE.items() if major >= since)
    return {key: value for settings in (_SETTINGS, *newer) for key, value in settings.items()}


def _make_home(home: Path, user: str | None) -> None:
    home.mkdir(mode=0o700, parents=True)
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(home, account.pw_uid, account.pw_gid)


def _initialise(data: Path, binaries: PostgresBinaries) -> None:
    """`initdb` with the first locale that the machine has; byte order everywhere, so that sorting never differs."""
    failures = []
    for locale in _LOCALES:
        command = (binaries.folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        try:
            result = subprocess.run(
                [*command, f"--locale={locale}"],
                check=False,
                capture_output=True,
                user=binaries.user,
                cwd=data.parent,
                env={**os.environ, MARK: str(data.parent.parent)},
            )
        except OSError as error:
            raise PartMissing(
                thing=f"initdb in {binaries.folder}", reason=f"cannot be run ({error})", mend=MEND
            ) from error
        if result.returncode == 0:
            return
        failures.append(result.stderr.decode(errors="replace").strip()[-500:])
    raise ProgramFailed(
        thing="initdb", reason="; ".join(failures), mend=f"mend what it names, or set {VARIABLE} to another server"
    )


def _write_settings(data: Path, settings: Mapping[str, str]) -> None:
    """A file of our own beside `postgresql.conf`, so that ALTER SYSTEM still wins and a restart keeps it."""
    lines = [f"{key} = '{value.replace(chr(39), chr(39) * 2)}'\n" for key, value in settings.items()]
    replace_file(data / _CONFIG_NAME, "".join(lines))
    main = data / "postgresql.conf"
    include = f"include '{_CONFIG_NAME}'\n"
    if include not in main.read_text(encoding="utf-8"):
        with main.open("a", encoding="utf-8") as file:
            file.write(include)
