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
    Memory: bounded, also for a transaction that is larger than memory: its `changes` are iterated while it is appended
    and decoded while they are iterated after `read`, again and again, and stay readable when retention removes it.
    Concurrency: one appender; any number of readers, in this or other processes, while it appends.
    """

    def start(self, position: Lsn) -> None:
        """Begin an empty log at a stream's ledger position: all through `position` counts as removed.

        Durable on return. A log that holds transactions stays as it is; so does one that was started further. Belongs
        before the first `append` of every session: what a lost log held is then a gap that `read` reports, never skips.
        """
        ...

    def append(self, transactions: Sequence[Transaction]) -> None:
        """Add whole transactions. Durable on return. What iterating changes raises passes through: none is added."""
        ...

    def last_lsn(self) -> Lsn:
        """`commit_lsn` of the newest durable transaction; when there is none, what `start` was given, or 0."""
        ...

    def first_lsn(self) -> Lsn:
        """Transactions up to and including this position may be missing: removed by retention, or from before `start`.
        0 when none are."""
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
