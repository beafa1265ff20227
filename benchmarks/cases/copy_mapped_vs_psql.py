"""The same copy with rename, lookup, scale and a split into two tables, against the same pipe, which maps nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.copying import open_pair
from benchmarks.harness import Case
from benchmarks.item_table import MAPPED


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    with open_pair(MAPPED, scale) as pair:
        unit = f"source rows/s, {pair.rows:,} rows × 6 columns into two tables"
        yield Case(ours=pair.copy, reference=pair.pipe, unit=unit, notes=pair.notes)
