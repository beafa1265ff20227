"""A stack of supervised local programs that is gone, whole, on any exit of its owner.

The work is done by supervisord (docs/decisions/0002). What is ours: one configuration per stack, readiness, and the
lifeline that makes `kill -9` of the owner as clean as `close`.
"""

import contextlib
import os
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

import psutil

from sandbox.errors import ProgramFailed, SupervisorGone, UnfitProgram, UnknownProgram
from sandbox.leftovers import (
    LIFELINE_MODULE,
    end_all,
    make_folder,
    remove_folder,
    remove_stale_folders,
    wait_until_gone,
)
from sandbox.ports import ReservedPorts
from sandbox.programs import (
    APP_PRIORITY,
    DATABASE_PRIORITY,
    PROXY_PRIORITY,
    Probe,
    ProgramSpec,
    programs_config,
    supervisor_config,
)
from sandbox.supervisord import ProgramState, Supervisord
from strangler.durable_files import replace_file
from strangler.redaction import redact

__all__ = ["APP_PRIORITY", "DATABASE_PRIORITY", "PROXY_PRIORITY", "Probe", "ProgramSpec", "Stack"]

_POLL_S = 0.05
_DEFAULT_TIMEOUT_S = 60.0
_LIFELINE = "lifeline"
_RESERVED = frozenset({_LIFELINE, "supervisord"})
_KILL_S = 10.0
_GRACE_S = 5.0
_TAIL_BYTES = 64 * 1024
_LINES_OF_A_FAILURE = 80


