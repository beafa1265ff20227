"""The messages of one transaction while they arrive, and its changes once it is whole. Pure.

Messages are kept as the bytes that came and decoded when the transaction is complete: in memory while they are few,
otherwise in a `Spill`. Of a rolled-back subtransaction nothing but its id is kept, and its changes are passed over.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, Protocol

from cdc.errors import DecodeError
from cdc.events import Change, Message, Relation, RowChange, Truncate
from cdc.insert_run import (
    MOST_MESSAGE_BYTES,
    MOST_RUN_BYTES,
    SHORTEST_RUN,
    ChangesInRuns,
    HeldChanges,
    InsertRun,
)
from cdc.pgoutput import decode, decode_insert, subtransaction
from cdc.pgoutput_large import MessageReader, decode_large
from cdc.pgoutput_messages import (
    Begin,
    Delete,
    Insert,
    LogicalMessage,
    PgMessage,
    RelationMessage,
    TruncateMessage,
    Update,
)

RECORD_OVERHEAD_BYTES: Final = 64
"""What a message costs in memory besides its bytes."""
_RELATION_TAG, _INSERT_TAG = ord("R"), ord("I")

Payload = bytes | memoryview
Relations = dict[int, Relation]


class Spill(Protocol):
    """Where messages go that are too many for memory."""

    def append(self, record: Payload) -> None: ...

    def records(self) -> Iterator[bytes | MessageReader]: ...


OpenSpill = Callable[[], Spill]


class Received:
    """One transaction. `size`: bytes of protocol so far; `payloads`: those that are held in memory.

    `described`: tables described inside it, each with a number that grows with the arrival.
    """

    __slots__ = ("_before", "_count", "aborted", "begin", "described", "origin", "payloads", "size", "spill",
                 "streamed", "xid")  # fmt: skip

    def __init__(self, xid: int, *, streamed: bool, begin: Begin | None = None) -> None:
        self.xid, self.streamed, self.begin = xid, streamed, begin
        self.origin: str | None = None
        self.payloads: list[bytes] = []
        self.size = self._count = 0
        self.spill: Spill | None = None
        self.aborted: set[int] = set()
        self.described: dict[int, tuple[int, Relation]] = {}
        self._before: Relations = {}

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes."""
        return self.size + RECORD_OVERHEAD_BYTES * len(self.payloads) if self.spill is None else 0

    def move_to(self, spill: Spill, relations: Relations) -> None:
        """From now on the messages lie in `spill`. `relations`: the tables known before the first message."""
        self._before = dict(relations)
        self.spill = spill
        payloads, self.payloads, self.size = self.payloads, [], 0
        for payload in payloads:
            self.add_spilled(payload)

    def add_spilled(self, payload: Payload) -> None:
        """Take one message that is a change or describes a table, after `move_to`."""
        assert self.spill is not None
        self.spill.append(payload)
        self.size += len(payload)
        self._count += payload[0] != _RELATION_TAG

    def changes(self, relations: Relations) -> Collection[Change]:
        """What came, decoded. `relations`: known tables; those that the transaction describes are added, if it came
        in one piece."""
        if self.spill is not None:
            return SpilledChanges(self)
        known = dict(relations) if self.streamed else relations
        if len(self.payloads) < SHORTEST_RUN:
            return tuple(self._decoded(self.payloads, known))
        return HeldChanges(tuple(self._runs(self.payloads, known)))

    def spilled(self) -> Iterator[Change | InsertRun]:
        """Decoded anew from the spill."""
        assert self.spill is not None
        return self._runs(self.spill.records(), dict(self._before))

    def spilled_count(self) -> int:
        """How many changes `spilled` yields."""
        if not self.aborted:
            return self._count
        assert self.spill is not None
        heads = (record if isinstance(record, bytes) else record.head for record in self.spill.records())
        return sum(head[0] != _RELATION_TAG and subtransaction(head) not in self.aborted for head in heads)

    def _runs(self, records: Iterable[bytes | MessageReader], relations: Relations) -> Iterator[Change | InsertRun]:
        """Neighbouring inserts of one table together, the others one by one."""
        run, oid, size = list[bytes](), b"", 0
        oid_at = 5 if self.streamed else 1
        for record in records:
            if isinstance(record, bytes) and record[0] == _INSERT_TAG and len(record) <= MOST_MESSAGE_BYTES:
                if record[oid_at : oid_at + 4] != oid or size >= MOST_RUN_BYTES:
                    yield from self._run(run, relations)
                    run, oid, size = [], record[oid_at : oid_at + 4], 0
                run.append(record)
                size += len(record)
                continue
            yield from self._run(run, relations)
            run, oid = [], b""
            yield from self._decoded((record,), relations)
            # A large value may be the only one that there is room for.
            del record
        yield from self._run(run, relations)

    def _run(self, messages: list[bytes], relations: Relations) -> Iterator[Change | InsertRun]:
        if self.aborted:
            messages = [message for message in messages if subtransaction(message) not in self.aborted]
        if len(messages) < SHORTEST_RUN:
            yield from self._decoded(messages, relations)
            return
        oid, _ = decode_insert(messages[0], streamed=self.streamed)
        yield InsertRun.of(_relation(relations, oid), messages, streamed=self.streamed)

    def _decoded(self, records: Iterable[bytes | MessageReader], relations: Relations) -> Iterator[Change]:
        streamed, aborted = self.streamed, self.aborted
        for record in records:
            head = record if isinstance(record, bytes) else record.head
            if aborted and head[0] != _RELATION_TAG and subtransaction(head) in aborted:
                continue
            if head[0] == _INSERT_TAG and isinstance(record, bytes):
                oid, row = decode_insert(record, streamed=streamed)
                yield RowChange(relation=_relation(relations, oid), op="c", new=row)
                continue
            message = (
                decode(record, streamed=streamed)
                if isinstance(record, bytes)
                else decode_large(record, streamed=streamed)
            )
            if isinstance(message, RelationMessage):
                relations[message.relation.oid] = message.relation
            else:
                yield _change(message, relations)
            # A large value may be the only one that there is room for.
            del record, message


