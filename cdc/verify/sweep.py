"""One pass over a table in key ranges, narrowed to the keys that look different."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from cdc.verify.bags import BagComparison, BagSql, total, unequal, unlike
from cdc.verify.checksums import NO_ROWS, Checksum, Key
from cdc.verify.reading import Both, Range, Side, joined
from cdc.verify.statements import Comparison

_Ask = Callable[[Side], Checksum]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspects:
    """What one chunk showed: its source checksum, and the target keys whose rows were not seen equal."""

    source: Checksum
    keys: frozenset[Key]


def sweep(both: Both, comparison: Comparison | BagComparison, chunk_rows: int) -> Iterator[Suspects]:
    """Every range of the table in order, both sides read at the same time. The ranges leave no gap."""
    if isinstance(comparison, BagComparison):
        yield from _sweep_bag(both, comparison)
        return
    ends = _ends(both, comparison, chunk_rows)
    low, high = None, next(ends, None)
    while True:
        span = Range(low=low, high=high)
        reading = both.start(*_checksums(comparison, span))
        following = next(ends, None) if high is not None else None
        source, target = joined(reading)
        keys = (
            frozenset() if source == target else frozenset(_narrow(both, comparison, span, source, target, chunk_rows))
        )
        yield Suspects(source=source, keys=keys)
        if high is None:
            return
        low, high = high, following


def _sweep_bag(both: Both, comparison: BagComparison) -> Iterator[Suspects]:
    """One pass over the table; another one for as many rows as can be counted at once, where buckets differ."""
    ours, theirs = both.ask(lambda side: side.buckets(comparison.source), lambda side: side.buckets(comparison.target))
    yield Suspects(source=total(ours), keys=frozenset())
    for numbers in unlike(ours, theirs):
        one, other = both.ask(partial(_kinds, comparison.source, numbers), partial(_kinds, comparison.target, numbers))
        yield Suspects(source=NO_ROWS, keys=unequal(one, other))


def _kinds(sql: BagSql, numbers: Sequence[int], side: Side) -> dict[Key, str]:
    return side.kinds(sql, numbers)


def _ends(both: Both, comparison: Comparison, chunk_rows: int) -> Iterator[Key]:
    if not comparison.indexed:
        yield from both.scout.all_bounds(comparison.source, chunk_rows)
        return
    low: Key | None = None
    while (end := both.scout.next_bound(comparison.source, Range(low=low), chunk_rows)) is not None:
        yield end
        low = end


def _narrow(
    both: Both, comparison: Comparison, span: Range, source: Checksum, target: Checksum, chunk_rows: int
) -> Iterator[Key]:
    """Keys in a range that are not seen equal: halved until it is small enough to list both sides."""
    if max(source.count, target.count) > 2 * chunk_rows:
        larger, sql = (
            (both.source, comparison.source) if source.count > target.count else (both.target, comparison.target)
        )
        middle = larger.next_bound(sql, span, max(source.count, target.count) // 2)
        if middle is not None and middle != span.high:
            for half in (Range(low=span.low, high=middle), Range(low=middle, high=span.high)):
                one, other = both.ask(*_checksums(comparison, half))
                if one != other:
                    yield from _narrow(both, comparison, half, one, other, chunk_rows)
            return
    ours, theirs = both.ask(
        lambda side: side.rows(comparison.source, span), lambda side: side.rows(comparison.target, span)
    )
    yield from (key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _checksums(comparison: Comparison, span: Range) -> tuple[_Ask, _Ask]:
    return (
        lambda side: side.checksum(comparison.source, span),
        lambda side: side.checksum(comparison.target, span),
    )
