"""What a walk through one statement has found so far. Pure."""

from dataclasses import dataclass, field

from migration_plans.gather.statement import Access, Change, ColumnName, Join, Predicate, RowLock

_ADVISORY = frozenset(
    f"pg_{wanted}advisory_{until}lock{shared}"
    for wanted in ("", "try_")
    for until in ("", "xact_")
    for shared in ("", "_shared")
) | {"get_lock"}
"""Functions of PostgreSQL and MySQL."""


@dataclass(kw_only=True, slots=True)
class Found:
    """What has been found in one statement, in order."""

    accesses: dict[Access, None] = field(default_factory=dict)
    read: dict[ColumnName, None] = field(default_factory=dict)
    written: dict[ColumnName, None] = field(default_factory=dict)
    joins: dict[Join, None] = field(default_factory=dict)
    predicates: dict[Predicate, None] = field(default_factory=dict)
    locks: dict[RowLock, None] = field(default_factory=dict)
    changes: dict[Change, None] = field(default_factory=dict)
    views: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    unknown_tables: dict[str, None] = field(default_factory=dict)
    problem: str | None = None

    def call(self, function: str) -> None:
        """A function is called; some of the server's own lock."""
        self.functions[function] = None
        if function in _ADVISORY:
            self.locks[RowLock("", "ADVISORY")] = None
