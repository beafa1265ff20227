"""A stream worker as a process of its own, for tests that kill it.

`python -m tests.stream_process FOLDER MOVE SOURCE_DSN TARGET_DSN CHUNK_ROWS` with both directions of the catalog.
"""

import sys
import threading
from pathlib import Path

from cdc.worker import StreamWorker, stop_on_signals
from tests.catalog_mapping import CATALOG
from tests.stream_pair import make_link


def run_worker(mapping, chunk_rows, folder, move, source, target):
    """Both directions of a move, until signalled."""
    limits = {"copy_chunk_rows": chunk_rows, "takeover_s": 20.0, "retry_min_s": 0.02, "retry_max_s": 0.2}
    links = [
        make_link(move, direction, mapping, source, target, Path(folder), limits=limits)
        for direction in ("forward", "reverse")
    ]
    stop = threading.Event()
    stop_on_signals(stop)
    StreamWorker(links).run(stop)


if __name__ == "__main__":
    *place, chunk_rows = sys.argv[1:]
    run_worker(CATALOG, int(chunk_rows), *place)
