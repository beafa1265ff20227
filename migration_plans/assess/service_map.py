"""Which service each table goes to. Pure."""

from dataclasses import dataclass

import numpy as np

from migration_plans.assess.facts import IntArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ServiceMap:
    """Service numbers per table, and the services' names."""

    names: tuple[str, ...]
    of_table: IntArray

    def __post_init__(self) -> None:
        assert len(set(self.names)) == len(self.names), "a name is a service's own"

    def tables(self, service: int) -> list[int]:
        """Indexes of the service's tables."""
        return [int(table) for table in np.flatnonzero(self.of_table == service)]