class SpilledChanges(ChangesInRuns):
    """Changes that lie on disk, decoded while they are iterated, again and again."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._count = received.spilled_count()

    def __len__(self) -> int:
        return self._count

    def runs(self) -> Iterator[Change | InsertRun]:
        return self._received.spilled()


def _change(message: PgMessage, relations: Relations) -> Change:
    if isinstance(message, Insert):
        return RowChange(relation=_relation(relations, message.relation_oid), op="c", new=message.new)
    if isinstance(message, Update):
        relation = _relation(relations, message.relation_oid)
        return RowChange(relation=relation, op="u", new=message.new, old=message.old, old_is_key=message.old_is_key)
    if isinstance(message, Delete):
        relation = _relation(relations, message.relation_oid)
        return RowChange(relation=relation, op="d", new=None, old=message.old, old_is_key=message.old_is_key)
    if isinstance(message, TruncateMessage):
        truncated = tuple(_relation(relations, oid) for oid in message.relation_oids)
        return Truncate(relations=truncated, cascade=message.cascade, restart_identity=message.restart_identity)
    assert isinstance(message, LogicalMessage)
    return message_change(message)


def message_change(raw: LogicalMessage) -> Message:
    return Message(prefix=raw.prefix, content=raw.content, transactional=raw.transactional, lsn=raw.lsn)


def _relation(relations: Relations, oid: int) -> Relation:
    relation = relations.get(oid)
    if relation is None:
        raise DecodeError(
            thing="replication stream",
            reason=f"a change of table {oid}, which was never described",
            mend="reconnect; if it happens again, report it with the PostgreSQL version",
        )
    return relation
