"""Protocol messages → whole transactions. Pure.

Order. The server sends a transaction when it decodes its commit record and a non-transactional message when it decodes
the message's own record, so everything arrives in the order of those records. A non-transactional message becomes a
`Transaction` of its own with `xid` 0, whoever emitted it. Of a commit the server reports where its record starts, of
such a message where its record ends: a boundary, at which the next commit record may start. Its `commit_lsn` is
therefore the position just before (see `cdc.lsn.before_boundary`): inside its own record, which no other record shares,
so `commit_lsn` stays strictly increasing without any reordering or dropping; the assembler checks that it does.

Large transactions. A server that streams (protocol 2) sends pieces of an open one as it grows, any number of them in
turn, and the end of each when it decodes its commit record: the order above holds. What is not complete is kept in
memory up to `memory_bytes` over all of them; beyond, the largest goes to a `Spill`. A table described inside a streamed
transaction counts for that transaction, and for others from its commit on: so the server sees it.

Left out: transactions without changes (older servers send them for tables that are not captured) and transactions that
our own apply sessions wrote (their replication origin begins with `own_origin_prefix`). Servers from 16 on do not send
the latter. Both are counted.
"""

import struct
from collections.abc import Sequence
from itertools import repeat
from typing import Final

from cdc.errors import DecodeError, TransactionTooLarge
from cdc.events import Relation, Transaction
from cdc.lsn import ZERO, Lsn, before_boundary, format_lsn
from cdc.pgoutput import decode, transaction_bounds
from cdc.pgoutput_messages import (
    Begin,
    Commit,
    LogicalMessage,
    Origin,
    RelationMessage,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
)
from cdc.received import RECORD_OVERHEAD_BYTES, OpenSpill, Payload, Received, message_change
from cdc.sent_changes import MOST_SENT_BYTES, MOST_SENT_CHANGES, SentChanges

OWN_ORIGIN_PREFIX = "strangler_"
DEFAULT_MEMORY_BYTES = 16 << 20
DEFAULT_TRANSACTION_BYTES = 64 << 30

_BEGIN_TAG, _COMMIT_TAG = ord("B"), ord("C")
_ROW_TAGS, _CHANGE_TAGS = frozenset(b"IUD"), frozenset(b"IUDT")
_OID: Final = struct.Struct(">I")
_MESSAGE_TAG, _RELATION_TAG = ord("M"), ord("R")


