"""Foreign keys that nobody declared, concluded from joins. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from migration_plans.gather.schema_facts import SchemaFacts
from migration_plans.gather.statement import ColumnName, Join

_ALLOWED: Final = 0.001
"""Part of the sampled values that may lack a match: orphans exist where nothing forbids them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferredKey:
    """`source` holds values of `target`, by what statements join."""

    source: ColumnName
    target: ColumnName
    sampled: int | None = None
    not_matching: int | None = None

    @property
    def is_refuted(self) -> bool:
        """Do the values show that it is none?"""
        return bool(self.sampled) and (self.not_matching or 0) > _ALLOWED * (self.sampled or 0)


def inferred_keys(joins: Iterable[Join], schema: SchemaFacts) -> list[InferredKey]:
    """One key per join of a column with the single-column key of another table, unless it is declared."""
    declared = set()
    parents: dict[ColumnName, set[ColumnName]] = {}
    for key in schema.foreign_keys:
        for own, other in zip(key.columns, key.target_columns, strict=True):
            source, target = ColumnName(key.table, own), ColumnName(key.target, other)
            declared.add(frozenset((source, target)))
            parents.setdefault(source, set()).add(target)
    found: dict[InferredKey, None] = {}
    for join in joins:
        left, right = join
        if frozenset(join) in declared or left.table not in schema.tables or right.table not in schema.tables:
            continue
        if parents.get(left, set()) & parents.get(right, set()):
            # Two children of one parent joined to each other: the declared keys say it already.
            continue
        directed = _directed(left, right, schema)
        if directed is not None:
            source, target = directed
            found[InferredKey(source=source, target=target)] = None
    return sorted(found, key=lambda key: (key.source, key.target))


def _directed(left: ColumnName, right: ColumnName, schema: SchemaFacts) -> tuple[ColumnName, ColumnName] | None:
    """The side that tells rows apart is pointed to; of two such, the one that is a plain `id`."""
    is_key = {side: schema.tables[side.table].is_unique(side.column) for side in (left, right)}
    if is_key[left] != is_key[right]:
        return (right, left) if is_key[left] else (left, right)
    if not is_key[left]:
        return None
    plain = [side for side in (left, right) if side.column == "id"]
    if len(plain) != 1:
        return None
    return (right, left) if plain[0] == left else (left, right)
