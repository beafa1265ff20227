"""PostgreSQL servers that a test may kill: processes of its own, restarted on the same data."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import psutil
import psycopg

from benchmarks.crash.errors import ServerLost
from sandbox.leftovers import MARK
from sandbox.postgres import postgres_program, server_url

_START_S: Final = 90.0
_POLL_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)

_SETTINGS: Final = {"shared_buffers": "64MB", "checkpoint_timeout": "30s", "autovacuum_naptime": "5s"}


def die_with_parent() -> None:
    """Runs in a child before its program: nothing of a suite outlives a suite that was killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Cluster:
    """One durable server with its data below `folder`/`name`."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.name, self.url = name, server_url(port)
        self._folder, self._log = folder, folder / f"{name}.log"
        self._program = postgres_program(folder, port=port, name=name, settings=_SETTINGS)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers. Backends of a killed server may hold its memory a moment longer: retried."""
        deadline = time.monotonic() + _START_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self._spawn()
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise ServerLost(
                    thing=f"server {self.name}",
                    reason=f"did not come back within {_START_S:.0f} s: {self.last_words()}",
                    mend="read its log; a machine that is busy needs longer",
                )
            time.sleep(_POLL_S)

    def _spawn(self) -> None:
        program = self._program
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                program.argv,
                env={**os.environ, **program.env, MARK: str(self._folder)},
                cwd=program.cwd,
                user=program.user if os.geteuid() == 0 else None,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
            )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children notice and end."""
        self._signal(signal.SIGKILL)

    def quit(self) -> None:
        """Immediate shutdown: every process ends at once, recovery follows at the next start."""
        self._signal(signal.SIGQUIT)

    def stop(self) -> None:
        self._signal(signal.SIGINT)

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children()
        self._process.send_signal(number)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        psutil.wait_procs(children, timeout=10)

    def kill_backend(self, where: str) -> bool:
        """SIGKILL to a backend found by a condition on `pg_stat_activity`: the server ends all others and recovers."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(f"SELECT pid FROM pg_stat_activity WHERE {where} LIMIT 1".encode()).fetchone()
        if row is None:
            return False
        os.kill(row[0], signal.SIGKILL)
        return True

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-1500:] if self._log.exists() else ""
