"""A worker that follows schema changes, as a process of its own, for tests that kill it.

`python -m tests.evolving_process FOLDER SOURCE_DSN TARGET_DSN` with the mapping of `tests.evolving_pair`.
"""

import sys
import threading
from dataclasses import replace
from pathlib import Path

from cdc.schema_changes.evolution import StreamSchema
from cdc.schema_changes.policy import SchemaPolicy
from cdc.schema_changes.watch import WatchedSchema
from cdc.worker import StreamWorker, stop_on_signals
from tests.evolving_pair import PLAN
from tests.stream_pair import make_link


def main():
    folder, source, target = sys.argv[1:]
    limits = {"copy_chunk_rows": 100, "takeover_s": 20.0, "retry_min_s": 0.02, "retry_max_s": 0.2}
    link = make_link("m", "forward", PLAN, source, target, Path(folder), limits=limits)
    schema = StreamSchema(
        stream=link.stream,
        direction="forward",
        source_dsn=source,
        target_dsn=target,
        plan=lambda: PLAN,
        policy=SchemaPolicy(),
    )
    schema.remember()
    stop = threading.Event()
    stop_on_signals(stop)
    StreamWorker([replace(link, evolution=WatchedSchema(schema), mapper=schema.mapper())]).run(stop)


if __name__ == "__main__":
    main()
