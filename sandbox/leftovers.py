"""The sandbox's folders and processes: how they are marked, found again and removed, whoever died in between.

Every process of a stack carries `STRANGLER_SANDBOX_FOLDER` in its environment; only processes with that mark are ever
signalled. A folder is named after the process that owns it.
"""

import contextlib
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from pathlib import Path

import psutil

MARK = "STRANGLER_SANDBOX_FOLDER"
SOCKET_NAME = "supervisor.sock"
PID_NAME = "supervisord.pid"
LIFELINE_MODULE = "sandbox.lifeline"

_PREFIX = "strangler-sandbox-"
_NAME = re.compile(rf"{_PREFIX}(?P<owner>\d+)-")
_LONGEST_PARENT = 60
_YOUNG_S = 60.0
_REMOVALS = 50
_KILL_S = 5.0
_POLL_S = 0.02


def make_folder() -> Path:
    """A new private folder for one stack; as root other accounts may pass through it, not list it."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent_folder()))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove it whole, also while processes that are just ending still write into it."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def remove_stale_folders() -> None:
    """Remove folders whose owner and supervisor are both gone (a machine that went down, an owner killed at birth)."""
    for folder in parent_folder().glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_stale(folder):
                shutil.rmtree(folder, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def supervisor_pid(folder: Path) -> int | None:
    """The process id that the folder's supervisor wrote down before it started anything."""
    with contextlib.suppress(OSError, ValueError):
        return int((folder / PID_NAME).read_text())
    return None


def wait_until_gone(processes: list[psutil.Process], timeout_s: float) -> bool:
    """Whether all ended in time. Zombies count as ended: in a container nobody may ever wait for them."""
    deadline = time.monotonic() + timeout_s
    while any(process.is_running() and is_alive(process.pid) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def end_all(folder: Path, *, supervisor_grace_s: float, grace_s: float) -> None:
    """End the stack of `folder`: first its supervisor, which stops the rest in order, then whatever is left over."""
    if supervisor := _supervisor_of(folder):
        _end([supervisor], supervisor_grace_s)
    _end(_marked(folder), grace_s)


def parent_folder() -> Path:
    """The system's temporary folder, unless an unprivileged server could not reach it or its path is too long."""
    choices = [Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")]
    fitting = [choice for choice in choices if len(str(choice)) <= _LONGEST_PARENT and _reachable_for_all(choice)]
    return fitting[0] if fitting else choices[0]


def _reachable_for_all(folder: Path) -> bool:
    if os.geteuid() != 0:
        return os.access(folder, os.W_OK | os.X_OK)
    return folder.is_dir() and all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def _is_stale(folder: Path) -> bool:
    name = _NAME.match(folder.name)
    if name is None or folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        return False
    is_young = time.time() - folder.stat().st_mtime < _YOUNG_S
    return not is_young and not is_alive(int(name["owner"])) and not _answers(folder / SOCKET_NAME)


def _answers(path: Path) -> bool:
    """Whether a supervisor listens there; unlike a pid this also tells across containers that share the folder."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _supervisor_of(folder: Path) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        pid = supervisor_pid(folder)
        if pid is not None and _is_marked(process := psutil.Process(pid), folder):
            return process
    return None


def _marked(folder: Path) -> list[psutil.Process]:
    """All processes of the stack and their descendants, but not lifelines: those end by themselves."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _is_marked(process, folder):
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    return [process for process in found.values() if not _is_lifeline(process)]


def _is_lifeline(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return LIFELINE_MODULE in process.cmdline()
    return False


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    return process.environ().get(MARK) == str(folder)


def _end(processes: list[psutil.Process], grace_s: float) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    wait_until_gone(processes, grace_s)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    wait_until_gone(processes, _KILL_S)
