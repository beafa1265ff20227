"""Which rows changed since a position, from the change log. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cdc.events import RowChange, TableName, Transaction, Truncate
from cdc.mapping.compiled import CompiledMapping

Key = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedKeys:
    """Source primary keys (text forms, key order) by source table.

    `truncated`: tables that were emptied in between, where the keys do not tell all, and tables without a primary key
    that changed; they are read whole.
    """

    keys: Mapping[TableName, frozenset[Key]]
    truncated: frozenset[TableName] = frozenset()

    @property
    def count(self) -> int:
        return sum(map(len, self.keys.values()))


def changed_keys(transactions: Iterable[Transaction], mapping: CompiledMapping) -> ChangedKeys:
    """Every key of a mapped table that these transactions inserted, updated (old and new key) or deleted."""
    keys: dict[TableName, set[Key]] = {table: set() for table in mapping.source_tables}
    keyless = frozenset(table for table in mapping.source_tables if not mapping.source_key(table))
    truncated: set[TableName] = set()
    for transaction in transactions:
        for change in transaction.changes:
            if isinstance(change, RowChange) and change.relation.table in keys:
                if change.relation.table in keyless:
                    truncated.add(change.relation.table)
                else:
                    keys[change.relation.table].update(mapping.keys_of(change))
            elif isinstance(change, Truncate):
                truncated |= {relation.table for relation in change.relations} & keys.keys()
    return ChangedKeys(
        keys={table: frozenset(found) for table, found in keys.items() if found}, truncated=frozenset(truncated)
    )
