"""One file that several processes change: read, compare and set under a lock, replaced whole."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock that guards `path` (a file beside it, so that replacing `path` does not lose it).

    Freed by the kernel when the holder dies. Readers need no lock: the file is only ever replaced whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
