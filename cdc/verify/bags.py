"""Tables without a primary key: how many rows of each kind are there on either side? (V9)

A row stands for itself as the two hashes of its canonical text. Rows fall into buckets by their hash; where count and
sums of a bucket differ, its rows are counted one by one. Sums, because equal rows would cancel one another out in an
exclusive or.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.events import TableName
from cdc.verify.checksums import NO_ROWS, Checksum, Key, fold

_BUCKETS: Final = 1 << 14
MOST_COUNTED: Final = 200_000
"""Rows whose kinds are counted at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BagSql:
    """One side of such a comparison. `columns`: expressions over `t`; `hashes`: over the row text `r`."""

    table: str
    columns: tuple[str, ...]
    hashes: tuple[str, ...]

    def buckets(self) -> str:
        """One row a bucket: its number, count, and the sum of each hash."""
        return (
            f"SELECT (h0 & {_BUCKETS - 1})::int, count(*), sum(h0)::text, sum(h1)::text"
            f" FROM ({self._rows()}) x GROUP BY 1"
        )

    def kinds(self) -> str:
        """Of the buckets in `$1`: the hashes of each kind of row as one text, and how many there are."""
        return (
            f"SELECT concat(h0, ' ', h1), count(*)::text FROM ({self._rows()}) x"
            f" WHERE (h0 & {_BUCKETS - 1})::int = ANY ($1::int[]) GROUP BY 1"
        )

    def states(self) -> str:
        """By hashes (`$1`, an array): place in it, how many such rows there are, which versions of rows they are."""
        return (
            "SELECT k.n, count(*)::text, sum(x.version)::text"
            f" FROM unnest($1::text[]) WITH ORDINALITY AS k (hashes, n)"
            f" JOIN ({self._rows()}) x ON concat(x.h0, ' ', x.h1) = k.hashes GROUP BY k.n"
        )

    def _rows(self) -> str:
        version = "hashtextextended(concat(t.tableoid, ' ', t.xmin, ' ', t.ctid), 0) AS version"
        text = f"SELECT ROW({', '.join(self.columns)})::text AS r, {version} FROM {self.table} t OFFSET 0"
        return f"SELECT {self.hashes[0]} AS h0, {self.hashes[1]} AS h1, version FROM ({text}) x OFFSET 0"


@dataclass(frozen=True, kw_only=True, slots=True)
class BagComparison:
    """One source table without a primary key against one of its targets. Its "keys" are the hashes of rows."""

    source_table: TableName
    target_table: TableName
    source: BagSql
    target: BagSql


def unlike(ours: dict[int, Checksum], theirs: dict[int, Checksum]) -> Iterator[Sequence[int]]:
    """The buckets that differ, so many at a time that the rows in them can be counted in memory."""
    numbers: list[int] = []
    rows = 0
    for number in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(number, NO_ROWS), theirs.get(number, NO_ROWS)
        if one == other:
            continue
        more = max(one.count, other.count)
        if numbers and rows + more > MOST_COUNTED:
            yield numbers
            numbers, rows = [], 0
        numbers.append(number)
        rows += more
    if numbers:
        yield numbers


def total(buckets: dict[int, Checksum]) -> Checksum:
    """The checksum of all of them."""
    found = NO_ROWS
    for bucket in buckets.values():
        found = fold(found, bucket)
    return found


def unequal(ours: dict[Key, str], theirs: dict[Key, str]) -> frozenset[Key]:
    """The kinds of rows of which there is another number on either side."""
    return frozenset(kind for kind in ours.keys() | theirs.keys() if ours.get(kind) != theirs.get(kind))
