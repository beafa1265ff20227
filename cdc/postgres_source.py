"""Capture from a PostgreSQL logical slot: whole transactions in commit order, and acknowledgement.

Positions. Everything here is counted in `commit_lsn`. The slot is acknowledged with the `commit_lsn` of the last
transaction that the caller made durable, or with the boundary just after what an idle stream has covered, so the slot
is never ahead of the caller's ledger, not even by one record, and T13 is an exact comparison. A session starts at the
byte after the position it resumes from: the server leaves out commit records that start before it.

Keepalives (T7). A keepalive says that the server has sent everything up to some position. It never moves the
acknowledgement. It only moves `delivered_through`: a caller that has durably applied everything `poll` returned may
write that position to its ledger and *then* acknowledge it, so that an idle stream does not retain the log of its
busy neighbours (T11).

Memory. A server sends a large transaction in pieces while it is open (`streaming`), any other when it commits. At most
one batch of `batch_transactions`/`batch_bytes` and `memory_bytes` of transactions that are not complete are held;
beyond that their messages go to files in `spill_folder`, and the socket pushes back.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cdc.assembly import DEFAULT_MEMORY_BYTES, DEFAULT_TRANSACTION_BYTES, Assembler
from cdc.connections import open_database, unreachable
from cdc.errors import DatabaseUnreachable, SlotInUse, StreamingFailed
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn, before_boundary
from cdc.marker_rows import MarkerRows
from cdc.pgoutput import POSTGRES_EPOCH_US
from cdc.replication_connection import Keepalive, ReplicationConnection
from cdc.server_versions import decoding_options
from cdc.slot_checks import check_slot
from cdc.source_port import Delivered
from cdc.spill import SpillFile
from strangler.clock import Clock, SystemClock

BLOAT_BYTES: Final = 32 << 20
"""A message of this size is worth a new connection."""
_LET_GO_S: Final = 10.0
_LET_GO_POLL_S: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamLimits:
    """Bounds of one open stream. A `poll` handles at most about `batch_bytes` of the log, so it also ends in time.

    `memory_bytes`: of messages of incomplete transactions that are held in memory rather than in `spill_folder` (None:
    the system's temporary folder). `transaction_bytes`: the largest transaction that may lie there.
    """

    batch_transactions: int = 10_000
    batch_bytes: int = 16 << 20
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    transaction_bytes: int = DEFAULT_TRANSACTION_BYTES
    spill_folder: Path | None = None
    streaming: bool = True
    status_interval_s: float = 1.0
    silence_limit_s: float = 120.0


_FEWEST_MESSAGES: Final = 3
"""Of a transaction that changes something."""
_SHORT_MESSAGES_BYTES: Final = 1 << 20
"""Taken at once; a bound of memory may be passed by as much."""
DEFAULT_LIMITS: Final = StreamLimits()


class WalStream:
    """A started replication connection read as transactions. `poll`, `report` and `close` belong to one thread;
    `acknowledge` may be called from any."""

    def __init__(
        self,
        dsn: str,
        connection: ReplicationConnection,
        *,
        after: Lsn,
        acknowledged: Lsn,
        clock: Clock,
        limits: StreamLimits,
    ) -> None:
        self._dsn = dsn
        self._connection = connection
        self._clock = clock
        self._batch_transactions = limits.batch_transactions
        self._batch_bytes = limits.batch_bytes
        self._status_interval_s = limits.status_interval_s
        self._silence_limit_s = limits.silence_limit_s
        self._assembler = Assembler(
            open_spill=partial(SpillFile, limits.spill_folder),
            memory_bytes=limits.memory_bytes,
            transaction_bytes=limits.transaction_bytes,
        )
        self._markers = MarkerRows()
        self._acknowledged = acknowledged
        self._last_delivered = after
        self._delivered_through = Delivered(ZERO, POSTGRES_EPOCH_US)
        self._boundary = ZERO
        self._largest_bytes = 0
        self._server_time_us = POSTGRES_EPOCH_US
        self._heard_at_s = self._reported_at_s = clock.monotonic()
        self._reply_due = False
        self._closed = False

    @property
    def delivered_through(self) -> Delivered:
        """See `Delivered`; the zero position before the first transaction or keepalive."""
        return self._delivered_through

    @property
    def is_bloated(self) -> bool:
        """The driver keeps a buffer of the size of the largest message until it disconnects, and to connect anew would
        make the server send nothing twice."""
        return self._largest_bytes >= BLOAT_BYTES and not self._assembler.holds_open

    @property
    def last_delivered(self) -> Lsn:
        """`commit_lsn` of the last transaction that `poll` returned; where the stream began before the first."""
        return self._last_delivered

    @property
    def acknowledged(self) -> Lsn:
        """The position last given to `acknowledge`, or the one the stream was opened with."""
        return self._acknowledged

    @property
    def own_transactions_dropped(self) -> int:
        """Transactions left out because our own apply session wrote them (only on servers before 16)."""
        return self._assembler.own_transactions_dropped

    def poll(self, timeout_s: float) -> list[Transaction]:
        """Transactions that have arrived, oldest first; waits up to `timeout_s` for the first one.

        May return an empty list before the timeout, in the middle of a long transaction. Call it at least every half
        `wal_sender_timeout` (30 s by default), also while applying is slow: it answers the server's keepalives.
        Raises `DatabaseUnreachable`, `SlotMismatch`, `DecodeError` or `TransactionTooLarge`; after any of them close
        the stream and open a new one.
        """
        deadline_s = self._clock.monotonic() + timeout_s
        batch: list[Transaction] = []
        batch_bytes = 0
        heard = False
        while len(batch) < self._batch_transactions and batch_bytes < self._batch_bytes:
            room = (self._batch_transactions - len(batch)) * _FEWEST_MESSAGES
            arrived = self._connection.receive_short(_SHORT_MESSAGES_BYTES, room)
            if arrived.sent_at_us:
                heard = True
                self._server_time_us = arrived.sent_at_us
                batch_bytes += sum(map(len, arrived.payloads))
                batch += self._assembler.feed_short(self._markers.read_all(arrived.payloads))
                if arrived.keepalive is not None:
                    self._take_keepalive(arrived.keepalive)
                continue
            message = self._connection.receive()
            if message is None:
                remaining_s = deadline_s - self._clock.monotonic()
                if batch or remaining_s <= 0:
                    break
                self._check_silence(heard)
                self._report_if_due()
                self._connection.wait(min(remaining_s, self._status_interval_s))
                continue
            heard = True
            if isinstance(message, Keepalive):
                self._take_keepalive(message)
                continue
            self._server_time_us = message.sent_at_us
            size = len(message.payload)
            batch_bytes += size
            if size > self._largest_bytes:
                self._largest_bytes = size
            payload = self._markers.read(message.payload)
            transaction = self._assembler.feed(payload, sent_at_us=message.sent_at_us)
            if transaction is not None:
                batch.append(transaction)
        self._check_silence(heard)
        self._take_batch(batch)
        self._report_if_due()
        return batch

    def acknowledge(self, lsn: Lsn) -> None:
        """Everything up to and including `lsn` is durable at the caller; the server may forget it.

        Sent with the next status update (at most `status_interval_s` later while `poll` is being called). Never goes
        back, and never moves by itself.
        """
        self._acknowledged = max(self._acknowledged, lsn)

    def report(self, *, request_reply: bool = False) -> None:
        """Send a status update now; nothing after `close`.

        `write` and `replay` tell an observer (`cdc.lag`) how far an idle stream has come; only `flush` moves the slot.
        Once everything up to a boundary that a keepalive named is acknowledged, the boundary itself is sent: a server
        that shuts down waits for every reader to name it. The time in it is the source's own clock, carried forward,
        so that observers need no other (O2).
        """
        if self._closed:
            return
        received = Lsn(max(self._delivered_through.lsn, self._acknowledged) + 1)
        flushed = self._acknowledged
        if flushed == before_boundary(self._boundary):
            flushed = self._boundary
        everything_acknowledged = self._acknowledged >= self._last_delivered
        self._connection.send_status(
            written=received,
            flushed=flushed,
            applied=received if everything_acknowledged else self._acknowledged,
            clock_us=self._source_time_us(),
            request_reply=request_reply,
        )
        self._reported_at_s = self._clock.monotonic()
        self._reply_due = False

    def close(self) -> None:
        """Send the last acknowledgement and end the session. Safe to call twice."""
        if not self._closed:
            with contextlib.suppress(DatabaseUnreachable):
                self.report()
            self._closed = True
            self._connection.close()

    def _take_keepalive(self, message: Keepalive) -> None:
        self._server_time_us = message.sent_at_us
        self._reply_due = self._reply_due or message.reply_requested
        through = before_boundary(message.lsn)
        if not self._assembler.in_transaction and through > self._delivered_through.lsn:
            self._delivered_through = Delivered(through, message.sent_at_us)
            self._boundary = message.lsn

    def _take_batch(self, batch: list[Transaction]) -> None:
        if not batch:
            return
        last = batch[-1]
        self._last_delivered = last.commit_lsn
        if last.commit_lsn > self._delivered_through.lsn:
            self._delivered_through = Delivered(last.commit_lsn, last.commit_time_us)

    def _report_if_due(self) -> None:
        if self._reply_due or self._clock.monotonic() - self._reported_at_s >= self._status_interval_s:
            self.report()

    def _check_silence(self, heard: bool) -> None:
        """A half-open connection looks idle: ask for an answer, then give up (T16)."""
        now_s = self._clock.monotonic()
        if heard:
            self._heard_at_s = now_s
        silent_s = now_s - self._heard_at_s
        if silent_s > self._silence_limit_s:
            raise unreachable(self._dsn, f"the server has been silent for {silent_s:.0f} seconds")
        if silent_s > self._silence_limit_s / 4 and now_s - self._reported_at_s >= self._status_interval_s:
            self.report(request_reply=True)

    def _source_time_us(self) -> int:
        elapsed_s = self._clock.monotonic() - self._heard_at_s
        return self._server_time_us + int(elapsed_s * 1_000_000)


class PostgresSource:
    """The slot of one stream. Open it, poll, acknowledge, close; after an error close and make a new one.

    `position` is the caller's durable ledger position: what it has acknowledged or may acknowledge. `resume_from` is
    the newest position already in the caller's change log, when that is further. A fresh stream's ledger starts at the
    position that `provision_source` returned.
    """

    def __init__(
        self,
        dsn: str,
        *,
        slot: str,
        publication: str,
        position: Lsn,
        resume_from: Lsn = ZERO,
        clock: Clock | None = None,
        limits: StreamLimits = DEFAULT_LIMITS,
        streaming_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._dsn = dsn
        self._streaming_failed = streaming_failed
        self._is_resting = False
        self._slot = slot
        self._publication = publication
        self._position = position
        self._resume_from = max(position, resume_from)
        self._clock = clock or SystemClock()
        self._limits = limits
        self._stream: WalStream | None = None

    def open(self) -> None:
        """Check the slot and start reading.

        Raises `SlotMismatch` (missing, lost, of another plugin or database, ahead of `position`), `SlotInUse`,
        `SourceUnfit` or `DatabaseUnreachable`. Never repairs anything by itself.
        """
        self._start(self._position, self._resume_from)

    def _start(self, position: Lsn, after: Lsn) -> None:
        with open_database(self._dsn) as connection:
            check_slot(connection, slot=self._slot, publication=self._publication, position=position, resume_from=after)
            version = connection.info.server_version // 10_000
        self._stream = start_stream(
            self._dsn,
            ReplicationConnection(self._dsn),
            slot=self._slot,
            publication=self._publication,
            after=after,
            acknowledged=position,
            server_version=version,
            clock=self._clock,
            limits=self._limits,
        )

    def _start_anew(self, before: WalStream) -> None:
        """Where `before`, which was closed, ended. The server may need a moment to see that it is gone."""
        deadline_s = self._clock.monotonic() + _LET_GO_S
        while True:
            try:
                return self._start(before.acknowledged, before.last_delivered)
            except SlotInUse:
                if self._clock.monotonic() > deadline_s:
                    raise
                time.sleep(_LET_GO_POLL_S)

    def poll(self, timeout_s: float) -> list[Transaction]:
        """See `WalStream.poll`. Also raises `StreamingFailed`, after calling `streaming_failed`: the source that is
        opened next must be without `StreamLimits.streaming`, or it fails again."""
        if self._is_resting:
            self._start_anew(self._opened())
            self._is_resting = False
        stream = self._opened()
        try:
            batch = stream.poll(timeout_s)
        except StreamingFailed:
            self._streaming_failed()
            raise
        if batch and stream.is_bloated:
            # What comes next, logging and applying a value of this size, needs the memory.
            stream.close()
            self._is_resting = True
        return batch

    def acknowledge(self, lsn: Lsn) -> None:
        """See `WalStream.acknowledge`."""
        self._opened().acknowledge(lsn)

    def report(self) -> None:
        """See `WalStream.report`."""
        self._opened().report()

    @property
    def delivered_through(self) -> Delivered:
        """See `Delivered`."""
        return self._opened().delivered_through

    @property
    def acknowledged(self) -> Lsn:
        """See `WalStream.acknowledged`."""
        return self._opened().acknowledged

    def close(self) -> None:
        """Send the last acknowledgement and end the session. Safe to call twice, and before `open`."""
        if self._stream is not None:
            self._stream.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> WalStream:
        assert self._stream is not None, "open() comes first"
        return self._stream


def start_stream(
    dsn: str,
    connection: ReplicationConnection,
    *,
    slot: str,
    publication: str,
    after: Lsn,
    acknowledged: Lsn,
    server_version: int,
    clock: Clock,
    limits: StreamLimits = DEFAULT_LIMITS,
) -> WalStream:
    """Start decoding `slot` on an open walsender; closes it when that fails. `server_version`: major number."""
    options = decoding_options(server_version, publication, streaming=limits.streaming)
    try:
        connection.start_logical(slot, Lsn(after + 1), options)
    except BaseException:
        connection.close()
        raise
    return WalStream(dsn, connection, after=after, acknowledged=acknowledged, clock=clock, limits=limits)
