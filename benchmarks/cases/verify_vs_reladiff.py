"""Finding 0, 1, 100 and 10,000 differing rows among all, by our verification and by reladiff, in the same databases.

One figure over the four searches: rows looked at, by the time of all. reladiff gets the defaults of its Python API and
lists every differing row; ours names up to a hundred rows and their columns and counts the others.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from benchmarks.copying import CopyPair, open_pair
from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from benchmarks.item_table import SOURCE, UNMAPPED
from cdc.lsn import ZERO
from cdc.verify import verify_all
from strangler.clock import SystemClock

DIFFERENCES = (0, 1, 100, 10_000)
_COLUMNS = ("sku", "name", "descr", "status", "amount")


@dataclass(kw_only=True)
class _Seen:
    """Seconds by number of differences, of every run."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def note(self, who: str) -> str:
        each = (f"{count:,}: {sorted(times)[len(times) // 2]:.2f}" for count, times in self.seconds.items())
        return f"median seconds of {who} by differences: {', '.join(each)}"


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    import reladiff

    assert reladiff
    ours, theirs = _Seen(), _Seen()
    with open_pair(UNMAPPED, scale) as pair:
        pair.copy()
        yield Case(
            ours=lambda: _searched(pair, _verified, ours),
            reference=lambda: _searched(pair, _diffed, theirs),
            unit=f"rows/s over {len(DIFFERENCES)} searches of {pair.rows:,} rows × 6 columns",
            notes=lambda: [ours.note("ours"), theirs.note("reladiff")],
        )


def _searched(pair: CopyPair, search: Callable[[CopyPair], int], seen: _Seen) -> float:
    spent = 0.0
    for wanted in DIFFERENCES:
        count = min(wanted, pair.rows // 2)
        _differ(pair, count)
        began = time.monotonic()
        found = search(pair)
        seconds = time.monotonic() - began
        if found != count:
            raise WrongResult(thing=search.__name__, reason=f"found {found} of {count} differences", mend="mend it")
        seen.seconds.setdefault(wanted, []).append(seconds)
        spent += seconds
    return pair.rows * len(DIFFERENCES) / spent


def _differ(pair: CopyPair, count: int) -> None:
    """Exactly `count` rows of the target differ, spread evenly."""
    with psycopg.connect(pair.target_dsn, autocommit=True) as target:
        target.execute("UPDATE item SET status = split_part(status, '?', 1) WHERE status LIKE '%?'")
        if count:
            target.execute(
                "UPDATE item SET status = status || '?' WHERE id %% %s = 0 AND id <= %s",
                (pair.rows // count, pair.rows // count * count),
            )
        target.execute("VACUUM ANALYZE item")


def _verified(pair: CopyPair) -> int:
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
    return sum(table.difference_count for table in verdict.tables)


def _diffed(pair: CopyPair) -> int:
    from reladiff import connect_to_table, diff_tables

    tables = [
        connect_to_table(dsn, SOURCE.name, "id", extra_columns=_COLUMNS) for dsn in (pair.source_dsn, pair.target_dsn)
    ]
    return len({key for _, (key, *_) in diff_tables(*tables)})
