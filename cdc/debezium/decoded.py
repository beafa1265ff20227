"""What a record of Debezium's form says, as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cdc.debezium.codec import Loss
from cdc.debezium.options import DebeziumOptions
from cdc.events import Change, TableName
from cdc.lsn import ZERO, Lsn


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A column whose value in the event is not certainly the source's."""

    column: str
    loss: Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class TransactionMark:
    """BEGIN or END of a source transaction. `event_count` and `counts` (collection → events): of an END.

    Debezium's ids are `xid:lsn`, and the lsn of an END is the byte after its commit record.
    """

    status: Literal["BEGIN", "END"]
    id: str
    event_count: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    time_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedRecord:
    """One record. `change` and `mark` are both None for a tombstone and a heartbeat. `connector`: `source.connector`.

    `lsn`: `source.lsn`; `xid`: `source.txId`; `transaction_id` and `total_order`: of the transaction block, if any.
    `previous`: the commit before this transaction's, first part of `source.sequence`; None when the writer knew none.
    """

    change: Change | None = None
    mark: TransactionMark | None = None
    doubts: tuple[Doubt, ...] = ()
    table: TableName | None = None
    lsn: Lsn = ZERO
    xid: int | None = None
    source_time_us: int = 0
    transaction_id: str | None = None
    total_order: int | None = None
    previous: Lsn | None = None
    connector: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderOptions:
    """`written`: the modes that the writer used (its placeholder; all of them for records without schema).

    `losses_marked`: the writer is our encoder and its headers are there, so only what it has marked is in doubt.
    `trusts_placeholder`: no value of the source equals the placeholder, so it is an unchanged value without a doubt.
    `nulls_are_kept`: the writer's converters have `replace.null.with.default=false`, so a null is written as one.
    `types_are_the_sources`: the catalog is the source's own. If it is another's, a type is believed where the record's
    schema agrees with it, and records without schema are refused.
    `accept_columns`: `column`, `table.column` or `schema.table.column`; `accept_losses`: kinds, in every column.
    """

    written: DebeziumOptions
    losses_marked: bool = False
    trusts_placeholder: bool = False
    nulls_are_kept: bool = False
    types_are_the_sources: bool = True
    accept_columns: frozenset[str] = frozenset()
    accept_losses: frozenset[Loss] = frozenset()
