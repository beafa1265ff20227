"""The port between the stream and the mapping."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.events import Change, Relation, RowChange, TableName, TargetChange, Truncate
from cdc.mapping.convert import Convert


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkColumns:
    """Where new rows go, column by column: `columns[n]` of `table` gets the value at `positions[n]` of the relation.

    `converts`: what is done to the values, that are not NULL, of some of them: index in `columns`, the source column as
    errors name it, and a function that raises ValueError. `constants`: further columns, with one value in every row.
    """

    table: TableName
    columns: tuple[str, ...]
    positions: tuple[int, ...]
    converts: tuple[tuple[int, str, Convert], ...] = ()
    constants: tuple[tuple[str, str], ...] = ()


class Mapper(Protocol):
    """Pure and total over the source tables it was compiled for.

    `map` returns target changes in the order they must be applied (parents before children on insert, reverse on
    delete). Raises `cdc.errors.SchemaChanged` when the event's relation lacks a mapped column or has a new one, and
    `KeyError` never: an event of a table that is not in `source_tables` is the caller's to ignore.
    """

    @property
    def source_tables(self) -> Sequence[TableName]: ...

    @property
    def target_tables(self) -> Sequence[TableName]: ...

    def map(self, change: RowChange | Truncate) -> Sequence[TargetChange]: ...

    def bulk(self, relation: Relation) -> Sequence[BulkColumns] | None:
        """Where inserts of this relation go, parents first; None where other rows decide about one. Raises as `map`
        does."""
        ...

    def map_transaction(self, changes: Sequence[Change]) -> Sequence[TargetChange]:
        """All changes of one transaction, in a safe order. Messages and tables that are not mapped are passed over.

        Where several source tables fill one target row, only this method sees enough to order them; `map` on each
        change in turn is equal to it everywhere else.
        """
        ...
