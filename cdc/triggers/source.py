"""Capture from the tables that triggers fill: the `ChangeSource` for a PostgreSQL whose log is not to be had.

A position is the number that this reader gave to a transaction, durably and once, when a snapshot first showed it. What
is acknowledged is deleted. One reader per stream, by an advisory lock of its session.
"""

import contextlib
from typing import Final

import psycopg

from cdc.connections import CatalogConnection, open_database, reaching
from cdc.errors import SlotMismatch, TransactionTooLarge
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn
from cdc.source_port import Delivered
from cdc.triggers import statements
from cdc.triggers.install import take_stream, trigger_names
from cdc.triggers.rows import ChangeReader
from strangler.clock import Clock, SystemClock
from strangler.errors import StranglerError

START_OVER: Final = "uninstall the stream's triggers, then install them and copy anew"
_LOOK_EVERY_S: Final = 0.05
_PRUNE_EVERY_S: Final = 1.0
_BATCH_TRANSACTIONS: Final = 2_000
_BATCH_BYTES: Final = 16 << 20
DEFAULT_TRANSACTION_BYTES: Final = 256 << 20


class TriggerSource:
    """One stream's captured changes. Open it, poll, acknowledge, close; after an error close and make a new one."""

    def __init__(
        self,
        dsn: str,
        *,
        stream: str,
        position: Lsn,
        resume_from: Lsn = ZERO,
        clock: Clock | None = None,
        transaction_bytes: int = DEFAULT_TRANSACTION_BYTES,
    ) -> None:
        self._dsn, self._stream = dsn, stream
        self._delivered = max(position, resume_from)
        self._acknowledged = self._pruned = position
        self._clock = clock or SystemClock()
        self._transaction_bytes = transaction_bytes
        self._reader = ChangeReader()
        self._through = Delivered(ZERO, 0)
        self._pruned_at_s = 0.0
        self._opened: contextlib.ExitStack | None = None
        self._connection: CatalogConnection | None = None

    def open(self) -> None:
        """See `ChangeSource.open`. Raises `SlotMismatch`, `SlotInUse` or `DatabaseUnreachable`."""
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(open_database(self._dsn))
            self._check(connection)
            take_stream(connection, self._stream)
            self._connection = connection
            self._opened = stack.pop_all()

    def poll(self, timeout_s: float) -> list[Transaction]:
        """See `ChangeSource.poll`. Raises `TransactionTooLarge` for one beyond the memory bound."""
        deadline_s = self._clock.monotonic() + timeout_s
        while True:
            batch = self._take()
            if batch or self._clock.monotonic() >= deadline_s:
                return batch
            self._clock.sleep(min(_LOOK_EVERY_S, max(0.0, deadline_s - self._clock.monotonic())))

    def acknowledge(self, lsn: Lsn) -> None:
        """See `ChangeSource.acknowledge`. Deleted with the next poll, at most once a second."""
        self._acknowledged = max(self._acknowledged, lsn)

    def report(self) -> None:
        """Delete what was acknowledged."""
        self._prune(now=True)

    @property
    def delivered_through(self) -> Delivered:
        """See `Delivered`."""
        return self._through

    def close(self) -> None:
        """Safe to call twice, and before `open`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with contextlib.suppress(StranglerError, psycopg.Error):
                self._prune(now=True)
            self._connection = None
            opened.close()

    def _take(self) -> list[Transaction]:
        connection = self._connection
        assert connection is not None, "open() comes first"
        with reaching(self._dsn):
            self._prune(now=False)
            seen = connection.execute(statements.UNASSIGNED, {"stream": self._stream}).fetchone()
            assert seen is not None
            if seen["news"]:
                connection.execute(statements.ASSIGN, {"stream": self._stream})
            transactions = self._read(connection)
            if transactions:
                last = transactions[-1]
                self._delivered = last.commit_lsn
                self._through = Delivered(last.commit_lsn, last.commit_time_us)
            elif not seen["news"]:
                self._through = Delivered(self._delivered, int(seen["now_us"]))
            return transactions

    def _read(self, connection: CatalogConnection) -> list[Transaction]:
        """Positioned transactions above what was delivered, as many as the bounds allow but at least one."""
        parameters = {"stream": self._stream, "after": self._delivered, "limit": _BATCH_TRANSACTIONS}
        through, size = 0, 0
        for row in connection.execute(statements.POSITIONS, parameters).fetchall():
            if int(row["bytes"]) > self._transaction_bytes:
                if through:
                    break
                raise self._too_large(str(row["xid"]), int(row["bytes"]))
            size += int(row["bytes"])
            if through and size > _BATCH_BYTES:
                break
            through = int(row["position"])
        if not through:
            return []
        rows = connection.execute(
            statements.CHANGES, {"stream": self._stream, "after": self._delivered, "through": through}
        )
        return self._reader.transactions(rows)

    def _prune(self, *, now: bool) -> None:
        at_s = self._clock.monotonic()
        if self._connection is None or self._acknowledged <= self._pruned:
            return
        if now or at_s - self._pruned_at_s >= _PRUNE_EVERY_S:
            through = self._acknowledged
            with reaching(self._dsn):
                self._connection.execute(statements.PRUNE, {"stream": self._stream, "through": through})
            self._pruned, self._pruned_at_s = through, at_s

    def _check(self, connection: CatalogConnection) -> None:
        try:
            state = connection.execute(statements.STATE, {"stream": self._stream}).fetchone()
        except psycopg.errors.UndefinedTable:
            state = None
        if state is None:
            raise self._mismatch("are not installed, or were removed, so changes were left out without a word")
        if int(state["acknowledged"]) > self._pruned:
            raise self._mismatch(
                f"were deleted up to {state['acknowledged']}, ahead of the ledger at {self._pruned}: somebody else "
                "read them"
            )
        if int(state["last_position"]) < self._delivered:
            raise self._mismatch(
                f"end at {state['last_position']}, before the ledger at {self._delivered}: installed anew, another "
                "database, or one restored from a backup"
            )
        self._check_triggers(connection)

    def _check_triggers(self, connection: CatalogConnection) -> None:
        """A trigger that was disabled or dropped since has left changes out."""
        row = connection.execute(
            statements.BROKEN, {"stream": self._stream, "triggers": list(trigger_names(self._stream))}
        ).fetchone()
        if row is not None:
            raise self._mismatch(f"are not complete: {row['thing']}")

    def _mismatch(self, reason: str) -> SlotMismatch:
        return SlotMismatch(thing=f"captured changes of {self._stream}", reason=reason, mend=START_OVER)

    def _too_large(self, xid: str, size: int) -> TransactionTooLarge:
        return TransactionTooLarge(
            thing=f"source transaction {xid}",
            reason=f"holds {size} bytes of changes, more than {self._transaction_bytes}",
            mend="raise transaction_bytes if the machine has the memory, or copy the tables again from after it",
        )
