"""Which kind of store each service could have, from how its tables are used. Pure, and modest.

Only access patterns are known here, not what a team can run. So the advice is the kind of store that the monolith has,
unless a pattern clearly speaks for another one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from migration_plans.assess.usage import Usage

Store = Literal["relational", "append_only", "key_value"]

_READ_MOSTLY = 100.0
_HARDLY_READ = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Datastore:
    """Advice for one service. `beside`: what it may have in addition."""

    service: str
    store: Store
    reason: str
    beside: tuple[str, ...]
    reads: float
    writes: float


def advise_datastores(use: Usage) -> Iterator[Datastore]:
    """One per service."""
    together = _together(use)
    for number, service in enumerate(use.services.names):
        tables = use.services.tables(number)
        reads, writes = float(use.reads[tables].sum()), float(use.writes[tables].sum())
        keys = sum(
            use.service_of(key.source) == use.service_of(key.target) == number and key.source != key.target
            for key in use.facts.foreign_keys
        )
        store, reason = _choose(len(tables), reads, writes, keys, together[number])
        beside = (
            (f"a cache: {reads:g} reads for {writes:g} writes",) if writes and reads >= _READ_MOSTLY * writes else ()
        )
        yield Datastore(service=service, store=store, reason=reason, beside=beside, reads=reads, writes=writes)


def _choose(tables: int, reads: float, writes: float, keys: int, together: float) -> tuple[Store, str]:
    if not reads and not writes:
        return "relational", "nothing was seen using it: stay with what there is"
    if writes and reads <= _HARDLY_READ * writes and not keys and not together:
        return "append_only", f"{writes:g} writes, {reads:g} reads, each table by itself: it is recorded, hardly asked"
    if keys or together:
        what = [f"{keys} foreign keys within" if keys else "", f"{together:g} calls use several of its tables at once"]
        return "relational", " and ".join(filter(None, what if together else what[:1]))
    if reads > writes:
        return "key_value", f"{'its table is' if tables == 1 else 'its tables are'} used alone, with no joins or keys"
    return "relational", "nothing speaks for another kind of store"


def _together(use: Usage) -> list[float]:
    """Calls whose functionality uses at least two tables of the service."""
    count, tables = len(use.services.names), len(use.facts.tables)
    functionality, table = np.divmod(np.unique(use.used.functionality * tables + use.used.table), tables)
    pair, times = np.unique(functionality * count + use.services.of_table[table], return_counts=True)
    several = pair[times > 1]
    calls = use.facts.calls[several // count] * (1 - use.is_bulk[several // count])
    result: list[float] = np.bincount(several % count, weights=calls, minlength=count).tolist()
    return result
