"""A stream worker of the catalog into a target by SQLAlchemy, as a process of its own, for tests that kill it.

`python -m tests.sql_process FOLDER MOVE SOURCE_DSN TARGET_DSN CHUNK_ROWS`
"""

import sys
import threading

from cdc.worker import StreamWorker, stop_on_signals
from tests.catalog_mapping import CATALOG
from tests.sql_pair import sql_link


def main():
    folder, move, source, target, chunk_rows = sys.argv[1:]
    link = sql_link(move, CATALOG, source, target, folder, limits={"copy_chunk_rows": int(chunk_rows)})
    stop = threading.Event()
    stop_on_signals(stop)
    StreamWorker([link]).run(stop)


if __name__ == "__main__":
    main()
