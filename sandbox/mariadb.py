"""A real MariaDB (or MySQL) server with a row binlog, supervised, as root or not, on a loopback port, gone on exit.

Loopback only and without passwords: a throw-away server for tests and benchmarks. The binary comes from the machine
(Debian: `apt-get install mariadb-server`) or from the folder that `STRANGLER_MARIADB_BIN` names.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import pymysql

from sandbox.errors import PartMissing, ProgramFailed
from sandbox.leftovers import MARK
from sandbox.programs import DATABASE_PRIORITY, Probe, ProgramSpec
from sandbox.supervision import Stack
from strangler.durable_files import replace_file

VARIABLE: Final = "STRANGLER_MARIADB_BIN"
MEND: Final = f"install MariaDB (Debian: apt-get install mariadb-server), or set {VARIABLE} to the folder of mariadbd"

_SERVERS: Final = ("mariadbd", "mysqld")
_INSTALLERS: Final = ("mariadb-install-db", "mysql_install_db")
_PLACES: Final = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/mysql/bin")
_ACCOUNTS: Final = ("mysql", "nobody")
_ROOT_BY_ADDRESS: Final = (
    "CREATE USER 'root'@'127.0.0.1' IDENTIFIED WITH mysql_native_password BY '';\n"
    "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
)
"""MySQL's own root is that of `localhost`; names are not resolved here."""
_START_S: Final = 60.0
_STOP_S: Final = 30

_SETTINGS: Mapping[str, str] = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",
    "sync-binlog": "1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    "performance-schema": "0",
    "max-connections": "100",
    "max-allowed-packet": "256M",
}


@contextlib.contextmanager
def mariadb_server(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server; yields its superuser URL (`mysql://root@127.0.0.1:PORT/`). `settings`: as in `my.cnf`."""
    with Stack() as stack:
        yield start_mariadb(stack, settings=settings)


def start_mariadb(stack: Stack, name: str = "mariadb", settings: Mapping[str, str] | None = None) -> str:
    """Make a new server in the stack and start it; returns its superuser URL when it answers."""
    (port,) = stack.reserve_ports(1)
    stack.run(mariadb_program(stack.folder, name=name, port=port, settings=settings), timeout_s=_START_S)
    return f"mysql://root@127.0.0.1:{port}/"


def mariadb_program(
    folder: Path, *, port: int, name: str = "mariadb", settings: Mapping[str, str] | None = None
) -> ProgramSpec:
    """A server with its data in `folder`/`name`, initialised now unless it already is."""
    server = find_server()
    return server_program(server, _installer(server), folder, port=port, name=name, settings=settings)


def server_program(
    server: Path,
    installer: Path | None,
    folder: Path,
    *,
    port: int,
    name: str,
    settings: Mapping[str, str] | None = None,
) -> ProgramSpec:
    """The same of this binary. `installer`: what makes its data directory; None: the server itself."""
    home = folder / name
    user = _account() if os.geteuid() == 0 else None
    config = home / "my.cnf"
    if not (home / "data" / "mysql").is_dir():
        _initialise(home, server, installer, user)
    socket = home / "s"
    _write_settings(config, {**_SETTINGS, "port": str(port), "socket": str(socket), **dict(settings or {})}, home)
    return ProgramSpec(
        name=name,
        argv=(str(server), f"--defaults-file={config}", *((f"--user={user}",) if user else ())),
        env={"HOME": str(home)},
        cwd=home,
        stop_seconds=_STOP_S,
        priority=DATABASE_PRIORITY,
        ready=mariadb_probe(port),
    )


def find_server() -> Path:
    """The server binary. Raises `PartMissing`."""
    folder = os.environ.get(VARIABLE)
    places = [folder] if folder else [*_PLACES, *os.environ.get("PATH", "").split(os.pathsep)]
    for name in _SERVERS:
        for place in places:
            if os.access(Path(place) / name, os.X_OK):
                return Path(place) / name
    raise PartMissing(thing="MariaDB server", reason="neither mariadbd nor mysqld was found", mend=MEND)


def mariadb_probe(port: int) -> Probe:
    """Whether the server accepts a connection now."""

    def accepts() -> bool:
        with contextlib.suppress(pymysql.MySQLError, OSError):
            pymysql.connect(host="127.0.0.1", port=port, user="root", connect_timeout=2).close()
            return True
        return False

    return accepts


def create_mysql_database(server_url: str, label: str) -> str:
    """Create an empty database with a fresh name; returns its URL."""
    parts = urlsplit(server_url)
    name = f"{label}_{uuid.uuid4().hex[:8]}"
    with contextlib.closing(
        pymysql.connect(host=parts.hostname or "127.0.0.1", port=parts.port or 3306, user=parts.username or "root")
    ) as connection:
        connection.cursor().execute(f"CREATE DATABASE `{name}`")
    return parts._replace(path="/" + quote(name, safe="")).geturl()


def _account() -> str:
    """mariadbd refuses to run as root."""
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise PartMissing(thing="account for mariadbd", reason="it does not run as root", mend="run this as another user")


def _initialise(home: Path, server: Path, installer: Path | None, user: str | None) -> None:
    data = home / "data"
    data.mkdir(mode=0o700, parents=True)
    if user is not None:
        account = pwd.getpwnam(user)
        for folder in (home, data):
            os.chown(folder, account.pw_uid, account.pw_gid)
    command = _initialise_command(server, installer, data, user)
    # A server that starts deletes the temporary tables of others in the same folder: each has its own, here too.
    environment = {**os.environ, MARK: str(home.parent), "TMPDIR": str(home)}
    result = subprocess.run(command, check=False, capture_output=True, cwd=home, env=environment)
    if result.returncode != 0:
        tail = (result.stdout + result.stderr).decode(errors="replace").strip()[-500:]
        shutil.rmtree(home, ignore_errors=True)
        raise ProgramFailed(thing=str(command[0]), reason=tail, mend=f"mend what it names, or {MEND}")


def _installer(server: Path) -> Path | None:
    places = [place / name for name in _INSTALLERS for place in (server.parent, *map(Path, _PLACES))]
    return next((place for place in places if os.access(place, os.X_OK)), None)


def _initialise_command(server: Path, installer: Path | None, data: Path, user: str | None) -> list[str]:
    as_user = [f"--user={user}"] if user else []
    if installer is None:
        first = data.parent / "first.sql"
        first.write_text(_ROOT_BY_ADDRESS)
        first.chmod(0o644)
        return [
            *(str(server), "--no-defaults", "--initialize-insecure"),
            *(f"--datadir={data}", f"--init-file={first}", *as_user),
        ]
    arguments = ["--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    return [str(installer), *arguments, "--skip-test-db", "--innodb-log-file-size=32M", *as_user]


def _write_settings(config: Path, settings: Mapping[str, str], home: Path) -> None:
    own = {"datadir": str(home / "data"), "tmpdir": str(home / "data")}
    lines = [f"{key} = {value}\n" for key, value in {**own, **settings}.items()]
    replace_file(config, "".join(["[mysqld]\n", *lines]))
    config.chmod(0o644)
