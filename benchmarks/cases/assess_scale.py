"""Seconds from a facts document to the printed assessment: 1,000 tables, 20,000 functionalities, 5 million accesses.

The command runs as a process of its own, reading and printing included; its peak resident memory has to stay within
1 GB. The reference is a number: 60 s. The system is synthetic: 40 services of 25 tables, hubs, bulk jobs, and a
quarter of the functionalities reach into a second service.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.errors import WrongResult
from benchmarks.harness import Case

TABLES, SERVICES, FUNCTIONALITIES, ACCESSES = 1000, 40, 20_000, 5_000_000
REFERENCE_S = 60.0
MEMORY_MAX_MB = 1000.0
_ROOT = Path(__file__).parents[2]


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    functionalities = max(SERVICES, round(FUNCTIONALITIES * scale))
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "facts.json")
        _write(facts, functionalities, per_functionality=ACCESSES // FUNCTIONALITIES)
        peaks_mb: list[float] = []
        yield Case(
            ours=lambda: _assess_s(facts, Path(folder, "assessed.json"), peaks_mb),
            reference=lambda: REFERENCE_S,
            unit=f"s for {TABLES:,} tables, {functionalities:,} functionalities, {facts.stat().st_size / 1e6:.0f} MB",
            notes=lambda: [f"peak resident memory {max(peaks_mb):,.0f} MB of {MEMORY_MAX_MB:,.0f}"],
        )


def _assess_s(facts: Path, printed: Path, peaks_mb: list[float]) -> float:
    """Wall seconds of the whole command."""
    began = time.monotonic()
    with printed.open("wb") as out:
        command = [sys.executable, "-m", "cli", "assess", "--facts", str(facts), "--json"]
        places = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1)]
        child = os.posix_spawn(sys.executable, command, {**os.environ, "PYTHONPATH": str(_ROOT)}, file_actions=places)
        _, status, used = os.wait4(child, 0)
    took_s = time.monotonic() - began
    peaks_mb.append(used.ru_maxrss * 1024 / 1e6)
    assessed = json.loads(printed.read_text() or "{}")
    if status or sum(map(len, assessed.get("services", {}).values())) != TABLES:
        raise WrongResult(
            thing="strangler assess", reason=f"status {status}, or tables are missing", mend="run it by hand"
        )
    if peaks_mb[-1] > MEMORY_MAX_MB:
        raise WrongResult(
            thing="strangler assess", reason=f"took {peaks_mb[-1]:,.0f} MB", mend=f"stay within {MEMORY_MAX_MB:,.0f} MB"
        )
    return took_s


def _write(path: Path, functionalities: int, *, per_functionality: int) -> None:
    rng = np.random.default_rng(1)
    names = [f"table_{number:04d}" for number in range(TABLES)]
    size = TABLES // SERVICES
    with path.open("w") as out:
        out.write('{"functionalities": {')
        for number in range(functionalities):
            used = _used(rng, home=number % SERVICES, size=size)
            steps = rng.choice(used, per_functionality)
            writes = rng.random(per_functionality) < 0.3
            accesses = [[names[table], "W" if write else "R"] for table, write in zip(steps, writes, strict=True)]
            transactions = [accesses[begin : begin + 50] for begin in range(0, per_functionality, 50)]
            value = {"calls": int(rng.pareto(1) * 100) + 1, "transactions": transactions}
            out.write(f'{", " if number else ""}"endpoint {number}": {json.dumps(value)}')
        out.write("}}")


def _used(rng: np.random.Generator, *, home: int, size: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Tables of one functionality: some of its own service's, often a hub, at times another service's or very many."""
    if rng.random() < 0.01:
        return rng.choice(TABLES, TABLES // 4, replace=False)
    own = home * size + rng.choice(size, int(rng.integers(2, 9)), replace=False)
    hubs = rng.choice(3, 1) if rng.random() < 0.5 else own[:1]
    other = (home + int(rng.integers(1, SERVICES))) % SERVICES
    foreign = other * size + rng.choice(size, 2) if rng.random() < 0.25 else own[:1]
    return np.unique(np.concatenate([own, hubs, foreign]))
