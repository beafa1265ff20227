"""The port every source of changes implements."""

from typing import NamedTuple, Protocol

from cdc.events import Transaction
from cdc.lsn import Lsn


class Delivered(NamedTuple):
    """Every commit record that starts at or before `lsn` has been returned by `poll`: a ledger position.

    `source_time_us`: when that was so, by the source's clock, microseconds since the Unix epoch.
    """

    lsn: Lsn
    source_time_us: int


class ChangeSource(Protocol):
    """Committed transactions of one database, in commit order.

    Positions: an `Lsn` is a 64-bit number that grows with the commit order of this source and says where in its log a
    commit stands: PostgreSQL's own, binlog file number and offset (MySQL), the number of a change batch (triggers).
    Ordering: `commit_lsn` strictly increases over everything `poll` returns after one `open`.
    Idempotency: after a reconnect a source may send again what lies above its acknowledged position, never less.
    Durability: what `acknowledge` has not covered is still there after a crash of either side, or `open` refuses.
    Values: PostgreSQL text forms (`cdc.events`), exact or refused.
    Concurrency: one thread; `acknowledge` may be called from any.
    """

    def open(self) -> None:
        """Connect and check that reading on from the position loses nothing. Raises `SlotMismatch` when it would,
        `SourceUnfit` or `DatabaseUnreachable`. Never repairs anything by itself."""
        ...

    def poll(self, timeout_s: float) -> list[Transaction]:
        """Transactions that have arrived, oldest first; waits up to `timeout_s` for the first one. May be empty."""
        ...

    def acknowledge(self, lsn: Lsn) -> None:
        """Everything through `lsn` is durable at the caller; the source may forget it. Never goes back."""
        ...

    def report(self) -> None:
        """Keep the session alive without taking more."""
        ...

    @property
    def delivered_through(self) -> Delivered:
        """How far an idle stream has come; the zero position before anything was heard."""
        ...

    def close(self) -> None:
        """Safe to call twice, and before `open`."""
        ...


class OpenSource(Protocol):
    """Makes the source of one stream; does not connect yet."""

    def __call__(self, *, position: Lsn, resume_from: Lsn) -> ChangeSource:
        """`position`: the ledger's, durably applied. `resume_from`: at or above it, the newest in the change log."""
        ...
