"""The one appender of a stream's topics: rows first, then, when they are durable, the ENDs that make them count."""

import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence

from kafka.errors import KafkaError

from cdc.changelog.kafka.connection import (
    ensure_topics,
    kafka_errors_of,
    message_bytes,
)
from cdc.changelog.kafka.journal import Journal
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.producing import Place, open_appending
from cdc.changelog.kafka.records import (
    End,
    Open,
    Start,
    encode_begin,
    encode_end,
    encode_open,
    encode_start,
)
from cdc.changelog.kafka.transaction_sender import Sent, TransactionSender
from cdc.debezium.catalog import TypeCatalog
from cdc.errors import LogInUse, WrongCluster
from cdc.events import TableName, Transaction
from cdc.lsn import ZERO, Lsn
from strangler import failpoints
from strangler.clock import Clock


class Appender:
    """One session: from taking the log to an error or `close`. Belongs to one thread.

    A second appender that opens the log takes it: the first notices at its next append and raises `LogInUse`. What it
    had made durable until then is whole, and the second one continues behind it.
    """

    def __init__(
        self,
        options: KafkaOptions,
        *,
        stream: str,
        keys: Mapping[TableName, Sequence[str]],
        clock: Clock,
        debezium: Callable[[], tuple[str, TypeCatalog]] | None = None,
    ) -> None:
        self._options, self._stream, self._keys = options, stream, keys
        self._topics = Topics(prefix=options.prefix)
        self._thing = f"change log {options.prefix} in Kafka"
        self._instance = uuid.uuid4().hex
        self.last_lsn = ZERO
        self.has_transactions = False
        partitions = self._make_topics()
        largest = message_bytes(options, self._topics.transaction)
        self._journal = Journal(options, clock)
        self._producer = open_appending(options, largest)
        try:
            self._sender = TransactionSender(
                options, self._producer, keys=keys, partitions=partitions, largest=largest, debezium=debezium
            )
            self._journal_next = self._take()
        except BaseException:
            self.close()
            raise

    @property
    def journal_end(self) -> int:
        """The offset after the newest END that is durable."""
        return self._journal_next

    def start(self, position: Lsn) -> None:
        """See `ChangeLog.start`."""
        if self.has_transactions or position <= self.last_lsn:
            return
        self._append_journal([encode_start(Start(position))])
        self.last_lsn = position

    def append(self, transactions: Sequence[Transaction]) -> None:
        """See `ChangeLog.append`; `transactions` are new and in order. After any error this appender is done for."""
        begins = [
            self._send_journal(*encode_begin(each.xid, each.commit_lsn, each.commit_time_us)) for each in transactions
        ]
        sent = [self._sender.send(each, self._session_number) for each in transactions]
        self._settle()
        failpoints.reach("cdc.kafka.before_end")
        self._check_fence(begins)
        previous, ends = self.last_lsn, []
        for each in sent:
            ends.append(self._send_journal(*encode_end(self._end(each, previous), each.events)))
            previous = each.transaction.commit_lsn
        self._settle()
        self._check_fence(ends)
        self.last_lsn, self.has_transactions = previous, True

    def close(self) -> None:
        """What `append` returned for is durable already; what a dead broker did not take counts for nothing."""
        self._journal.close()
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=1)

    def _make_topics(self) -> dict[str, int]:
        ensure_topics(self._options, {self._topics.relations: 1}, compacted=True)
        tables = dict.fromkeys(self._topics.tables(self._keys), self._options.partitions)
        return ensure_topics(self._options, {self._topics.transaction: 1, self._topics.message: 1, **tables})

    def _take(self) -> int:
        """Write who we are into the journal; returns the offset after it. What stands before it is all that counts."""
        key, value = encode_open(Open(self._instance, self._stream))
        place = self._send_journal(key, value)
        self._settle()
        offset = place.offset
        self._refuse_other_stream(offset)
        self.last_lsn, self.has_transactions = self._journal.last_lsn(through=offset + 1)
        self._session_number = offset
        return offset + 1

    def _refuse_other_stream(self, offset: int) -> None:
        begin, _ = self._journal.bounds()
        for _, entry in self._journal.entries(begin, min(offset, begin + 1000)):
            if isinstance(entry, Open) and entry.stream != self._stream:
                raise WrongCluster(
                    thing=self._thing,
                    reason=f"its topics belong to stream {entry.stream}, not to {self._stream}",
                    mend="give each installation a stream.kafka.topic_prefix of its own",
                )

    def _end(self, sent: Sent, previous: Lsn) -> End:
        transaction = sent.transaction
        return End(
            transaction.xid,
            transaction.commit_lsn,
            transaction.end_lsn,
            transaction.commit_time_us,
            transaction.origin,
            previous,
            self._session_number,
            sent.count,
            sent.size,
            sent.ranges(),
        )

    def _send_journal(self, key: bytes, value: bytes) -> Place:
        return self._sender.queue(self._topics.transaction, value, key, [], 0)

    def _append_journal(self, records: list[tuple[bytes, bytes]]) -> None:
        places = [self._send_journal(*record) for record in records]
        self._settle()
        self._check_fence(places)

    def _settle(self) -> None:
        """Until everything sent is durable. Raises when anything is not."""
        with kafka_errors_of(self._options, self._thing):
            self._producer.settle(self._options.timeout_s)

    def _check_fence(self, places: Sequence[Place]) -> None:
        """Our journal records follow one another without a gap as long as nobody else writes to it."""
        for place in places:
            offset = place.offset
            if offset != self._journal_next:
                self._refuse_successor(self._journal_next, offset)
            self._journal_next = offset + 1

    def _refuse_successor(self, start: int, end: int) -> None:
        for _, entry in self._journal.entries(start, end):
            if isinstance(entry, Open) and entry.instance != self._instance:
                raise LogInUse(
                    thing=self._thing,
                    reason="another process has taken it over and writes to it",
                    mend="stop the other stream worker; there is one for each move",
                )
