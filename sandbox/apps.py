"""Python applications as supervised programs. Web apps listen on 127.0.0.1 and are ready when /healthz answers 200."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.probes import http_probe
from sandbox.programs import APP_PRIORITY, Probe, ProgramSpec

_KEEP_ALIVE_S = 75
"""The proxy before an app must drop idle connections sooner, else the app may close one under a request."""
_GRACE_S = 5
_STOP_S = 10


def gunicorn_program(
    name: str,
    app: str,
    port: int,
    workers: int = 2,
    threads: int = 4,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    autorestart: bool = False,
) -> ProgramSpec:
    """A WSGI app (`module:attribute`, or `module:factory()`) under gunicorn: `workers` processes of `threads` each."""
    options: dict[str, str | int] = {
        "--bind": f"127.0.0.1:{port}",
        "--workers": workers,
        "--worker-class": "gthread",
        "--threads": threads,
        "--keep-alive": _KEEP_ALIVE_S,
        "--graceful-timeout": _GRACE_S,
        "--log-level": "warning",
    }
    arguments = [*_flat(options), *_without_control_socket(), app]
    probe = http_probe(f"http://127.0.0.1:{port}/healthz")
    return python_program(name, "gunicorn", arguments, env, cwd=cwd, autorestart=autorestart, ready=probe)


def uvicorn_program(
    name: str,
    app: str,
    port: int,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    autorestart: bool = False,
    is_factory: bool = False,
) -> ProgramSpec:
    """An ASGI app (`module:attribute`; with `is_factory` a function that makes it) under uvicorn."""
    options: dict[str, str | int] = {
        "--host": "127.0.0.1",
        "--port": port,
        "--workers": workers,
        "--timeout-keep-alive": _KEEP_ALIVE_S,
        "--timeout-graceful-shutdown": _GRACE_S,
        "--log-level": "warning",
    }
    arguments = [*_flat(options), "--no-access-log", *(["--factory"] if is_factory else []), app]
    probe = http_probe(f"http://127.0.0.1:{port}/healthz")
    return python_program(name, "uvicorn", arguments, env, cwd=cwd, autorestart=autorestart, ready=probe)


def python_program(
    name: str,
    module: str,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    autorestart: bool = True,
    ready: Probe | None = None,
) -> ProgramSpec:
    """`python -m module args` with our interpreter. A worker comes back when it dies, unless told otherwise."""
    return ProgramSpec(
        name=name,
        argv=(sys.executable, "-m", module, *args),
        env={"PYTHONUNBUFFERED": "1", **(env or {})},
        cwd=cwd,
        stop_seconds=_STOP_S,
        autorestart=autorestart,
        priority=APP_PRIORITY,
        ready=ready,
    )


def _flat(options: Mapping[str, str | int]) -> list[str]:
    return [word for key, value in options.items() for word in (key, str(value))]


def _without_control_socket() -> list[str]:
    """Newer gunicorns put a control socket into the home folder unless told not to; older ones do not know the word."""
    from gunicorn.config import KNOWN_SETTINGS

    is_known = any(setting.name == "control_socket_disable" for setting in KNOWN_SETTINGS)
    return ["--no-control-socket"] if is_known else []
