"""Our chunked, resumable, online copy of one table unmapped, against a pipe of two COPY."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.copying import open_pair
from benchmarks.harness import Case
from benchmarks.item_table import UNMAPPED


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    with open_pair(UNMAPPED, scale) as pair:
        yield Case(
            ours=pair.copy, reference=pair.pipe, unit=f"rows/s, {pair.rows:,} rows × 6 columns", notes=pair.notes
        )
