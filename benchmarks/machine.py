"""What the numbers were measured on: nothing that names a host or a folder."""

import os
import platform
import re
import subprocess

import psutil

from sandbox.errors import PartMissing
from sandbox.postgres_binaries import postgres_bin

_LOOK_S = 1.5
_VERSION = re.compile(r"\(PostgreSQL\) (\S+)")


def describe_machine() -> str:
    """For instance `2 cores, 23 GiB, Python 3.11.9, PostgreSQL 18.1`."""
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    return f"{usable_cores()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}, {_postgres()}"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_in_use() -> float:
    """By whatever runs now, looked at for a second and a half. The load average would still remember our own work."""
    return psutil.cpu_percent(interval=_LOOK_S) / 100 * (os.cpu_count() or 1)


def _postgres() -> str:
    try:
        answer = subprocess.run([postgres_bin() / "postgres", "--version"], check=True, capture_output=True, text=True)
    except (PartMissing, OSError, subprocess.CalledProcessError):
        return "no PostgreSQL"
    version = _VERSION.search(answer.stdout)
    return f"PostgreSQL {version[1]}" if version else "PostgreSQL of unknown version"
