"""Source → change log, acknowledging what the target has."""

import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace

from cdc.changelog.port import ChangeLog
from cdc.events import Change, Transaction
from cdc.insert_run import ChangesInRuns, HeldChanges, Run, runs_of
from cdc.link import LinkSpec
from cdc.link_signals import LinkSignals
from cdc.lsn import Lsn
from cdc.open_source import source_opener
from cdc.sent_changes import SentChanges
from cdc.source_port import ChangeSource
from strangler import failpoints
from strangler.clock import Clock

_POLL_S = 0.25
_TRIM_EVERY_BYTES = 16 << 20

BUSY_S = 0.04
"""Appends that follow each other this closely are load."""
GATHER_S = 0.02

REPORT_S = 5.0
"""How often the source hears of us while one transaction is appended."""


class Pace:
    """Under load lets a few transactions come together: each append is an fsync, a wake-up and a target transaction."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._appended_at_s: float | None = None

    def appended(self) -> float:
        """Seconds to wait before the next poll; 0 after a transaction that came alone."""
        before_s, now_s = self._appended_at_s, self._clock.monotonic()
        self._appended_at_s = now_s
        return GATHER_S if before_s is not None and now_s - before_s < BUSY_S else 0.0


class _Reporting(ChangesInRuns):
    """Changes that lie on disk; whoever iterates them keeps the source's session alive."""

    def __init__(self, changes: Collection[Change], source: ChangeSource, clock: Clock) -> None:
        self._changes, self._source, self._clock = changes, source, clock

    def __len__(self) -> int:
        return len(self._changes)

    def runs(self) -> Iterator[Change | Run]:
        due_s = self._clock.monotonic() + REPORT_S
        for change in runs_of(self._changes):
            yield change
            del change
            if (now_s := self._clock.monotonic()) >= due_s:
                self._source.report()
                due_s = now_s + REPORT_S


def _reporting(transaction: Transaction, source: ChangeSource, clock: Clock) -> Transaction:
    """The server ends a session that says nothing for a minute; to append a huge transaction takes longer."""
    if isinstance(transaction.changes, tuple | HeldChanges | SentChanges):
        return transaction
    return replace(transaction, changes=_Reporting(transaction.changes, source, clock))


class CaptureLoop:
    """One session of capture: from opening the slot to its loss."""

    def __init__(
        self, link: LinkSpec, log: ChangeLog, *, signals: LinkSignals, clock: Clock, stop: threading.Event
    ) -> None:
        self._link, self._log, self._signals, self._clock, self._stop = link, log, signals, clock, stop
        self._open_source = source_opener(link, clock)
        self._trimmed = 0
        self._pace = Pace(clock)

    def session(self) -> None:
        """Runs until `stop`. Raises what `ChangeSource` and `ChangeLog` raise."""
        applied = self._signals.wait_for_ledger(_POLL_S)
        if applied is None:
            return
        self._log.start(applied)
        source = self._open_source(position=applied, resume_from=self._log.last_lsn())
        with closing(source):
            source.open()
            self._signals.well("capture")
            self._signals.captured(self._log.last_lsn())
            while not self._stop.is_set():
                self._step(source)

    def _step(self, source: ChangeSource) -> None:
        if self._signals.backlog_bytes > self._link.limits.log_backlog_bytes:
            source.report()
            self._stop.wait(_POLL_S)
        else:
            transactions = source.poll(_POLL_S)
            if transactions:
                self._log.append([_reporting(transaction, source, self._clock) for transaction in transactions])
                failpoints.reach("cdc.capture.after_append")
                self._signals.captured(transactions[-1].commit_lsn)
            self._signals.idle(*source.delivered_through)
            if transactions:
                self._stop.wait(self._pace.appended())
        applied = self._signals.applied_through
        if applied is not None:
            source.acknowledge(applied)
            self._trim(applied)

    def _trim(self, applied: Lsn) -> None:
        through = applied - self._link.limits.log_retention_bytes
        if through > self._trimmed + _TRIM_EVERY_BYTES:
            self._log.trim(Lsn(through))
            self._trimmed = through
