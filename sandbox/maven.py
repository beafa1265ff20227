"""Java programs from Maven Central: resolved once by the machine's `mvn` into a cache, never into the repository."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sandbox.errors import PartMissing

_PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_RESOLVE_S: Final = 600
_VERSION = re.compile(r'version "(\d+)')
_POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>strangler</groupId><artifactId>sandbox</artifactId><version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/strangler`, or `~/.cache/strangler`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "strangler"


def resolve_jars(name: str, coordinates: Sequence[str]) -> Path:
    """The folder with `coordinates` (`group:artifact:version`) and all they need; `name` says what the cache calls it.

    Only the first call on a machine needs Maven and the network.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise PartMissing(thing=f"jars of {name}", reason="there is no `mvn` to resolve them", mend="install Maven")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _resolve(maven, coordinates, folder)
    return folder


def java_binary(least: int = 17) -> Path:
    """`$JAVA_HOME`'s or the path's `java`, of at least major version `least`."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    mend = f"install a Java {least} or later, or set JAVA_HOME"
    if found is None:
        raise PartMissing(thing="java", reason="is not installed", mend=mend)
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
    version = _VERSION.search(said)
    if version is None or int(version[1]) < least:
        raise PartMissing(thing=found, reason=f"is not Java {least} or later: {said.strip()[:200]}", mend=mend)
    return Path(found)


def _resolve(maven: str, coordinates: Sequence[str], folder: Path) -> None:
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *each.split(":")
        )
        for each in coordinates
    )
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        pom, jars = Path(work) / "pom.xml", Path(work) / "jars"
        pom.write_text(_POM.format(dependencies=dependencies))
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(pom), _PLUGIN, f"-DoutputDirectory={jars}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_RESOLVE_S,
        )
        if done.returncode != 0:
            raise PartMissing(
                thing=f"jars of {folder.name}",
                reason=f"Maven could not resolve them: {(done.stdout + done.stderr).strip()[-500:]}",
                mend="see the message; a mirror of Maven Central is set in ~/.m2/settings.xml",
            )
        jars.rename(folder)
