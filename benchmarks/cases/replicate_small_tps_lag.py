"""How late single-row transactions arrive while 5,000 of them commit each second.

The source keeps commit timestamps; a reader of the target notes when it first sees each row. One machine, one clock.
The figure is thus from commit to visible, and up to one look of the reader too long. pgbench commits; a run counts
only if it kept its rate.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_stream import StreamPair, open_stream_pair
from sandbox.postgres import postgres_bin

REFERENCE_MS = 250.0
TPS = 5_000
_RUN_S = 20.0
_CLIENTS = 16
_LOOK_S = 0.005
_LONGEST_S = 120.0
_SCRIPT = """\
INSERT INTO item
VALUES (nextval('item_number'), 'SKU-000000001', 'Kettle', 'Boils a litre in three minutes.', 'active', 12.50);
"""


@dataclass(kw_only=True)
class _Seen:
    """Of all runs: transactions a second, and lag in milliseconds at some shares."""

    tps: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    longest_ms: list[float] = field(default_factory=list)


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    seen = _Seen()
    with open_stream_pair(native=False) as pair:
        with psycopg.connect(pair.source_dsn, autocommit=True) as source:
            source.execute("CREATE SEQUENCE item_number")
        pair.start_worker()
        yield Case(
            ours=lambda: _lag_p99_ms(pair, _RUN_S * scale, seen),
            reference=lambda: REFERENCE_MS,
            unit=f"ms, p99 over every row of {_RUN_S * scale:g} s at {TPS:,} tps",
            notes=lambda: _notes(seen),
        )


def _lag_p99_ms(pair: StreamPair, seconds: float, seen: _Seen) -> float:
    script = pair.stack.folder / "insert.sql"
    script.write_text(_SCRIPT)
    first = _last_number(pair) + 1
    watch = _Watch(pair.ours_dsn, first)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch.run)
        try:
            tps = _pgbench(pair.source_dsn, str(script), seconds)
        finally:
            watch.wanted = _last_number(pair)
            watch.committing.clear()
        visible = watching.result()
    if tps < 0.95 * TPS:
        raise WrongResult(
            thing="load", reason=f"{tps:.0f} of {TPS} tps were committed", mend="run it on a less busy machine"
        )
    lags = sorted((visible[number] - at) * 1000 for number, at in _committed(pair, first))
    seen.tps.append(tps)
    seen.p50_ms.append(lags[len(lags) // 2])
    seen.longest_ms.append(lags[-1])
    return lags[len(lags) * 99 // 100]


class _Watch:
    """Notes when each row number is first seen at the target."""

    def __init__(self, dsn: str, first: int) -> None:
        self._dsn = dsn
        self._first = first
        self.committing = threading.Event()
        self.committing.set()
        self.wanted = 0

    def run(self) -> dict[int, float]:
        """Row number → seconds since the Unix epoch. Ends when everything that was committed is there."""
        seen: dict[int, float] = {}
        missing, give_up = self._first, time.monotonic() + _LONGEST_S
        with psycopg.connect(self._dsn, autocommit=True) as target:
            while self.committing.is_set() or missing <= self.wanted:
                if time.monotonic() > give_up:
                    raise WrongResult(thing="stream", reason=f"row {missing} did not come", mend="see stream_status")
                rows = target.execute("SELECT id FROM item WHERE id >= %s", [missing], prepare=True).fetchall()
                now = time.time()
                for (number,) in rows:
                    seen.setdefault(number, now)
                while missing in seen:
                    missing += 1
                time.sleep(_LOOK_S)
        return seen


def _pgbench(dsn: str, script: str, seconds: float) -> float:
    """Transactions a second that it says it made."""
    result = subprocess.run(
        [
            *(str(postgres_bin() / "pgbench"), "-n", "-M", "prepared", "-f", script, "-R", str(TPS)),
            *("-c", str(_CLIENTS), "-j", "1", "-T", str(max(1, round(seconds))), dsn),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds * 3 + 60,
    )
    line = next(line for line in result.stdout.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])


def _last_number(pair: StreamPair) -> int:
    with psycopg.connect(pair.source_dsn) as source:
        row = source.execute("SELECT coalesce(max(id), 0) FROM item").fetchone()
    assert row is not None
    return int(row[0])


def _committed(pair: StreamPair, first: int) -> list[tuple[int, float]]:
    """Row numbers and when they were committed, seconds since the Unix epoch."""
    with psycopg.connect(pair.source_dsn) as source:
        rows = source.execute(
            "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM item WHERE id >= %s", [first]
        ).fetchall()
    return [(number, at) for number, at in rows]


def _notes(seen: _Seen) -> list[str]:
    said = {"p50": seen.p50_ms, "longest": seen.longest_ms}
    return [
        f"committed tps of each run: {', '.join(f'{tps:,.0f}' for tps in seen.tps)}",
        *(f"lag {name}: {', '.join(f'{ms:.0f}' for ms in values)} ms" for name, values in said.items()),
    ]
