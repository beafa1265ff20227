"""From a source's outbox table, through a change log, to a sink. One thread, no loss; see `EventSink` for the rest."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Final

from cdc.changelog.port import ChangeLog
from cdc.events import Transaction
from cdc.lsn import ZERO, Lsn
from cdc.outbox.events import DomainEvent
from cdc.outbox.options import OutboxOptions
from cdc.outbox.router import Complaint, OutboxRouter
from cdc.outbox.sinks import EventSink
from cdc.source_port import OpenSource
from strangler.clock import Clock

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.25
_BATCH_CHANGES: Final = 1000
_ADVANCE_S: Final = 1.0
"""How often the position moves over log that holds nothing for this outbox."""
_KEPT_BYTES: Final = 64 << 20
"""Source log that stays in the change log behind the position, for somebody to look at."""


class OutboxRelay:
    """Reads a change log from the sink's position on, and delivers what the router makes of it."""

    def __init__(self, log: ChangeLog, options: OutboxOptions, sink: EventSink) -> None:
        self._log, self._sink = log, sink
        self._router = OutboxRouter(options)
        self._position = sink.position()
        self.delivered = 0
        """Events since this relay was made."""

    @property
    def position(self) -> Lsn | None:
        """Everything through it was delivered."""
        return self._position

    def start(self, position: Lsn) -> None:
        """Where a relay that has never delivered begins."""
        if self._position is None:
            self._position = position

    def step(self) -> int:
        """Deliver everything that the log holds now; returns the number of transactions. Raises what the sink and
        `ChangeLog.read` raise, and `OutboxInvalid`: the position is then before the transactions that were not
        delivered."""
        after = self._position
        if after is None:
            after = self._log.first_lsn()
        count = 0
        for batch in _batches(self._log.read(after)):
            through = batch[-1].commit_lsn
            self._sink.deliver(chain.from_iterable(map(self._events, batch)), through)
            self._position = through
            count += len(batch)
        return count

    def advance(self, idle_through: Lsn) -> None:
        """The source had nothing more through `idle_through`. The position follows, or a busy neighbour's log would be
        retained for an outbox into which nobody writes."""
        after = self._position
        if after is not None and idle_through > after and self._log.last_lsn() <= after:
            self._sink.deliver((), idle_through)
            self._position = idle_through

    def _events(self, transaction: Transaction) -> Iterator[DomainEvent]:
        for index, change in enumerate(transaction.changes):
            routed = self._router.route(transaction, index, change)
            if isinstance(routed, Complaint):
                _log.log(logging.ERROR if routed.level == "error" else logging.WARNING, "%s", routed.text)
            elif routed is not None:
                self.delivered += 1
                yield routed


def _batches(transactions: Iterator[Transaction]) -> Iterator[Sequence[Transaction]]:
    """Whole transactions, up to a bound of changes; a huge one comes alone."""
    batch: list[Transaction] = []
    changes = 0
    for transaction in transactions:
        batch.append(transaction)
        changes += len(transaction.changes)
        if changes >= _BATCH_CHANGES:
            yield batch
            batch, changes = [], 0
    if batch:
        yield batch


def run_relay(
    *,
    open_source: OpenSource,
    log: ChangeLog,
    relay: OutboxRelay,
    start: Lsn,
    stopped: Callable[[], bool],
    clock: Clock,
    until: Lsn | None = None,
    watch: Callable[[Lsn], None] = lambda _: None,
) -> None:
    """Capture and deliver until `stopped` says so, or, with `until`, until everything that committed through it is
    delivered. `start`: where a new relay begins. The source forgets only what was delivered. `watch`: called every
    second, and before the end, with the position; raises when rows are not sent any more."""
    relay.start(start)
    position = relay.position or ZERO
    log.start(position)
    with closing(open_source(position=position, resume_from=log.last_lsn())) as source:
        source.open()
        trimmed, advanced_at_s = ZERO, clock.monotonic()
        while not stopped():
            captured = source.poll(_POLL_S)
            if captured:
                log.append(captured)
            relay.step()
            now_s = clock.monotonic()
            if now_s - advanced_at_s >= _ADVANCE_S:
                advanced_at_s = now_s
                watch(relay.position or ZERO)
                relay.advance(source.delivered_through.lsn)
            source.acknowledge(relay.position or ZERO)
            through = relay.position or ZERO
            if through > trimmed + _KEPT_BYTES * 2:
                trimmed = Lsn(through - _KEPT_BYTES)
                log.trim(trimmed)
            if until is not None and max(source.delivered_through.lsn, log.last_lsn()) >= until:
                watch(relay.position or ZERO)
                return
