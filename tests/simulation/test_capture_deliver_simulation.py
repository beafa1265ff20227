"""Capture → change log → delivery with faults at every border, one seed a run.

The fault words: `drop` (the connection to the source), `slow` (nothing arrives), `reject` (the receiver takes nothing),
`fail after write` (it took everything and the answer was lost), `refuse append` and `crash` (between any two durable
acts: after a poll, after an append, before the checkpoint). Held to: every committed event is delivered, in commit
order, what comes twice carries the same id, a receiver that keeps its position with the events gets each once, and the
source is never told of more than what is durable.
"""

import random

import pytest

from cdc.changelog.memory import MemoryChangeLog
from cdc.errors import DatabaseUnreachable, DeliveryFailed, LogUnwritable
from cdc.events import Column, Relation, RowChange, TableName, Transaction
from cdc.lsn import ZERO, Lsn
from cdc.outbox.options import OutboxOptions
from cdc.outbox.relay import OutboxRelay, run_relay
from cdc.source_port import Delivered
from strangler.clock import ManualClock
from strangler.errors import StranglerError

NAMES = ("id", "aggregatetype", "aggregateid", "payload")
OUTBOX = Relation(oid=1, schema="public", name="outbox", columns=tuple(Column(name=n, type_oid=25) for n in NAMES))
OTHER = Relation(oid=2, schema="public", name="other", columns=OUTBOX.columns)
FAULTS = ("drop", "slow", "reject", "fail after write", "refuse append", "crash")


class Crash(BaseException):
    """The process is gone: what is not durable is lost."""


class Faults:
    """Says of every border whether something goes wrong there, and counts what did."""

    def __init__(self, chance, words, share):
        self.chance, self.words, self.share, self.seen = chance, words, share, dict.fromkeys(words, 0)

    def happens(self, word):
        if word not in self.words or self.chance.random() >= self.share:
            return False
        self.seen[word] += 1
        return True

    def crash(self):
        if self.happens("crash"):
            raise Crash


class Server:
    """The source's log; writes go on whenever somebody looks."""

    def __init__(self, chance):
        self.chance, self.log, self.lsn, self.confirmed, self.written = chance, [], 100, Lsn(100), []

    def write(self):
        self.lsn += self.chance.randint(2, 30)
        changes = []
        for _ in range(self.chance.randint(0, 3)):
            number = len(self.written)
            self.written.append(f"e{number}")
            row = (f"e{number}", "order", str(self.chance.randint(1, 4)), f'{{"n": {number}}}')
            changes.append(RowChange(relation=OUTBOX, op="c", new=row))
            if self.chance.random() < 0.3:
                changes.append(RowChange(relation=OUTBOX, op="d", new=None, old=row))
        changes.append(RowChange(relation=OTHER, op="c", new=("x", "y", "z", "{}")))
        if changes:
            at = Lsn(self.lsn)
            self.log.append(
                Transaction(xid=self.lsn, commit_lsn=at, end_lsn=Lsn(at + 1), commit_time_us=at, changes=tuple(changes))
            )


class Source:
    """One connection. After a reconnect it sends everything above `resume_from` again, maybe some below it."""

    def __init__(self, server, faults, sink, *, position, resume_from):
        self.server, self.faults, self.sink = server, faults, sink
        self.resume_from, self.sent, self.through = resume_from, 0, ZERO
        assert server.confirmed <= position, "the slot is ahead of the ledger"

    def open(self):
        below = max(0, self.server.chance.randint(-3, 3))
        todo = [one for one in self.server.log if one.commit_lsn > self.server.confirmed]
        skipped = [one for one in todo if one.commit_lsn <= self.resume_from]
        self.queue = skipped[len(skipped) - below if below else len(skipped) :]
        self.next = self.resume_from

    def poll(self, timeout_s):
        if self.faults.happens("drop"):
            raise DatabaseUnreachable(thing="t", reason="r", mend="m")
        if self.faults.happens("slow"):
            return []
        fresh = [one for one in self.server.log if one.commit_lsn > self.next]
        count = self.server.chance.randint(0, 5)
        found, self.queue = [*self.queue, *fresh[:count]], []
        self.next = max([self.next, *(one.commit_lsn for one in found)])
        self.through = Lsn(self.server.lsn) if count >= len(fresh) else self.next
        self.faults.crash()
        return found

    def acknowledge(self, lsn):
        assert lsn <= (self.sink.durable or self.server.confirmed), "the source was told of more than is durable"
        self.server.confirmed = max(self.server.confirmed, lsn)

    @property
    def delivered_through(self):
        return Delivered(self.through, 0)

    def close(self):
        pass


