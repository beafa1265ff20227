"""Verifying every row of a table, against our copy of it. Nothing writes meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.copying import CopyPair, open_pair
from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_table import UNMAPPED
from cdc.lsn import ZERO
from cdc.verify import verify_all
from strangler.clock import SystemClock


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    with open_pair(UNMAPPED, scale) as pair:
        pair.copy()
        yield Case(ours=lambda: _verified(pair), reference=pair.copy, unit=f"rows/s, {pair.rows:,} rows × 6 columns")


def _verified(pair: CopyPair) -> float:
    verdict = verify_all(
        pair.source_dsn,
        pair.target_dsn,
        pair.mapping,
        move="bench",
        direction="forward",
        wait_caught_up=lambda: None,
        clock=SystemClock(),
        position=lambda: ZERO,
    )
    if not verdict.equal or verdict.rows != pair.rows:
        raise WrongResult(thing="verify", reason=f"{verdict.rows} rows, equal: {verdict.equal}", mend="mend the copy")
    return pair.rows / verdict.seconds
