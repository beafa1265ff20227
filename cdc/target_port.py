"""The port between the applier and a target database.

Refusals are driver-neutral. Inside `transaction` and `savepoint`, and from every other call, a target raises

- `cdc.errors.DatabaseUnreachable`: it is away, full or read-only; close the session, come back later.
- `RaceLost`: a deadlock, serialization conflict or lock timeout; the whole transaction may be tried again at once.
- `RowRefused`: it would not take a row, whoever asked: constraint, value, length. `RowsNotFound` is one of these.
- `cdc.errors.ApplyFailed`, `SchemaChanged`, `StreamBusy`, `NotProvisioned`: everything else; the stream stops.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cdc.apply_batch import Batching, RowGroup
from cdc.copy_tracker import TableCopying
from cdc.events import TableName
from cdc.insert_run import CopyText
from cdc.lsn import Lsn
from cdc.mapping.port import BulkColumns
from cdc.parking.model import NewParked, ParkedRequest, ParkedRow, Refusal, TableRules


class RaceLost(Exception):
    """Nobody's fault: the same transaction may succeed a moment later. Never leaves the applier. `code`: SQLSTATE or
    the driver's number."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RowRefused(Exception):
    """The target takes this connection and these tables, but not this row. Never leaves the applier.

    `reason` is one line without a secret. `code`: SQLSTATE or the driver's number.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


class RowsNotFound(RowRefused):
    """A group that must match hit fewer rows than it names: the two sides have diverged."""

    def __init__(self, group: RowGroup) -> None:
        super().__init__("matches no row of the target: the two sides have diverged")
        self.group = group


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerStep:
    """How far one target transaction moves the stream. `source_time_us`: microseconds since the Unix epoch."""

    position: Lsn
    previous: Lsn
    source_time_us: int
    transactions: int
    events: int


class ParkedStore(Protocol):
    """The parked rows of one stream, in the target. Every write belongs to the open `ApplyTarget.transaction`.

    Durability: that of the transaction, so a row is parked exactly when the position has passed it.
    """

    def load(self) -> Iterable[ParkedRow]:
        """All of them, by id; read as they are asked for, while other statements of the transaction go in between."""
        ...

    def any(self) -> bool:
        """Whether anything is parked; one cheap look, asked when a session opens."""
        ...

    def add(self, rows: Sequence[NewParked], at: datetime) -> Sequence[int]:
        """Park; ids grow in the given order."""
        ...

    def refused(self, id: int, refusal: Refusal) -> None:
        """Another attempt failed: count it, keep the newest refusal, state `refused`; its request is served."""
        ...

    def remove(self, id: int) -> None:
        """It was applied."""
        ...

    def skip(self, request: ParkedRequest, at: datetime) -> None:
        """Leave it out for good: the row moves, with its event and who asked why, to `strangler.parked_audit`."""
        ...

    def requests(self) -> Sequence[ParkedRequest]:
        """What people asked for and nobody served yet, by id."""
        ...

    def drop_request(self, id: int) -> None:
        """It cannot be served now; forget it."""
        ...


class BulkTarget(Protocol):
    """A target that reads PostgreSQL's COPY text, in transactions that are not pipelined."""

    def takes_copy_text(self, table: TableName) -> bool:
        """False where rows have to be looked at one by one."""
        ...

    def insert_copy_text(self, columns: BulkColumns, rows: CopyText, count: int) -> None:
        """Insert `count` rows, none of which is there yet. In order with `ApplyTarget.write`."""
        ...


class ApplyTarget(Protocol):
    """The one open session that may write a stream's rows and its position. One thread uses it.

    Taking it makes this worker the only one of the stream (`StreamBusy` otherwise), until `close` or the loss of the
    session. Foreign keys are not checked and triggers do not fire in it, so tables are independent of each other.

    Ordering: `write` executes its groups in the given order. Durability: what a `transaction` wrote is there, all of
    it, when it ends without an error; nothing of it otherwise. Idempotency: none; the ledger in the same transaction
    makes sure that nothing is applied twice.
    """

    @property
    def parked(self) -> ParkedStore: ...

    def close(self) -> None: ...

    def load_position(self) -> Lsn:
        """The ledger. Raises `NotProvisioned` when the stream has none."""
        ...

    def load_copies(self) -> Mapping[TableName, TableCopying]:
        """Copies that have begun, by source table. A requested one has not."""
        ...

    def batching(self, table: TableName) -> Batching:
        """How rows of a target table may share a statement. Raises `SchemaChanged` when it does not exist."""
        ...

    def rules(self, table: TableName) -> TableRules:
        """What rows of a target table depend on; asked only while something is parked."""
        ...

    def forget_tables(self) -> None:
        """Read target catalogs afresh: an error may come from a changed table."""
        ...

    def transaction(self, *, pipelined: bool) -> AbstractContextManager[None]:
        """One target transaction; an error inside undoes it. `pipelined`: answers may be read as late as at its end."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction that is not pipelined: an error undoes what came since, and only that."""
        ...

    def write(self, groups: Iterable[RowGroup]) -> None:
        """Execute the groups in order. May be called many times in one transaction; keeps nothing of the groups."""
        ...

    @property
    def bulk(self) -> BulkTarget | None:
        """None where rows can only be written group by group."""
        ...

    def read_row(
        self, table: TableName, key: Mapping[str, str | None], columns: Sequence[str]
    ) -> Mapping[str, str | None] | None:
        """Text forms of `columns` of the row as it is now; None when there is none."""
        ...

    def owner(self, *, lock: bool) -> str | None:
        """Who owns the move by this database; None when nobody has said. With `lock` it stays so until commit."""
        ...

    def is_empty(self, table: TableName) -> bool: ...

    def move_position(self, step: LedgerStep) -> None:
        """Write the ledger. Raises `StreamBusy` when somebody else moved it."""
        ...

    def settle(self, step: LedgerStep, *, lock_owner: bool) -> str | None:
        """`move_position`, and with `lock_owner` what `owner(lock=True)` says: the last that a transaction does."""
        ...

    def save_copy(self, table: TableName, copying: TableCopying, new_rows: int) -> None:
        """Progress of one source table's copy, in the same transaction as its rows."""
        ...