class FaultyLog(MemoryChangeLog):
    """Durable like a disk: outlives the crashes of the process that writes it."""

    def __init__(self, faults):
        super().__init__()
        self.faults = faults

    def append(self, transactions):
        if self.faults.happens("refuse append"):
            raise LogUnwritable(thing="t", reason="r", mend="m")
        super().append(transactions)
        self.faults.crash()


class Receiver:
    """What it holds outlives every crash. `exactly`: events and position are one transaction."""

    def __init__(self, faults, exactly):
        self.faults, self.exactly, self.events, self.durable = faults, exactly, [], None

    def position(self):
        return self.durable

    def deliver(self, events, through):
        if self.faults.happens("reject"):
            raise DeliveryFailed(thing="t", reason="r", mend="m")
        taken = []
        for event in events:
            if not self.exactly:
                self.events.append(event)
            taken.append(event)
            self.faults.crash()
        self.faults.crash()
        assert self.durable is None or through > self.durable, "the position goes only forward"
        if self.exactly:
            self.events += taken
        self.durable = through
        if self.faults.happens("fail after write"):
            raise DeliveryFailed(thing="t", reason="r", mend="m")
        self.faults.crash()


def run_process(server, log, receiver, faults, steps, until=None):
    """One process: until its steps are done, it fails for good (tried again by the caller), or it crashes."""
    clock = ManualClock()
    left = [steps]

    def stopped():
        left[0] -= 1
        clock.advance(0.4)
        if until is None and left[0] % 2 and len(server.written) < 120:
            server.write()
        return left[0] < 0

    run_relay(
        open_source=lambda **positions: Source(server, faults, receiver, **positions),
        log=log,
        relay=OutboxRelay(log, OutboxOptions(table=TableName(name="outbox")), receiver),
        start=server.confirmed,
        stopped=stopped,
        clock=clock,
        until=until,
    )


@pytest.mark.parametrize("exactly", [True, False])
@pytest.mark.parametrize("seed", range(40))
def test_T05_T06_T07_whatever_fails_every_event_arrives_in_order(seed, exactly):
    chance = random.Random(seed)
    words = [word for word in FAULTS if chance.random() < 0.8]
    faults = Faults(chance, words, chance.choice((0.02, 0.1, 0.3)))
    server, receiver = Server(chance), Receiver(faults, exactly)
    log = FaultyLog(faults)
    for _ in range(40):
        try:
            run_process(server, log, receiver, faults, steps=chance.randint(1, 12))
        except (Crash, StranglerError):
            # A folder that was lost with the machine: the source has everything that was not delivered.
            if chance.random() < 0.1:
                log = FaultyLog(faults)
    faults.words = ()
    run_process(server, log, receiver, faults, steps=200, until=Lsn(server.lsn))
    ids = [event.id for event in receiver.events]
    if exactly:
        assert ids == server.written
    assert list(dict.fromkeys(ids)) == server.written, "lost or reordered"
    assert len(server.written) > 20
    same = {event.id: event for event in receiver.events}
    assert all(same[event.id] == event for event in receiver.events), "what came twice is the same"


def test_the_faults_do_happen():
    """The simulation is worth nothing when its faults miss: over all seeds each word was used many times."""
    seen = dict.fromkeys(FAULTS, 0)
    for seed in range(20):
        chance = random.Random(seed)
        faults = Faults(chance, FAULTS, 0.1)
        server, receiver, log = Server(chance), Receiver(faults, False), FaultyLog(faults)
        for _ in range(20):
            try:
                run_process(server, log, receiver, faults, steps=10)
            except (Crash, StranglerError):
                continue
        for word in FAULTS:
            seen[word] += faults.seen[word]
    assert min(seen.values()) >= 5, seen
