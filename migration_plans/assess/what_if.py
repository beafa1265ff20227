"""What it would change to move a contested table to its rival. Pure.

Moves are shown, not made: moving tables wherever the costs fall led away from known cuts (docs/assess.md), because the
cheapest place for a table is where most of its callers are, which is not always where it belongs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migration_plans.assess.facts import Facts
from migration_plans.assess.objective import Costs, workload
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.stability import Standing
from migration_plans.assess.touches import Touches

_SHOWN_MOST = 50
"""Moves, the least stable tables first; each is tried on all transactions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """Changes: below 0 is less."""

    table: str
    source: str
    target: str
    burden: float
    sagas: float
    hops: float


def contested_moves(
    facts: Facts, used: Touches, services: ServiceMap, standings: Mapping[str, Standing], worst: Costs
) -> tuple[Move, ...]:
    """For the contested tables, each alone."""
    contested = sorted(
        (standings[name].stability, table) for table, name in enumerate(facts.tables) if standings[name].contested
    )
    tables = [table for _, table in contested[:_SHOWN_MOST]]
    if not tables:
        return ()
    count = len(services.names)
    work = workload(facts, used, _set_apart(services, tables))
    home = np.concatenate([np.arange(count), services.of_table[tables]]).astype(np.int64)
    before = work.costs(home)
    moves: list[Move] = []
    for at, table in enumerate(tables):
        name = facts.tables[table]
        rival = standings[name].rival
        assert rival is not None, "what is contested has a rival"
        moved = home.copy()
        moved[count + at] = services.names.index(rival)
        after = work.costs(moved)
        moves.append(
            Move(
                table=name,
                source=services.names[int(services.of_table[table])],
                target=rival,
                burden=after.burden(worst) - before.burden(worst),
                sagas=after.sagas - before.sagas,
                hops=after.hops - before.hops,
            )
        )
    return tuple(moves)


def _set_apart(services: ServiceMap, tables: Sequence[int]) -> ServiceMap:
    """Each of the tables a service of its own for the moment, after the others."""
    of_table = services.of_table.copy()
    of_table[list(tables)] = np.arange(len(tables)) + len(services.names)
    apart = tuple(f"{table} apart" for table in tables)
    return ServiceMap(names=(*(f"{name} itself" for name in services.names), *apart), of_table=of_table)
