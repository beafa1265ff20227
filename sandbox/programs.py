"""What to supervise, as a value, and the supervisor's configuration written from such values. Pure."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.errors import UnfitProgram

Probe = Callable[[], bool]
"""Answers at once (within a second or two) whether a program can be used. Never raises."""

DATABASE_PRIORITY: Final = 100
PROXY_PRIORITY: Final = 200
APP_PRIORITY: Final = 300

_LIFELINE_PRIORITY = 1
_RETRIES_WITH_RESTART = 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STARTS_A_COMMENT = re.compile(r"(\s)([;#])")
_LINE_BREAKS = ("\n", "\r", "\0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramSpec:
    """One supervised program.

    Programs stop in falling order of `priority` (apps, then proxies, then databases). `env` adds to the owner's
    environment. `cwd` None means the owner's when the stack opened. `user` is honoured only when we are root. `ready`
    is the probe that `start` and `restart` wait for unless they are given another.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    autorestart: bool = False
    priority: int = APP_PRIORITY
    ready: Probe | None = None

    def __post_init__(self) -> None:
        words = (*self.argv, *self.env, *self.env.values(), str(self.cwd or ""))
        if not _NAME.fullmatch(self.name):
            raise self._unfit("its name has other signs than letters, digits, '.', '_' and '-'")
        if not self.argv:
            raise self._unfit("it has no command")
        if any(sign in word for word in words for sign in _LINE_BREAKS):
            raise self._unfit("its command, environment or folder contains a line break or a NUL")
        if _STARTS_A_COMMENT.search(str(self.cwd)):
            raise self._unfit("the name of its folder contains ' ;' or ' #'")
        if any(not key or "=" in key for key in self.env):
            raise self._unfit("a name in its environment is empty or contains '='")

    def _unfit(self, reason: str) -> UnfitProgram:
        return UnfitProgram(
            thing=f"program {self.name!r}",
            reason=reason,
            mend="name it and its folder plainly, and pass long texts to it in a file",
        )


def supervisor_config(folder: Path, *, socket: Path, pid_file: Path, lifeline: ProgramSpec) -> str:
    """The fixed part: the supervisor itself, its control socket and the lifeline."""
    return "\n".join(
        (
            _section("unix_http_server", {"file": str(socket), "chmod": "0700"}),
            _section(
                "supervisord",
                {
                    "nodaemon": "true",
                    "silent": "true",
                    "nocleanup": "true",
                    "minfds": "64",
                    "minprocs": "1",
                    "umask": "022",
                    "logfile": str(folder / "supervisord.log"),
                    "pidfile": str(pid_file),
                    "childlogdir": str(folder),
                },
            ),
            _section(
                "rpcinterface:supervisor",
                {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
            _program_section(
                lifeline, folder / "lifeline.log", {"autostart": "true", "priority": str(_LIFELINE_PRIORITY)}
            ),
        )
    )


def programs_config(specs: Iterable[ProgramSpec], *, log_of: Callable[[str], Path]) -> str:
    """The part that grows: one section per program."""
    return "\n".join(
        _program_section(spec, log_of(spec.name), {}) for spec in sorted(specs, key=lambda spec: spec.name)
    )


def _program_section(spec: ProgramSpec, log: Path, more: Mapping[str, str]) -> str:
    """A program counts as started after one second; with `autorestart` earlier deaths are retried, else final."""
    options = {
        "command": _command(spec),
        "priority": str(spec.priority),
        "autostart": "false",
        "autorestart": "true" if spec.autorestart else "false",
        "startsecs": "1",
        "startretries": str(_RETRIES_WITH_RESTART if spec.autorestart else 0),
        "stopsignal": spec.stop_signal,
        "stopwaitsecs": str(spec.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }
    if spec.cwd is not None:
        options["directory"] = str(spec.cwd)
    if spec.user is not None:
        options["user"] = spec.user
    return _section(f"program:{spec.name}", options | dict(more))


def _section(title: str, options: Mapping[str, str]) -> str:
    lines = (f"{key}={value.replace('%', '%%')}" for key, value in options.items())
    return "\n".join((f"[{title}]", *lines, ""))


def _command(spec: ProgramSpec) -> str:
    """One line that survives the supervisor's reader (which takes ` ;` and ` #` for comments even inside quotes).

    The environment goes through env(1), since the supervisor's own `environment` option cannot carry quotes.
    """
    environment = [f"{key}={value}" for key, value in sorted(spec.env.items())]
    words = ["env", *environment, *spec.argv] if environment else list(spec.argv)
    return _STARTS_A_COMMENT.sub(r"\1''\2", shlex.join(words))
