"""The port between the stream and the mapping."""

from collections.abc import Sequence
from typing import Protocol

from cdc.events import RowChange, TableName, TargetChange, Truncate


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
