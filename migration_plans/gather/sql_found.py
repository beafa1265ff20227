"""What a walk through one statement has found so far. Pure."""

from dataclasses import dataclass, field

from migration_plans.gather.statement import Access, ColumnName, Join, Predicate, RowLock


@dataclass(kw_only=True, slots=True)
class Found:
    """What has been found in one statement, in order."""

    accesses: dict[Access, None] = field(default_factory=dict)
    read: dict[ColumnName, None] = field(default_factory=dict)
    written: dict[ColumnName, None] = field(default_factory=dict)
    joins: dict[Join, None] = field(default_factory=dict)
    predicates: dict[Predicate, None] = field(default_factory=dict)
    locks: dict[RowLock, None] = field(default_factory=dict)
    views: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    unknown_tables: dict[str, None] = field(default_factory=dict)
    problem: str | None = None
