"""How firmly each table stands in its service. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from migration_plans.assess.facts import FloatArray
from migration_plans.assess.service_map import ServiceMap

_CONTESTED_FROM = 0.5
"""A rival that a table was with at least half as often as with its own service contests it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """`stability`: from 1 (never with the rival) to 0 (as often with it as with its own service)."""

    stability: float
    rival: str | None
    """The other service that the table was with oftenest."""
    contested: bool


def standings(tables: Sequence[str], services: ServiceMap, consensus: FloatArray) -> Mapping[str, Standing]:
    """By table. `consensus`: the share of runs that put two tables together."""
    count = len(services.names)
    member = np.zeros((len(tables), count))
    member[np.arange(len(tables)), services.of_table] = 1
    sizes = member.sum(axis=0)
    together = (consensus - np.diag(np.diagonal(consensus))) @ member
    result: dict[str, Standing] = {}
    for table, name in enumerate(tables):
        own = int(services.of_table[table])
        others = sizes - member[table]
        mean = np.divide(together[table], others, out=np.zeros(count), where=others > 0)
        if sizes[own] == 1:
            mean[own] = 1 - mean.max(initial=0.0)
        rivals = [service for service in range(count) if service != own]
        rival = max(rivals, key=lambda service: mean[service], default=None)
        against = 0.0 if rival is None else float(mean[rival])
        firm = float(mean[own])
        result[name] = Standing(
            stability=max(0.0, 1 - against / firm) if firm else 0.0,
            rival=services.names[rival] if rival is not None and against else None,
            contested=against > 0 and against >= _CONTESTED_FROM * firm,
        )
    return result
