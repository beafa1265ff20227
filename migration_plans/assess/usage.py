"""Who uses each table, and how often. Pure.

A functionality's *home* is the service that will serve it: the one in which it writes the most tables, where a table
counts once more for each key that leads to it from what it writes elsewhere (an order is placed with the orders, though
more is written about it in accounting). When it writes none, it is the one in which it reads the most; of equals, the
first. Bulk jobs have a home too, but count nowhere here: they are rebuilt, and would make everybody use everything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import Facts, FloatArray, IntArray, Offsets
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.touches import Touches

_WRITE = 1e6
"""One written table outweighs all that are read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Usage:
    """Calls, as the facts count them, of functionalities that read or write each table. Tables × services of home."""

    facts: Facts
    services: ServiceMap
    home: IntArray
    """Service per functionality; -1 for one that uses nothing."""
    reads: FloatArray
    writes: FloatArray
    used: Touches
    is_bulk: Offsets
    """1 for the functionalities that count nowhere."""

    @cached_property
    def tables_read(self) -> list[set[int]]:
        """Per functionality."""
        return self._tables(~self.used.written)

    @cached_property
    def tables_written(self) -> list[set[int]]:
        """Per functionality."""
        return self._tables(self.used.written)

    @cached_property
    def writers(self) -> list[list[int]]:
        """Functionalities per table, bulk jobs left out."""
        result: list[list[int]] = [[] for _ in self.facts.tables]
        for functionality, tables in enumerate(self.tables_written):
            for table in () if self.is_bulk[functionality] else tables:
                result[table].append(functionality)
        return result

    @cached_property
    def number_of(self) -> Mapping[str, int]:
        """Functionality by name."""
        return {name: number for number, name in enumerate(self.facts.functionalities)}

    def _tables(self, counted: npt.NDArray[np.bool_]) -> list[set[int]]:
        result: list[set[int]] = [set() for _ in self.facts.functionalities]
        keys = self.used.functionality[counted] * len(self.facts.tables) + self.used.table[counted]
        for key in np.unique(keys).tolist():
            functionality, table = divmod(key, len(self.facts.tables))
            result[functionality].add(table)
        return result

    def service_of(self, table: int) -> int:
        """Number of the owner."""
        return int(self.services.of_table[table])

    def reads_of(self, table: int) -> float:
        """All calls that read it."""
        return float(self.reads[table].sum())

    def writes_of(self, table: int) -> float:
        """All calls that write it."""
        return float(self.writes[table].sum())


def usage(facts: Facts, used: Touches, services: ServiceMap, bulk_jobs: Mapping[str, float]) -> Usage:
    """Of these services."""
    count, functionalities, tables = len(services.names), len(facts.functionalities), len(facts.tables)
    key = np.unique((used.functionality * tables + used.table) * 2 + used.written)
    pair, written = np.divmod(key, 2)
    functionality, table = np.divmod(pair, tables)
    service = services.of_table[table].astype(np.int64)
    score = np.zeros((functionalities, count))
    np.add.at(score, (functionality, service), np.where(written, _WRITE, 1.0))
    for user, target in _referring(facts, services, functionality[written == 1], table[written == 1]):
        score[user, services.of_table[target]] += _WRITE
    home = np.where(score.any(axis=1), score.argmax(axis=1), -1).astype(np.int32) if functionalities else np.zeros(0)
    is_bulk = np.array([name in bulk_jobs for name in facts.functionalities], dtype=np.int64)
    reads, writes = np.zeros((tables, count)), np.zeros((tables, count))
    counted = is_bulk[functionality] == 0
    for into, mode in ((reads, 0), (writes, 1)):
        chosen = counted & (written == mode)
        np.add.at(
            into, (table[chosen], home[functionality[chosen]].astype(np.int64)), facts.calls[functionality[chosen]]
        )
    return Usage(
        facts=facts,
        services=services,
        home=home.astype(np.int32),
        reads=reads,
        writes=writes,
        used=used,
        is_bulk=is_bulk,
    )


def _referring(
    facts: Facts, services: ServiceMap, functionality: Offsets, table: Offsets
) -> Iterator[tuple[Offsets, int]]:
    """For each cut key: functionalities that write both its tables, and the table that it leads to."""
    order = np.argsort(table, kind="stable")
    bounds = np.searchsorted(table[order], np.arange(len(facts.tables) + 1))

    def writers(table: int) -> Offsets:
        return functionality[order[bounds[table] : bounds[table + 1]]]

    for source, target in sorted({(key.source, key.target) for key in facts.foreign_keys}):
        if services.of_table[source] != services.of_table[target]:
            yield np.intersect1d(writers(source), writers(target), assume_unique=True), target


def is_reference(use: Usage, table: int) -> bool:
    """Read from at least two services, and hardly written: at most one write for twenty reads."""
    readers = int((use.reads[table] > 0).sum())
    return readers >= 2 and use.writes_of(table) * 20 <= use.reads_of(table)
