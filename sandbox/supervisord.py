"""One supervisord as our child: started in a session of its own, asked over its unix socket, ended."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from sandbox.errors import SupervisorGone
from sandbox.leftovers import MARK, PID_NAME, SOCKET_NAME
from strangler.redaction import redact

_START_S = 30.0
_POLL_S = 0.03
_MEND = "open a new stack; if this one was not closed, look for what ended its supervisor (out of memory?)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramState:
    """What the supervisor knows of a program: `state` is one of its own words, `pid` is 0 while there is none."""

    name: str
    state: str
    pid: int
    reason: str

    @property
    def is_running(self) -> bool:
        """Started, and not seen to end."""
        return self.pid != 0 and self.state in {"STARTING", "RUNNING"}

    @property
    def is_down(self) -> bool:
        """No process, and none to come."""
        return self.state in {"STOPPED", "EXITED", "FATAL"}


class Supervisord:
    """The child process and its control socket. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self.socket = folder / SOCKET_NAME
        self.pid_file = folder / PID_NAME
        self.config_file = folder / "supervisord.conf"

    def start(self) -> None:
        """Run it; returns when it answers. A session of its own keeps the terminal's Ctrl-C from its programs."""
        with (self._folder / "supervisord.out").open("wb") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, MARK: str(self._folder)},
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise self._gone(f"did not start: {self._output()}")
            time.sleep(_POLL_S)

    def call(self, method: str, *arguments: Any) -> Any:
        """One call of its XML-RPC interface; `xmlrpc.client.Fault` passes, no connection is `SupervisorGone`."""
        try:
            with self._proxy() as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise self._gone(f"does not answer ({error})") from error

    def states(self) -> list[ProgramState]:
        """All programs that it has loaded, the lifeline among them."""
        return [_state(info) for info in self.call("getAllProcessInfo")]

    def state(self, name: str) -> ProgramState:
        """One program."""
        return _state(self.call("getProcessInfo", name))

    def interrupt(self) -> None:
        """Tell it to stop everything in order; do not wait."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)

    def end(self, grace_s: float) -> None:
        """Tell it to stop everything, and wait; `SIGKILL` after `grace_s`."""
        if self._child is None:
            return
        self.interrupt()
        deadline = time.monotonic() + grace_s
        request = "shutdown"
        while self._child.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(SupervisorGone, xmlrpc.client.Fault):
                self.call(request)
            request = "getState"  # any call wakes its loop, which else looks at its programs once a second
            time.sleep(_POLL_S)
        self._child.kill()
        self._child.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(SupervisorGone):
            return bool(self.call("getState")["statename"] == "RUNNING")
        return False

    @contextlib.contextmanager
    def _proxy(self) -> Iterator[Any]:
        """A connection for one call: the transport is not safe to share between threads."""
        transport = SupervisorTransport(serverurl=f"unix://{self.socket}")
        try:
            yield xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        finally:
            transport.close()

    def _output(self) -> str:
        with contextlib.suppress(OSError):
            return redact((self._folder / "supervisord.out").read_text(errors="replace")[-1000:]).strip()
        return "no output"

    def _gone(self, reason: str) -> SupervisorGone:
        return SupervisorGone(thing="the sandbox's supervisor", reason=reason, mend=_MEND)


def _state(info: Any) -> ProgramState:
    return ProgramState(
        name=info["name"], state=info["statename"], pid=int(info["pid"]), reason=info["spawnerr"] or info["description"]
    )
