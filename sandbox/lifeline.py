"""The lifeline of a stack: `python -m sandbox.lifeline OWNER_PID FOLDER`, itself supervised.

It waits until the owner vanishes (also by `kill -9`), the supervisor vanishes, or the supervisor stops it because the
stack closes. Whichever comes first, a detached copy of it ends what still runs and removes the folder, so that nothing
is left even if the owner dies in the middle of closing.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from sandbox.leftovers import end_all, is_alive, remove_folder, supervisor_pid

_WATCH_S = 0.2
_SUPERVISOR_GRACE_S = 90.0
_GRACE_S = 5.0


def main(arguments: list[str]) -> None:
    """Watch, then bury."""
    owner, folder = int(arguments[0]), Path(arguments[1])
    _watch(owner, supervisor_pid(folder))
    if os.fork() == 0:
        _detach()
        _bury(owner, folder)


def _watch(owner: int, supervisor: int | None) -> None:
    """Return when the owner or the supervisor (our parent) is gone, or the supervisor asks us to end."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    while is_alive(owner) and os.getppid() == supervisor and not asked.is_set():
        asked.wait(_WATCH_S)


def _bury(owner: int, folder: Path) -> None:
    """End the stack; its folder goes when the owner no longer needs its logs."""
    end_all(folder, supervisor_grace_s=_SUPERVISOR_GRACE_S, grace_s=_GRACE_S)
    while folder.exists() and is_alive(owner):
        time.sleep(_WATCH_S)
    remove_folder(folder)


def _detach() -> None:
    """Leave the supervisor's session and its log pipe, so that it sees us as ended."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


if __name__ == "__main__":
    main(sys.argv[1:])
