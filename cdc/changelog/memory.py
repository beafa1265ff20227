"""The change log in memory: for tests and for streams that need not survive the process."""

import bisect
import threading
from collections.abc import Iterator, Sequence

from cdc.changelog.port import ChangeLog
from cdc.errors import PositionExpired
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn, format_lsn


class MemoryChangeLog:
    """See `ChangeLog`. Durable as far as the process is."""

    def __init__(self) -> None:
        self._transactions: list[Transaction] = []
        self._first_lsn = ZERO
        self._last_lsn = ZERO
        self._lock = threading.Lock()

    def start(self, position: Lsn) -> None:
        with self._lock:
            if not self._transactions:
                self._first_lsn = self._last_lsn = max(self._last_lsn, position)

    def append(self, transactions: Sequence[Transaction]) -> None:
        with self._lock:
            for transaction in transactions:
                if transaction.commit_lsn > self._last_lsn:
                    self._transactions.append(transaction)
                    self._last_lsn = transaction.commit_lsn

    def last_lsn(self) -> Lsn:
        return self._last_lsn

    def first_lsn(self) -> Lsn:
        return self._first_lsn

    def read(self, after: Lsn) -> Iterator[Transaction]:
        with self._lock:
            if after < self._first_lsn:
                raise position_expired("change log in memory", after, self._first_lsn)
            start = bisect.bisect_right(self._transactions, after, key=_commit_lsn)
            found = self._transactions[start:]
        return iter(found)

    def trim(self, through: Lsn) -> None:
        with self._lock:
            keep_from = bisect.bisect_right(self._transactions, through, key=_commit_lsn)
            if keep_from:
                self._first_lsn = self._transactions[keep_from - 1].commit_lsn
                del self._transactions[:keep_from]

    def close(self) -> None:
        """Nothing to release."""


def position_expired(thing: str, after: Lsn, first_lsn: Lsn) -> PositionExpired:
    """The error of every implementation for a reader that came too late."""
    return PositionExpired(
        thing=thing,
        reason=f"position {format_lsn(after)} was asked for, but what lies up to {format_lsn(first_lsn)} is not there: "
        "removed by retention, or lost with the log's folder",
        mend="this reader has to start over from a new copy; to prevent it raise stream.log_retention_bytes",
    )


def _commit_lsn(transaction: Transaction) -> Lsn:
    return transaction.commit_lsn


_: type[ChangeLog] = MemoryChangeLog
