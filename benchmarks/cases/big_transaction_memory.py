"""Peak resident memory of our stream worker while one transaction of a million rows goes from source to target.

The worker is a process of its own that captures, logs and applies; what is measured is its `VmHWM`, all threads and
shared libraries included. The reference is a number: 300 MB.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_stream import StreamPair, open_stream_pair
from benchmarks.item_table import insert_items

ROWS = 1_000_000
REFERENCE_MB = 300.0
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    rows = max(1, round(ROWS * scale))
    with open_stream_pair(native=False) as pair:
        yield Case(
            ours=lambda: _peak_mb(pair, rows),
            reference=lambda: REFERENCE_MB,
            unit=f"MB resident at most, {rows:,} rows × 6 columns in one transaction",
        )


def _peak_mb(pair: StreamPair, rows: int) -> float:
    """Of a fresh worker, which runs already when the transaction begins."""
    pair.empty()
    pair.start_worker()
    insert_items(pair.source_dsn, rows, rows_per_transaction=rows)
    pair.wait_for_rows(pair.ours_dsn, rows)
    pid = pair.stack.pid("worker")
    if pid is None:
        raise WrongResult(thing="worker", reason="is gone", mend="see its log")
    peak = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    pair.stop_worker()
    return int(peak[1]) * 1024 / 1e6
