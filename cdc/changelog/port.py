"""The port every change log implements."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from cdc.events import Transaction
from cdc.lsn import Lsn


class ChangeLog(Protocol):
    """Committed transactions of one stream, in commit order.

    Ordering: `read` yields transactions in strictly increasing `commit_lsn`.
    Idempotency: appending a transaction whose `commit_lsn` is at or below `last_lsn()` is skipped, so a source that
    resends after a reconnect does no harm.
    Durability: when `append` returns, the transactions survive the loss of process and machine (fsync).
    Concurrency: one appender; any number of readers, in this or other processes, while it appends.
    """

    def append(self, transactions: Sequence[Transaction]) -> None:
        """Add whole transactions. Durable on return."""
        ...

    def last_lsn(self) -> Lsn:
        """`commit_lsn` of the newest durable transaction; 0 when empty."""
        ...

    def first_lsn(self) -> Lsn:
        """Transactions up to and including this position may have been removed by retention; 0 when none were."""
        ...

    def read(self, after: Lsn) -> Iterator[Transaction]:
        """Every durable transaction with `commit_lsn > after`, then stop (call again to follow).

        Raises `cdc.errors.PositionExpired` when `after < first_lsn()`: a gap is never skipped silently.
        """
        ...

    def trim(self, through: Lsn) -> None:
        """Retention: transactions with `commit_lsn <= through` may be removed. Never removes a later one."""
        ...

    def close(self) -> None: ...