class Assembler:
    """One connection's worth of messages. Not shared between connections: the server describes its tables anew.

    `memory_bytes`: of messages held in memory, over all open transactions; without `open_spill` there is no such
    bound. A transaction of more than `transaction_bytes` of protocol raises `TransactionTooLarge`.
    """

    def __init__(
        self,
        *,
        own_origin_prefix: str = OWN_ORIGIN_PREFIX,
        open_spill: OpenSpill | None = None,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        transaction_bytes: int = DEFAULT_TRANSACTION_BYTES,
    ) -> None:
        self._own_origin_prefix = own_origin_prefix
        self._open_spill = open_spill
        self._memory_bytes = memory_bytes
        self._transaction_bytes = transaction_bytes
        self._relations: dict[int, Relation] = {}
        self._described_at: dict[int, int] = {}
        self._descriptions = 0
        self._streamed: dict[int, Received] = {}
        self._current: Received | None = None
        self._weight = 0
        self._last_lsn = ZERO
        self.own_transactions_dropped = 0
        self.empty_transactions_dropped = 0

    @property
    def in_transaction(self) -> bool:
        """A transaction, or a piece of one, has begun and its end has not arrived."""
        return self._current is not None

    @property
    def holds_open(self) -> bool:
        """Something of a transaction has arrived whose end has not."""
        return self._current is not None or bool(self._streamed)

    def feed_short(self, payloads: Sequence[bytes]) -> list[Transaction]:
        """Take messages of which each begins or commits a transaction or is an insert, update or delete; return the
        transactions that they complete. The same as `feed` for each, and much less work for small transactions."""
        completed: list[Transaction] = []
        begin, changes = b"", list[bytes]()
        in_whole = False
        for payload in payloads:
            tag = payload[0]
            if tag in _ROW_TAGS:
                changes.append(payload)
            elif tag == _BEGIN_TAG and not in_whole and self._current is None and not changes:
                begin, in_whole = payload, True
            elif tag == _COMMIT_TAG and in_whole and (small := self._small(begin, changes, payload)) is not None:
                completed.append(small)
                changes, in_whole = [], False
            else:
                self._feed_held(begin if in_whole else None, changes)
                changes, in_whole = [], False
                if (transaction := self.feed(payload, sent_at_us=0)) is not None:
                    completed.append(transaction)
        self._feed_held(begin if in_whole else None, changes)
        return completed

    def _small(self, begin: bytes, messages: list[bytes], commit: bytes) -> Transaction | None:
        """A whole transaction whose changes need not be looked at; None for any other."""
        bounds = transaction_bounds(begin, commit)
        if bounds is None or not 0 < len(messages) <= MOST_SENT_CHANGES:
            return None
        xid, commit_lsn, end_lsn, time_us = bounds
        if commit_lsn <= self._last_lsn or (len(messages) > 1 and sum(map(len, messages)) > MOST_SENT_BYTES):
            return None
        try:
            relations = [self._relations[oid] for (oid,) in map(_OID.unpack_from, messages, repeat(1))]
        except (KeyError, struct.error):
            return None
        self._last_lsn = commit_lsn
        return Transaction(
            xid=xid,
            commit_lsn=commit_lsn,
            end_lsn=end_lsn,
            commit_time_us=time_us,
            changes=SentChanges(messages, relations),
        )

    def _feed_held(self, begin: bytes | None, changes: list[bytes]) -> None:
        if begin is not None:
            self.feed(begin, sent_at_us=0)
        if not changes:
            return
        received = self._current
        if received is None:
            raise _out_of_order("a change outside any transaction", self._last_lsn)
        if received.spill is None:
            size = sum(map(len, changes))
            received.payloads += changes
            received.size += size
            self._weight += size + RECORD_OVERHEAD_BYTES * len(changes)
        else:
            for payload in changes:
                received.add_spilled(payload)
        if self._weight > self._memory_bytes or received.size > self._transaction_bytes:
            self._bound(received)

    def feed(self, payload: Payload, *, sent_at_us: int) -> Transaction | None:
        """Take one message; return the transaction that it completes, if any.

        `sent_at_us`: when the server sent it, microseconds since the Unix epoch; the time of a non-transactional
        message, which carries none itself. Raises `DecodeError`, here or while the changes are iterated.
        """
        tag = payload[0] if payload else 0
        if tag in _CHANGE_TAGS or (tag == _MESSAGE_TAG and self._is_transactional(payload)):
            received = self._current
            if received is None:
                raise _out_of_order("a change outside any transaction", self._last_lsn)
            if received.spill is None and type(payload) is bytes:
                size = len(payload)
                received.payloads.append(payload)
                received.size += size
                self._weight += size + RECORD_OVERHEAD_BYTES
                if self._weight > self._memory_bytes or received.size > self._transaction_bytes:
                    self._bound(received)
            else:
                self._add_spilled(received, payload)
            return None
        return self._feed_rare(bytes(payload), sent_at_us)

    def _feed_rare(self, payload: bytes, sent_at_us: int) -> Transaction | None:
        streamed = self._current is not None and self._current.streamed
        message = decode(payload, streamed=streamed)
        if isinstance(message, Begin):
            self._start(Received(message.xid, streamed=False, begin=message), message.commit_lsn)
        elif isinstance(message, Commit):
            return self._commit(message)
        elif isinstance(message, RelationMessage):
            self._describe(message.relation, payload)
        elif isinstance(message, LogicalMessage):
            return self._message(message, sent_at_us)
        elif isinstance(message, Origin):
            if self._current is not None:
                self._current.origin = message.name
        elif isinstance(message, StreamStart):
            self._start_piece(message)
        elif isinstance(message, StreamStop):
            self._stop_piece()
        elif isinstance(message, StreamAbort):
            self._abort(message)
        elif isinstance(message, StreamCommit):
            return self._commit_streamed(message)
        return None

    def _start(self, received: Received, lsn: Lsn) -> None:
        if self._current is not None:
            raise _out_of_order("a transaction begins inside another", lsn)
        self._current = received

    def _start_piece(self, start: StreamStart) -> None:
        received = self._streamed.get(start.xid)
        if (received is None) is not start.first:
            raise _out_of_order(f"not the next piece of transaction {start.xid}", self._last_lsn)
        if received is None:
            received = self._streamed[start.xid] = Received(start.xid, streamed=True)
        self._start(received, self._last_lsn)

    def _stop_piece(self) -> None:
        if self._current is None or not self._current.streamed:
            raise _out_of_order("the end of a piece that did not begin", self._last_lsn)
        self._current = None

    def _add_spilled(self, received: Received, payload: Payload) -> None:
        if received.spill is None and self._open_spill is not None:
            self._spill(received)
        self._add(received, payload)
        self._bound(received)

    def _add(self, received: Received, payload: Payload) -> None:
        if received.spill is not None:
            received.add_spilled(payload)
            return
        received.payloads.append(bytes(payload))
        received.size += len(payload)
        self._weight += len(payload) + RECORD_OVERHEAD_BYTES

    def _describe(self, relation: Relation, payload: bytes) -> None:
        received = self._current
        if received is None:
            raise _out_of_order("a table described outside any transaction", self._last_lsn)
        self._descriptions += 1
        received.described[relation.oid] = (self._descriptions, relation)
        self._add(received, payload)

    def _bound(self, received: Received) -> None:
        if self._open_spill is not None and self._weight > self._memory_bytes:
            self._spill(self._heaviest())
        if received.size > self._transaction_bytes:
            raise TransactionTooLarge(
                thing=f"source transaction {received.xid}"
                + ("" if received.begin is None else f" at {format_lsn(received.begin.commit_lsn)}"),
                reason=f"holds more than {self._transaction_bytes} bytes of changes",
                mend="raise the capture's transaction_bytes if the disk has the room, or copy the tables again from "
                "after this transaction",
            )

    def _heaviest(self) -> Received:
        held = [*self._streamed.values()]
        if self._current is not None and not self._current.streamed:
            held.append(self._current)
        return max(held, key=lambda received: received.weight)

    def _spill(self, received: Received) -> None:
        if received.spill is None:
            assert self._open_spill is not None
            self._weight -= received.weight
            received.move_to(self._open_spill(), self._relations)

    def _commit(self, commit: Commit) -> Transaction | None:
        received, self._current = self._current, None
        if received is None or received.begin is None or received.begin.commit_lsn != commit.commit_lsn:
            raise _out_of_order("a commit that does not end the open transaction", commit.commit_lsn)
        return self._completed(received, commit.commit_lsn, commit.end_lsn, commit.commit_time_us)

    def _commit_streamed(self, commit: StreamCommit) -> Transaction | None:
        received = self._streamed.pop(commit.xid, None)
        if received is None or self._current is not None:
            raise _out_of_order(f"a commit of transaction {commit.xid}, which is not complete", commit.commit_lsn)
        return self._completed(received, commit.commit_lsn, commit.end_lsn, commit.commit_time_us)

    def _abort(self, abort: StreamAbort) -> None:
        if self._current is not None:
            raise _out_of_order(f"a rollback in transaction {abort.xid} inside a piece", self._last_lsn)
        received = self._streamed.get(abort.xid)
        if received is None:
            # PostgreSQL 18 passes over a large transaction that it knows was rolled back, but tells of the rollback of
            # its subtransactions. Nothing of them has come, and nothing will.
            return
        if abort.subxid != abort.xid:
            received.aborted.add(abort.subxid)
            return
        del self._streamed[abort.xid]
        self._weight -= received.weight

    def _completed(self, received: Received, commit_lsn: Lsn, end_lsn: Lsn, time_us: int) -> Transaction | None:
        self._weight -= received.weight
        self._advance(commit_lsn)
        is_own = received.origin is not None and received.origin.startswith(self._own_origin_prefix)
        changes = () if is_own else received.changes(self._relations)
        self._take_descriptions(received)
        if is_own:
            self.own_transactions_dropped += 1
            return None
        if not changes:
            self.empty_transactions_dropped += 1
            return None
        return Transaction(
            xid=received.xid,
            commit_lsn=commit_lsn,
            end_lsn=end_lsn,
            commit_time_us=time_us,
            changes=changes,
            origin=received.origin,
        )

    def _take_descriptions(self, received: Received) -> None:
        """The newest description of a table is the one that the server will not repeat."""
        for oid, (number, relation) in received.described.items():
            if number > self._described_at.get(oid, 0):
                self._described_at[oid], self._relations[oid] = number, relation

    def _is_transactional(self, payload: Payload) -> bool:
        """Of a logical message; one that is not comes between transactions, or while one is sent at its commit."""
        flags_at = 5 if self._current is not None and self._current.streamed else 1
        return len(payload) > flags_at and payload[flags_at] & 1 == 1

    def _message(self, raw: LogicalMessage, sent_at_us: int) -> Transaction:
        position = before_boundary(raw.lsn)
        self._advance(position)
        changes = (message_change(raw),)
        return Transaction(xid=0, commit_lsn=position, end_lsn=raw.lsn, commit_time_us=sent_at_us, changes=changes)

    def _advance(self, lsn: Lsn) -> None:
        if lsn <= self._last_lsn:
            raise _out_of_order(f"follows {format_lsn(self._last_lsn)}", lsn)
        self._last_lsn = lsn


def _out_of_order(reason: str, lsn: int) -> DecodeError:
    return DecodeError(
        thing=f"replication stream at {format_lsn(lsn)}",
        reason=reason,
        mend="reconnect; if it happens again, report it with the PostgreSQL version",
    )
