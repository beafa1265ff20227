"""The rows of transactions into their topics, as Kafka records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kafka.partitioner.default import murmur2

from cdc.changelog.kafka.connection import DEFAULT_MESSAGE_BYTES, ensure_topics, kafka_errors_of
from cdc.changelog.kafka.debezium_form import DebeziumForm
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.options import KafkaOptions
from cdc.changelog.kafka.producing import AppendingProducer, Place
from cdc.changelog.kafka.records import (
    CHUNK_HEADER,
    COPY_HEADER,
    LARGEST_KEY,
    POSITION_HEADER,
    Header,
    Position,
    Range,
    RowForm,
    RowPositions,
    encode_message,
    encode_relation_record,
    encode_truncate,
    pack_position,
    short_key,
)
from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.record import DebeziumRecord
from cdc.errors import MessageTooLarge
from cdc.events import Change, Message, Relation, RowChange, TableName, Transaction, Truncate
from cdc.insert_run import InsertRun, Run, runs_of
from cdc.lsn import format_lsn

_BARRIER_PREFIX: Final = "strangler.barrier"

Where = tuple[str, int]


class Sent:
    """What was sent of one transaction: per partition the first and the last record, and how many events."""

    __slots__ = ("count", "events", "places", "size", "transaction")

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.places: dict[Where, list[Any]] = {}
        self.events: dict[TableName, int] = {}
        self.count = 0
        self.size = 0

    def ranges(self) -> tuple[Range, ...]:
        return tuple(
            Range(topic, partition, first.offset, last.offset, count)
            for (topic, partition), (first, last, count) in self.places.items()
        )


class TransactionSender:
    """One appender's. `partitions`: of each topic that there is; `largest`: bytes of a value that the brokers take.

    What it sent is durable when the producer has settled. Raises what the producer raises, and `MessageTooLarge`.
    """

    def __init__(
        self,
        options: KafkaOptions,
        producer: AppendingProducer,
        *,
        keys: Mapping[TableName, Sequence[str]],
        partitions: Mapping[str, int],
        largest: int,
        debezium: Callable[[], tuple[str, TypeCatalog]] | None = None,
    ) -> None:
        self._options, self._producer, self._keys = options, producer, keys
        self._topics = Topics(prefix=options.prefix)
        self._partitions = dict(partitions)
        self._largest, self._limit = largest, min(largest, DEFAULT_MESSAGE_BYTES)
        self._forms: dict[Relation, RowForm] = {}
        self._newest_form: RowForm | None = None
        self._debezium = self._debezium_form(debezium)
        self._session_number = -1

    def send(self, transaction: Transaction, session: int) -> Sent:
        """Its rows and messages, by the appender's session of this number."""
        self._session_number = session
        sent = Sent(transaction)
        debezium = self._debezium
        index = 0
        for change in runs_of(transaction.changes):
            if isinstance(change, Run):
                index = self._send_run(sent, change, index)
                continue
            if debezium is None or not debezium.takes(change):
                self._send_change(sent, change, index)
            index += 1
        if debezium is not None:
            for index, record in debezium.records(transaction):
                self._send_debezium(sent, index, record)
        return sent

    def _send_change(self, sent: Sent, change: Change, index: int) -> None:
        mark = (POSITION_HEADER, pack_position(Position(sent.transaction.commit_lsn, index, self._session_number)))
        if isinstance(change, RowChange):
            self._send_row(sent, change, mark)
        elif isinstance(change, Truncate):
            self._send_truncate(sent, change, mark)
        else:
            self._send_message(sent, change, mark)

    def _send_run(self, sent: Sent, run: Run, index: int) -> int:
        """Returns the index after its rows."""
        assert isinstance(run, InsertRun), "rows of a chunk are not logged"
        after = index + len(run)
        if self._debezium is not None and self._options.form_of(run.relation.table) == "debezium":
            return after
        form = self._form_of(run.relation)
        keys, values = form.run_keys(run), form.run_values(run)
        if max(map(len, values)) > self._limit or any(key is not None and len(key) > LARGEST_KEY for key in keys):
            for number, change in enumerate(run, index):
                self._send_change(sent, change, number)
            return after
        for partition, rows in self._homes(form.topic, keys):
            self._send_home(sent, (form.topic, partition), keys, values, rows, index)
        table = run.relation.table
        sent.events[table] = sent.events.get(table, 0) + len(run)
        return after

    def _homes(self, topic: str, keys: Sequence[bytes | None]) -> Iterable[tuple[int, Sequence[int]]]:
        """Which rows belong into which partition."""
        if self._partitions[topic] == 1:
            return ((0, range(len(keys))),)
        homes: dict[int, list[int]] = {}
        for row, key in enumerate(keys):
            homes.setdefault(self._partition(topic, key), []).append(row)
        return homes.items()

    def _send_home(
        self,
        sent: Sent,
        where: Where,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        rows: Sequence[int],
        index: int,
    ) -> None:
        if len(rows) < len(keys):
            keys, values = [keys[row] for row in rows], [values[row] for row in rows]
        events = range(index, index + len(rows)) if isinstance(rows, range) else [index + row for row in rows]
        positions = RowPositions(sent.transaction.commit_lsn, events, self._session_number)
        with kafka_errors_of(self._options, f"topic {where[0]}"):
            first, last = self._producer.send_rows(where, keys, values, positions)
        self._note(sent, where, first, last, sum(map(len, values)), len(rows))

    def _send_debezium(self, sent: Sent, index: int, record: DebeziumRecord) -> None:
        """Never split, never accompanied by markers: others read it."""
        position = pack_position(Position(sent.transaction.commit_lsn, index, self._session_number))
        headers = [(POSITION_HEADER, position), *((name, text.encode()) for name, text in record.headers.items())]
        if record.topic not in self._partitions:
            self._partitions |= ensure_topics(self._options, {record.topic: self._options.partitions})
        key = None if record.key_json is None else record.key_json.encode()
        where = (record.topic, self._partition(record.topic, key))
        if record.value_json is None:
            self.queue(where[0], None, key, headers, where[1])
            return
        value = record.value_json.encode()
        if len(value) > self._largest:
            raise MessageTooLarge(
                thing=f"change of {record.topic} at {format_lsn(sent.transaction.commit_lsn)}",
                reason=f"has {len(value)} bytes in Debezium's form, the broker takes {self._largest}",
                mend='raise message.max.bytes, or give this table form = "lossless", which splits large events',
            )
        self._send_whole(sent, where, key, value, headers)
        _, schema, name = record.topic.rsplit(".", 2)
        table = TableName(schema=schema, name=name)
        sent.events[table] = sent.events.get(table, 0) + 1

    def _debezium_form(self, facts: Callable[[], tuple[str, TypeCatalog]] | None) -> DebeziumForm | None:
        if not self._options.any_debezium:
            return None
        database, catalog = ("", TypeCatalog()) if facts is None else facts()
        return DebeziumForm(
            self._options.prefix,
            database,
            catalog,
            lambda relation: self._options.form_of(relation.table) == "debezium",
        )

    def _send_row(self, sent: Sent, change: RowChange, mark: Header) -> None:
        form = self._form_of(change.relation)
        topic = form.topic
        key, left_behind = form.keys(change)
        self._send(sent, (topic, self._partition(topic, key)), key, form.value(change), [mark])
        table = change.relation.table
        sent.events[table] = sent.events.get(table, 0) + 1
        if left_behind is not None:
            self.queue(topic, None, left_behind, [mark], self._partition(topic, left_behind))

    def _send_truncate(self, sent: Sent, truncate: Truncate, mark: Header) -> None:
        forms = [self._form(relation) for relation in truncate.relations]
        value = encode_truncate(truncate, [form.fingerprint for form in forms])
        topics = list(dict.fromkeys(form.topic for form in forms))
        self._send(sent, (topics[0], 0), None, value, [mark])
        self._copy(topics, value, mark, already=(topics[0], 0))

    def _send_message(self, sent: Sent, message: Message, mark: Header) -> None:
        value = encode_message(message)
        self._send(sent, (self._topics.message, 0), message.prefix.encode(), value, [mark])
        if message.prefix == _BARRIER_PREFIX:
            tables = [topic for topic in self._partitions if topic not in self._internal]
            self._copy(tables, value, mark, already=(self._topics.message, 0))

    def _copy(self, topics: Sequence[str], value: bytes, mark: Header, already: Where) -> None:
        """For consumers of single partitions: ours reads the first only. The key keeps compacted topics content."""
        for topic in topics:
            for partition in range(self._partitions[topic] if topic not in self._foreign else 0):
                if (topic, partition) != already:
                    self.queue(topic, value, b'{"strangler":"marker"}', [mark, (COPY_HEADER, b"")], partition)

    def _send(self, sent: Sent, where: Where, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        if len(value) <= self._limit:
            self._send_whole(sent, where, key, value, headers)
        else:
            self._note(sent, where, *self._send_split(where, key, value, headers), len(value))

    def _send_whole(self, sent: Sent, where: Where, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        place = self.queue(where[0], value, key, headers, where[1])
        self._note(sent, where, place, place, len(value))

    def _note(self, sent: Sent, where: Where, first: Place, last: Place, size: int, count: int = 1) -> None:
        sent.count += count
        sent.size += size
        place = sent.places.get(where)
        if place is None:
            sent.places[where] = [first, last, count]
        else:
            place[1] = last
            place[2] += count

    def _send_split(self, where: Where, key: bytes | None, value: bytes, headers: list[Header]) -> tuple[Place, Place]:
        view = memoryview(value)
        count = -(-len(view) // self._limit)
        places = [
            self.queue(
                where[0],
                bytes(view[number * self._limit : (number + 1) * self._limit]),
                key,
                [*headers, (CHUNK_HEADER, b"%d/%d" % (number, count))],
                where[1],
            )
            for number in range(count)
        ]
        return places[0], places[-1]

    def queue(self, topic: str, value: bytes | None, key: bytes | None, headers: list[Header], partition: int) -> Place:
        """Hand one record to the producer; wait when too much is on its way."""
        if key is not None and len(key) > LARGEST_KEY:
            key = short_key(key)
        with kafka_errors_of(self._options, f"topic {topic}"):
            return self._producer.send(topic, value, key, headers, partition)

    def _partition(self, topic: str, key: bytes | None) -> int:
        """As Kafka's own clients choose, so that other producers and joins agree."""
        count = self._partitions[topic]
        return 0 if count == 1 or key is None else (murmur2(key) & 0x7FFFFFFF) % count

    def _form_of(self, relation: Relation) -> RowForm:
        """The same, for the stream's hot path: rows of one table follow each other."""
        form = self._newest_form
        return form if form is not None and form.relation is relation else self._form(relation)

    def _form(self, relation: Relation) -> RowForm:
        form = self._forms.get(relation)
        if form is None:
            topic = self._topics.table(relation.schema, relation.name)
            if topic not in self._partitions:
                self._partitions |= ensure_topics(self._options, {topic: self._options.partitions})
            form = self._forms[relation] = RowForm(relation, self._keys.get(relation.table), topic)
            key, value = encode_relation_record(relation)
            self.queue(self._topics.relations, value, key, [], 0)
        self._newest_form = form
        return form

    @property
    def _foreign(self) -> frozenset[str]:
        """Topics in Debezium's form."""
        return frozenset(
            self._topics.table(table.schema, table.name)
            for table in self._keys
            if self._options.form_of(table) == "debezium"
        )

    @property
    def _internal(self) -> frozenset[str]:
        return frozenset({self._topics.transaction, self._topics.message, self._topics.relations})
