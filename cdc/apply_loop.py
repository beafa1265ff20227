"""Change log → target."""

import threading
from collections.abc import Iterator

from cdc.applier import Applier
from cdc.changelog.port import ChangeLog
from cdc.chunk_handover import ChunkHandover
from cdc.errors import CopyRefused
from cdc.events import Transaction
from cdc.link import LinkSpec
from cdc.link_signals import LinkSignals
from cdc.lsn import Lsn
from strangler.clock import Clock

_WAIT_S = 0.25
_BATCH_LOG_BYTES = 32 << 20
"""Source log that one batch may span: its rows lie in memory together."""
_REMEMBERED_BYTES = 16 << 20
"""Source log behind the applied position in which a transaction may still be invisible in the source."""


class ApplyLoop:
    """One session of apply: from taking the stream to its loss."""

    def __init__(
        self,
        link: LinkSpec,
        log: ChangeLog,
        *,
        signals: LinkSignals,
        handover: ChunkHandover,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._link, self._log, self._signals, self._handover = link, log, signals, handover
        self._clock, self._stop = clock, stop
        self._ready: Applier | None = None
        self._pending: Iterator[Transaction] = iter(())
        self._advanced_at_s = clock.monotonic()
        self._asked_at_s = float("-inf")

    def prepare(self) -> None:
        """Take the stream now. Raises `StreamBusy` when another worker has it."""
        self._ready = self._open()

    def session(self) -> None:
        """Runs until `stop`. Raises what `Applier` and `ChangeLog.read` raise."""
        applier = self._ready or self._open()
        self._ready = None
        try:
            self._handover.interrupt()
            self._pending, self._asked_at_s = iter(()), float("-inf")
            self._signals.applied(applier.position)
            while not self._stop.is_set():
                self._step(applier)
        finally:
            applier.close()

    def close(self) -> None:
        """Give back a stream that was taken and never run."""
        if self._ready is not None:
            self._ready.close()

    def _open(self) -> Applier:
        applier = Applier(self._link, clock=self._clock, handover=self._handover, progress=self._progress)
        try:
            if applier.awaits_copies:
                self._remember(applier)
        except BaseException:
            # Its session holds the stream: the next try would find it taken.
            applier.close()
            raise
        return applier

    def _remember(self, applier: Applier) -> None:
        recently = Lsn(max(self._log.first_lsn(), applier.position - _REMEMBERED_BYTES))
        for transaction in self._log.read(recently):
            if transaction.commit_lsn > applier.position:
                break
            applier.remember(transaction)

    def _progress(self, done: int, total: int) -> None:
        if total > self._link.limits.batch_events:
            self._signals.progress(done, total)

    def _serve(self, applier: Applier) -> None:
        """Now and then: what was asked about parked rows. Before anything else, as it may be what lets the stream go
        on."""
        now_s = self._clock.monotonic()
        if now_s - self._asked_at_s >= self._link.limits.status_s:
            applier.serve_requests()
            self._asked_at_s = now_s

    def _step(self, applier: Applier) -> None:
        if applier.parked:
            self._serve(applier)
        version, (idle_through, idle_since_us) = self._signals.version, self._signals.idle_through
        batch = self._batch(applier)
        if batch:
            try:
                applier.apply(batch)
            except CopyRefused as refusal:
                # The copy's affair: its marks are void from now on, and the stream goes on without it.
                self._handover.interrupt(refusal)
                applier.apply(batch)
            self._signals.applied(applier.position)
            self._signals.copying(applier.copying)
            self._signals.well("apply")
            return
        self._signals.well("apply")
        now_s = self._clock.monotonic()
        if idle_through > applier.position and now_s - self._advanced_at_s >= self._link.limits.status_s:
            applier.advance(idle_through, idle_since_us)
            self._advanced_at_s = now_s
            self._signals.applied(applier.position)
        self._signals.wait_for_capture(version, _WAIT_S)

    def _batch(self, applier: Applier) -> list[Transaction]:
        """What is there, up to the limit: a single transaction does not wait for company."""
        batch = self._take()
        if not batch:
            self._pending = self._log.read(applier.position)
            batch = self._take()
        return batch

    def _take(self) -> list[Transaction]:
        batch: list[Transaction] = []
        events = 0
        for transaction in self._pending:
            batch.append(transaction)
            events += len(transaction.changes)
            if events >= self._link.limits.batch_events:
                break
            if transaction.commit_lsn - batch[0].commit_lsn >= _BATCH_LOG_BYTES:
                break
        return batch