class Stack:
    """Owns a temporary folder and the programs in it. Use as a context manager, or `open` and `close`.

    Methods may be called from several threads. Programs survive a Ctrl-C on the terminal; only the owner gets it, and
    closes in order: apps, proxies, databases.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._specs: dict[str, ProgramSpec] = {}
        self._lock = threading.RLock()
        self._ports = ReservedPorts()
        self._folder: Path | None = None
        self._daemon: Supervisord | None = None

    def open(self) -> Self:
        """Make the folder, start the supervisor and the lifeline."""
        remove_stale_folders()
        try:
            self._folder = make_folder()
            self._daemon = Supervisord(self._folder)
            self._write_config()
            self._daemon.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop all programs in order, end the supervisor, remove the folder. May be called again."""
        if os.getpid() != self._owner:
            return
        daemon, folder, self._daemon, self._folder = self._daemon, self._folder, None, None
        try:
            if daemon is not None:
                self._stop_in_order(daemon)
                daemon.end(self._grace_s())
        except BaseException:
            if daemon is not None:
                daemon.interrupt()
            raise
        finally:
            self._ports.close()
        if folder is not None:
            end_all(folder, supervisor_grace_s=_GRACE_S, grace_s=_GRACE_S)
            remove_folder(folder)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """The stack's folder; removed by `close`."""
        if self._folder is None:
            raise _not_open()
        return self._folder

    def reserve_ports(self, count: int) -> tuple[int, ...]:
        """Loopback ports that stay reserved for this stack until it closes, across restarts of their programs."""
        return self._ports.take(count)

    def add(self, spec: ProgramSpec) -> None:
        """Load a program, now or at run time; it does not start yet. The same name again replaces it (and stops it)."""
        if spec.name in _RESERVED:
            raise UnfitProgram(thing=f"program {spec.name!r}", reason="the stack uses this name", mend="choose another")
        with self._lock:
            is_known = spec.name in self._specs
            if is_known:
                self.stop(spec.name)
                self._supervisor.call("removeProcessGroup", spec.name)
            self._specs[spec.name] = spec
            self._write_config()
            self._supervisor.call("reloadConfig")
            self._supervisor.call("addProcessGroup", spec.name)

    def run(self, spec: ProgramSpec, timeout_s: float = _DEFAULT_TIMEOUT_S) -> None:
        """`add` and `start`."""
        self.add(spec)
        self.start(spec.name, timeout_s=timeout_s)

    def start(self, name: str, ready: Probe | None = None, timeout_s: float = _DEFAULT_TIMEOUT_S) -> None:
        """Start it, wait until it is ready. Dead or not ready in time: it is stopped and `ProgramFailed` says why."""
        self.launch(name)
        self._wait_ready(name, ready, timeout_s, may_be_down=False)

    def launch(self, name: str) -> None:
        """Start it without waiting; a program that runs already is left alone."""
        self._spec(name)
        # SPAWN_ERROR: it ended so soon that the supervisor knows already. Whoever waits for it finds that, as if later.
        with self._faults(name, benign={"ALREADY_STARTED", "SPAWN_ERROR"}):
            self._supervisor.call("startProcess", name, False)

    def wait_ready(self, name: str, ready: Probe | None = None, timeout_s: float = _DEFAULT_TIMEOUT_S) -> None:
        """Wait for the probe (the program's own if none is given; none at all: until it has stayed up one second).

        A program with `autorestart` that is down now, say after `kill`, is first waited for to come back.
        """
        self._wait_ready(name, ready, timeout_s, may_be_down=self._spec(name).autorestart)

    def stop(self, name: str) -> None:
        """Stop it and wait; `SIGKILL` after its `stop_seconds`. One that is down is left alone."""
        self._spec(name)
        with self._faults(name, benign={"NOT_RUNNING"}):
            self._supervisor.call("stopProcess", name, True)

    def restart(self, name: str, ready: Probe | None = None, timeout_s: float = _DEFAULT_TIMEOUT_S) -> None:
        """`stop` and `start`."""
        self.stop(name)
        self.start(name, ready, timeout_s)

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Signal the program's whole process group, as a chaos test or a crash does; no-op while it is down.

        After KILL it returns when the process and all its descendants are gone, the supervisor has noticed, and
        the ports are free again. Whether the program comes back is its `autorestart`.
        """
        pid = self.pid(name)
        if pid is None:
            return
        family = _family(pid)
        number = Signals[f"SIG{signal.removeprefix('SIG')}"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        if number == Signals.SIGKILL:
            deadline = time.monotonic() + _KILL_S
            while self._state(name).pid == pid or not wait_until_gone(family, _POLL_S):
                if time.monotonic() > deadline:
                    raise self._failed(name, "was killed and does not go away")

    def pid(self, name: str) -> int | None:
        """The process id, or None while there is no process."""
        state = self._state(name)
        return state.pid if state.is_running else None

    def is_running(self, name: str) -> bool:
        """Whether its process exists. Ready is more: see `wait_ready`."""
        return self._state(name).is_running

    def log_path(self, name: str) -> Path:
        """The file with its standard output and error."""
        return self.folder / f"{name}.log"

    def log_tail(self, name: str, lines: int = 20) -> str:
        """The last lines of its output, without connection passwords."""
        self._spec(name)
        with contextlib.suppress(FileNotFoundError), self.log_path(name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return redact("\n".join(log.read().decode(errors="replace").splitlines()[-lines:]))
        return ""

    def _wait_ready(self, name: str, ready: Probe | None, timeout_s: float, *, may_be_down: bool) -> None:
        probe = ready or self._spec(name).ready or (lambda: self._supervisor.state(name).state == "RUNNING")
        deadline = time.monotonic() + timeout_s
        pid = 0
        while True:
            is_ready, state = probe(), self._supervisor.state(name)
            pid = pid or state.pid
            is_awaited = may_be_down and pid == 0 and state.state in {"EXITED", "BACKOFF"}
            if not is_awaited and not (state.is_running and state.pid == pid):
                raise self._failed(name, f"died before it was ready ({state.reason})")
            if is_ready and not is_awaited:
                return
            if time.monotonic() > deadline:
                raise self._failed(name, f"was not ready within {timeout_s:g} s")
            time.sleep(_POLL_S)

    @property
    def _supervisor(self) -> Supervisord:
        if self._daemon is None:
            raise _not_open()
        return self._daemon

    def _spec(self, name: str) -> ProgramSpec:
        try:
            return self._specs[name]
        except KeyError:
            known = ", ".join(sorted(self._specs)) or "none"
            raise UnknownProgram(
                thing=f"program {name!r}", reason=f"is not in this stack (known: {known})", mend="`add` it first"
            ) from None

    def _state(self, name: str) -> ProgramState:
        self._spec(name)
        return self._supervisor.state(name)

    def _write_config(self) -> None:
        supervisor = self._supervisor
        fixed = supervisor_config(
            self.folder, socket=supervisor.socket, pid_file=supervisor.pid_file, lifeline=self._lifeline()
        )
        growing = programs_config(self._specs.values(), log_of=self.log_path)
        replace_file(supervisor.config_file, f"{fixed}\n{growing}", mode=0o600)

    def _lifeline(self) -> ProgramSpec:
        source = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        return ProgramSpec(
            name=_LIFELINE,
            argv=(sys.executable, "-P", "-m", LIFELINE_MODULE, str(self._owner), str(self.folder)),
            env={"PYTHONPATH": path},
            cwd=self.folder,
            autorestart=True,
        )

    def _stop_in_order(self, daemon: Supervisord) -> None:
        """Tier by tier, all of a tier at once. A supervisor that is gone has nothing to stop."""
        with contextlib.suppress(SupervisorGone):
            for _, tier in groupby(sorted(self._specs.values(), key=_stops_first), key=_stops_first):
                names = {spec.name for spec in tier}
                for name in names:
                    with contextlib.suppress(xmlrpc.client.Fault):
                        daemon.call("stopProcess", name, False)
                deadline = time.monotonic() + self._grace_s()
                while time.monotonic() < deadline and not _all_down(daemon, names):
                    time.sleep(_POLL_S)

    def _grace_s(self) -> float:
        return max((spec.stop_seconds for spec in self._specs.values()), default=0) + _GRACE_S

    def _failed(self, name: str, reason: str) -> ProgramFailed:
        self.stop(name)
        return ProgramFailed(
            thing=f"program {name!r}",
            reason=f"{reason}; the end of its log:\n{self.log_tail(name, _LINES_OF_A_FAILURE) or '(empty)'}",
            mend="mend what its log names and start it again",
        )

    @contextlib.contextmanager
    def _faults(self, name: str, *, benign: set[str]) -> Iterator[None]:
        try:
            yield
        except xmlrpc.client.Fault as fault:
            if fault.faultString.split(":")[0] not in benign:
                raise self._failed(name, fault.faultString) from fault


def _stops_first(spec: ProgramSpec) -> int:
    return -spec.priority


def _all_down(daemon: Supervisord, names: set[str]) -> bool:
    return all(state.is_down for state in daemon.states() if state.name in names)


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    return []


def _not_open() -> SupervisorGone:
    return SupervisorGone(thing="the stack", reason="is not open", mend="use it inside its `with` block")
