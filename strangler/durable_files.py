"""Files that are either the old or the new version, whole, after any crash."""

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Atomically replace `path`: write beside it, fsync, rename, fsync the folder.

    Readers (Envoy's directory watch among them) see a move, never a half-written file.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
