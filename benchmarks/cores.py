"""Which processor core a process may use, so that two loads that are compared do not trade places."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def pin(pid: int, core: int) -> None:
    """Keep every thread of the process on the `core`-th usable core. Does nothing where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return
    usable = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {usable[core % len(usable)]})


@contextmanager
def pinned_here(core: int) -> Iterator[None]:
    """This thread on the `core`-th usable core while the context lasts."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(usable)[core % len(usable)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has used until now."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
