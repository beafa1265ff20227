"""Protocol messages → whole transactions. Pure.

Order. The server sends a transaction when it decodes its commit record and a non-transactional message when it decodes
the message's own record, so everything arrives in the order of those records. A non-transactional message becomes a
`Transaction` of its own with `xid` 0, whoever emitted it. Of a commit the server reports where its record starts, of
such a message where its record ends: a boundary, at which the next commit record may start. Its `commit_lsn` is
therefore the position just before (see `cdc.lsn.before_boundary`): inside its own record, which no other record shares,
so `commit_lsn` stays strictly increasing without any reordering or dropping; the assembler checks that it does.

Left out: transactions without changes (older servers send them for tables that are not captured) and transactions that
our own apply sessions wrote (their replication origin begins with `own_origin_prefix`). Servers from 16 on do not send
the latter. Both are counted.
"""

from cdc import pgoutput
from cdc.errors import DecodeError, TransactionTooLarge
from cdc.events import Change, Message, Relation, RowChange, Transaction, Truncate
from cdc.lsn import ZERO, Lsn, before_boundary, format_lsn

OWN_ORIGIN_PREFIX = "strangler_"
DEFAULT_TRANSACTION_BYTES = 1 << 30


class Assembler:
    """One connection's worth of messages. Not shared between connections: the server describes its tables anew.

    A transaction is held in memory until its commit arrives; one larger than `transaction_bytes` of protocol bytes
    raises `TransactionTooLarge`.
    """

    def __init__(
        self,
        *,
        own_origin_prefix: str = OWN_ORIGIN_PREFIX,
        transaction_bytes: int = DEFAULT_TRANSACTION_BYTES,
    ) -> None:
        self._own_origin_prefix = own_origin_prefix
        self._transaction_bytes = transaction_bytes
        self._relations: dict[int, Relation] = {}
        self._begin: pgoutput.Begin | None = None
        self._origin: str | None = None
        self._changes: list[Change] = []
        self._bytes = 0
        self._last_lsn = ZERO
        self.own_transactions_dropped = 0
        self.empty_transactions_dropped = 0

    @property
    def in_transaction(self) -> bool:
        """A transaction has begun and its commit has not arrived."""
        return self._begin is not None

    def feed(self, payload: bytes, *, sent_at_us: int) -> Transaction | None:
        """Take one message; return the transaction that it completes, if any.

        `sent_at_us`: when the server sent it, microseconds since the Unix epoch; the time of a non-transactional
        message, which carries none itself.
        """
        message = pgoutput.decode(payload)
        if isinstance(message, pgoutput.Insert):
            relation = self._relation(message.relation_oid)
            self._add(RowChange(relation=relation, op="c", new=message.new), payload)
        elif isinstance(message, pgoutput.Update):
            relation = self._relation(message.relation_oid)
            self._add(
                RowChange(relation=relation, op="u", new=message.new, old=message.old, old_is_key=message.old_is_key),
                payload,
            )
        elif isinstance(message, pgoutput.Delete):
            relation = self._relation(message.relation_oid)
            self._add(
                RowChange(relation=relation, op="d", new=None, old=message.old, old_is_key=message.old_is_key), payload
            )
        elif isinstance(message, pgoutput.Commit):
            return self._commit(message)
        elif isinstance(message, pgoutput.LogicalMessage):
            return self._message(message, payload, sent_at_us)
        else:
            self._feed_rare(message, payload)
        return None

    def _feed_rare(self, message: pgoutput.PgMessage, payload: bytes) -> None:
        if isinstance(message, pgoutput.Begin):
            if self._begin is not None:
                raise _out_of_order("a transaction begins inside another", message.commit_lsn)
            self._begin, self._origin, self._changes, self._bytes = message, None, [], 0
        elif isinstance(message, pgoutput.Origin):
            self._origin = message.name
        elif isinstance(message, pgoutput.RelationMessage):
            self._relations[message.relation.oid] = message.relation
        elif isinstance(message, pgoutput.TruncateMessage):
            relations = tuple(self._relation(oid) for oid in message.relation_oids)
            self._add(
                Truncate(relations=relations, cascade=message.cascade, restart_identity=message.restart_identity),
                payload,
            )

    def _add(self, change: Change, payload: bytes) -> None:
        if self._begin is None:
            raise _out_of_order("a change outside any transaction", self._last_lsn)
        self._changes.append(change)
        self._bytes += len(payload)
        if self._bytes > self._transaction_bytes:
            raise TransactionTooLarge(
                thing=f"source transaction {self._begin.xid} at {format_lsn(self._begin.commit_lsn)}",
                reason=f"holds more than {self._transaction_bytes} bytes of changes",
                mend="raise the capture's transaction_bytes if the machine has the memory (about four times that), "
                "or copy the tables again from after this transaction",
            )

    def _commit(self, commit: pgoutput.Commit) -> Transaction | None:
        begin, self._begin = self._begin, None
        if begin is None or begin.commit_lsn != commit.commit_lsn:
            raise _out_of_order("a commit that does not end the open transaction", commit.commit_lsn)
        changes, self._changes = self._changes, []
        self._advance(commit.commit_lsn)
        if self._origin is not None and self._origin.startswith(self._own_origin_prefix):
            self.own_transactions_dropped += 1
            return None
        if not changes:
            self.empty_transactions_dropped += 1
            return None
        return Transaction(
            xid=begin.xid,
            commit_lsn=commit.commit_lsn,
            end_lsn=commit.end_lsn,
            commit_time_us=commit.commit_time_us,
            changes=tuple(changes),
            origin=self._origin,
        )

    def _message(self, raw: pgoutput.LogicalMessage, payload: bytes, sent_at_us: int) -> Transaction | None:
        message = Message(prefix=raw.prefix, content=raw.content, transactional=raw.transactional, lsn=raw.lsn)
        if raw.transactional:
            self._add(message, payload)
            return None
        position = before_boundary(raw.lsn)
        self._advance(position)
        return Transaction(xid=0, commit_lsn=position, end_lsn=raw.lsn, commit_time_us=sent_at_us, changes=(message,))

    def _advance(self, lsn: Lsn) -> None:
        if lsn <= self._last_lsn:
            raise _out_of_order(f"follows {format_lsn(self._last_lsn)}", lsn)
        self._last_lsn = lsn

    def _relation(self, oid: int) -> Relation:
        relation = self._relations.get(oid)
        if relation is None:
            raise _out_of_order(f"a change of table {oid}, which was never described", self._last_lsn)
        return relation


def _out_of_order(reason: str, lsn: int) -> DecodeError:
    return DecodeError(
        thing=f"replication stream at {format_lsn(lsn)}",
        reason=reason,
        mend="reconnect; if it happens again, report it with the PostgreSQL version",
    )
