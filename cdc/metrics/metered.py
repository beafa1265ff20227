"""Counts a link from outside: its change log and its signals tell the meter, apply and capture know nothing of it."""

from collections.abc import Iterator, Sequence
from itertools import islice

from cdc.changelog.port import ChangeLog
from cdc.error_policy import Policy, policy_for
from cdc.events import Transaction
from cdc.link_signals import LinkSignals
from cdc.lsn import Lsn
from cdc.metrics.meter import StreamMeter
from strangler.clock import Clock
from strangler.errors import StranglerError

_BACKLOG_TRANSACTIONS = 100_000
"""Of an older backlog no more than these are counted: counting must not hold up a worker that has to catch up."""


class MeteredChangeLog:
    """See `ChangeLog`: the same log, counted."""

    def __init__(self, log: ChangeLog, meter: StreamMeter, clock: Clock) -> None:
        self._log, self._meter, self._clock = log, meter, clock
        self._counted_backlog = False

    def start(self, position: Lsn) -> None:
        self._log.start(position)
        if not self._counted_backlog:
            self._counted_backlog = True
            self._meter.backlog(islice(self._log.read(position), _BACKLOG_TRANSACTIONS))

    def append(self, transactions: Sequence[Transaction]) -> None:
        self._log.append(transactions)
        self._meter.captured(transactions, self._clock.monotonic())

    def last_lsn(self) -> Lsn:
        return self._log.last_lsn()

    def first_lsn(self) -> Lsn:
        return self._log.first_lsn()

    def read(self, after: Lsn) -> Iterator[Transaction]:
        for transaction in self._log.read(after):
            if self._meter.awaits_batch:
                self._meter.batch_begins(self._clock.monotonic())
            yield transaction

    def trim(self, through: Lsn) -> None:
        self._log.trim(through)

    def close(self) -> None:
        self._log.close()


class MeteredSignals(LinkSignals):
    """See `LinkSignals`: the same signals, counted."""

    def __init__(self, meter: StreamMeter, clock: Clock) -> None:
        super().__init__()
        self.meter, self._clock = meter, clock

    def applied(self, lsn: Lsn) -> None:
        super().applied(lsn)
        self.meter.applied(lsn, self._clock.monotonic(), self._clock.now().timestamp())

    def trouble(self, part: str, error: StranglerError) -> None:
        super().trouble(part, error)
        self.meter.trouble(part, type(error).__name__, retried=policy_for(error) is Policy.RETRY)


_: type[ChangeLog] = MeteredChangeLog
