"""Transactions as Debezium 3.6 records. Pure.

One record per row change, on topic `{prefix}.{schema}.{table}`. A change of key is a delete of the old key, its
tombstone and a create under the new one, with Debezium's two headers. Messages go to `{prefix}.message`, the
transaction's begin and end to `{prefix}.transaction`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from cdc.debezium import schemas
from cdc.debezium.catalog import TypeCatalog
from cdc.debezium.codec import NULL, JsonSchema, dump, quoted
from cdc.debezium.options import DebeziumOptions
from cdc.debezium.record import LOST_HEADER, NEW_KEY_HEADER, NO_HEADERS, OLD_KEY_HEADER, DebeziumRecord
from cdc.debezium.runs import run_columns
from cdc.debezium.structures import binary_json
from cdc.debezium.tables import TableWriter
from cdc.events import Message, Relation, Row, RowChange, Transaction, Truncate
from cdc.insert_run import InsertRun, Run, runs_of
from cdc.lsn import Lsn

VERSION: Final = "3.6.3.Final"
"""The Debezium release whose records these are."""
_MESSAGES: Final = "message"
_WRITERS: Final = 4096
"""Compiled relations kept; every schema change makes another."""


class DebeziumEncoder:
    """The records of one source's transactions, given in commit order. Not thread-safe.

    `catalog` says what the stream does not: types that do not come with PostgreSQL, and primary keys of tables whose
    replica identity is not their key. A relation is compiled when it is first met.
    """

    def __init__(self, options: DebeziumOptions, catalog: TypeCatalog | None = None) -> None:
        self.options: Final = options
        self._catalog = catalog or TypeCatalog()
        self._writers: dict[int, TableWriter] = {}
        self._previous: Lsn | None = None
        self.binary: Final = binary_json(options.binary_handling_mode)
        prefix = options.topic_prefix
        self._message_topic = f"{prefix}.message"
        self._transaction_topic = f"{prefix}.transaction"
        self._heartbeat_topic = f"__debezium-heartbeat.{prefix}"

    def records(
        self, transaction: Transaction, *, processed_at_us: int | None = None, snapshot: str = "incremental"
    ) -> Iterator[DebeziumRecord]:
        """In order. `processed_at_us`: the envelope's own time, microseconds since 1970 (default: the commit's).

        `snapshot`: what `source.snapshot` says of rows that were read (`r`). Raises `ValueError` when a value's text is
        not of its column's type.
        """
        at_us = transaction.commit_time_us if processed_at_us is None else processed_at_us
        yield from _TransactionWriter(self, transaction, at_us, self._previous, snapshot).records()
        self._previous = transaction.end_lsn

    def heartbeat(self, at_us: int) -> DebeziumRecord:
        """For a source that is idle. `at_us`: microseconds since 1970."""
        key, value = f'{{"serverName":{quoted(self.options.topic_prefix)}}}', f'{{"ts_ms":{at_us // 1000}}}'
        return DebeziumRecord(
            self._heartbeat_topic,
            self.with_schema(schemas.HEARTBEAT_KEY, key),
            self.with_schema(schemas.HEARTBEAT_VALUE, value),
        )

    def writer(self, relation: Relation) -> TableWriter:
        """Cached by identity; the writer keeps its relation alive, so that no other takes its id."""
        writer = self._writers.get(id(relation))
        if writer is None:
            if len(self._writers) >= _WRITERS:
                self._writers.clear()
            writer = self._writers[id(relation)] = TableWriter(relation, self.options, self._catalog)
        return writer

    def with_schema(self, schema: JsonSchema, payload: str) -> str:
        """A payload as a whole value of a topic."""
        return f'{{"schema":{dump(schema)},"payload":{payload}}}' if self.options.schemas_enable else payload

    @property
    def message_topic(self) -> str:
        return self._message_topic

    @property
    def transaction_topic(self) -> str:
        return self._transaction_topic


class _TransactionWriter:
    """One transaction: what its records share is written once."""

    def __init__(
        self, encoder: DebeziumEncoder, transaction: Transaction, at_us: int, previous: Lsn | None, snapshot: str
    ) -> None:
        options = encoder.options
        self._encoder, self._transaction = encoder, transaction
        self._id = quoted(f"{transaction.xid}:{transaction.commit_lsn}")
        self._ms, self._times = f'"ts_ms":{at_us // 1000}', _times(at_us)
        self._in_transactions = options.provide_transaction_metadata
        self._placeholder = options.unavailable_value_placeholder.encode()
        self._tombstones = options.tombstones_on_delete
        self._skipped: frozenset[str] = options.skipped_operations
        committed_us = transaction.commit_time_us
        before = NULL if previous is None else f'\\"{previous}\\"'
        head = f'"version":"{VERSION}","connector":"postgresql","name":{quoted(options.topic_prefix)}'
        self._source_head = f'{{{head},"ts_ms":{committed_us // 1000},"snapshot":'
        self._source_middle = (
            f',"db":{quoted(options.database)},"sequence":"[{before},\\"{transaction.commit_lsn}\\"]",'
            f'"ts_us":{committed_us},"ts_ns":{committed_us * 1000},'
        )
        self._source_tail = (
            f',"txId":{transaction.xid or NULL},"lsn":{transaction.commit_lsn},"xmin":null,'
            f'"origin":{NULL if transaction.origin is None else quoted(transaction.origin)},"origin_lsn":null}}'
        )
        self._snapshot = f'"{snapshot}"'
        self._tails: dict[tuple[int, str], str] = {}
        self._total = 0
        self._orders: Counter[str] = Counter()

    def records(self) -> Iterator[DebeziumRecord]:
        marked = self._in_transactions and self._transaction.xid != 0
        if marked:
            yield self._mark("BEGIN", NULL, NULL)
        writer_of, skipped = self._encoder.writer, self._skipped
        for change in runs_of(self._transaction.changes):
            if isinstance(change, InsertRun):
                if "c" not in skipped:
                    yield from self._run(writer_of(change.relation), change)
            elif isinstance(change, Run):
                for row in change:
                    if row.op not in skipped:
                        yield from self._row(writer_of(row.relation), row)
            elif isinstance(change, RowChange):
                if change.op not in skipped:
                    yield from self._row(writer_of(change.relation), change)
            elif isinstance(change, Truncate):
                if "t" not in skipped:
                    for relation in change.relations:
                        writer = writer_of(relation)
                        yield DebeziumRecord(writer.topic, None, self._value(writer, "t", NULL, NULL))
            elif isinstance(change, Message):
                yield self._message(change)
        if marked:
            counts = [{"data_collection": name, "event_count": count} for name, count in self._orders.items()]
            yield self._mark("END", str(self._total), dump(counts))

    def _run(self, writer: TableWriter, run: InsertRun) -> Iterator[DebeziumRecord]:
        """Many inserts at once; one by one where a value has to be marked."""
        columns = run_columns(run)
        images, keys = writer.images(columns, len(run)), writer.keys(columns, len(run))
        if writer.has_losses or self._placeholder in run.messages:
            writer.take_losses("", None)
            for change in run:
                yield from self._row(writer, change)
            return
        topic, in_transactions = writer.topic, self._in_transactions
        head = f'{writer.value_head}{{"before":null,"after":'
        middle = f',{self._tail(writer, "c")}"transaction":'
        tail = f',"op":"c",{self._times}}}{"}" if writer.value_head else ""}'
        key_head, key_tail = writer.key_head, "}" if writer.key_head else ""
        for image, key in zip(images, keys, strict=True):
            inside = self._block(writer.collection) if in_transactions else NULL
            whole_key = None if key is None else f"{key_head}{key}{key_tail}"
            yield DebeziumRecord(topic, whole_key, f"{head}{image}{middle}{inside}{tail}", NO_HEADERS)

    def _row(self, writer: TableWriter, change: RowChange) -> Iterator[DebeziumRecord]:
        old, new, op = change.old, change.new, change.op
        if op == "u":
            if old is not None and new is not None and writer.key_columns and writer.moved(old, new):
                yield from self._moved(writer, old, new)
                return
            if change.old_is_key:
                old = None
        before = NULL if old is None else writer.image(old)
        after = NULL if new is None else writer.image(new)
        key = writer.key(old if new is None else new)
        if key is not None and writer.key_head:
            key = f"{writer.key_head}{key}}}"
        headers = NO_HEADERS
        losses = {**writer.take_losses(before, old), **writer.take_losses(after, new)}
        if losses:
            headers = {LOST_HEADER: dump(losses)}
        yield DebeziumRecord(writer.topic, key, self._value(writer, op, before, after), headers)
        if op == "d" and self._tombstones:
            yield DebeziumRecord(writer.topic, key, None)

    def _moved(self, writer: TableWriter, old: Row, new: Row) -> Iterator[DebeziumRecord]:
        """A change of key."""
        keys = []
        for row in (old, new):
            key = writer.key(row) or NULL
            keys.append(f"{writer.key_head}{key}}}" if writer.key_head else key)
        for op, row, key, name, other in (
            ("d", old, keys[0], NEW_KEY_HEADER, keys[1]),
            ("c", new, keys[1], OLD_KEY_HEADER, keys[0]),
        ):
            image = writer.image(row)
            headers = {name: other}
            if losses := writer.take_losses(image, row):
                headers[LOST_HEADER] = dump(losses)
            before, after = (image, NULL) if op == "d" else (NULL, image)
            yield DebeziumRecord(writer.topic, key, self._value(writer, op, before, after), headers)
            if op == "d" and self._tombstones:
                yield DebeziumRecord(writer.topic, key, None)

    def _message(self, message: Message) -> DebeziumRecord:
        key = f'{{"prefix":{quoted(message.prefix)}}}'
        source = f'{self._source_head}"false"{self._source_middle}"schema":"","table":""{self._source_tail}'
        inside = self._block(_MESSAGES) if self._in_transactions and message.transactional else NULL
        content = self._encoder.binary(message.content)
        value = (
            f'{{"op":"m",{self._ms},"source":{source},"transaction":{inside},'
            f'"message":{{"prefix":{quoted(message.prefix)},"content":{content}}}}}'
        )
        return DebeziumRecord(
            self._encoder.message_topic,
            self._encoder.with_schema(schemas.MESSAGE_KEY, key),
            self._encoder.with_schema(schemas.message_value(self._encoder.options.binary_handling_mode), value),
        )

    def _mark(self, status: str, count: str, collections: str) -> DebeziumRecord:
        at_ms = self._transaction.commit_time_us // 1000
        value = (
            f'{{"status":"{status}","id":{self._id},"event_count":{count},'
            f'"data_collections":{collections},"ts_ms":{at_ms}}}'
        )
        return DebeziumRecord(
            self._encoder.transaction_topic,
            self._encoder.with_schema(schemas.TRANSACTION_KEY, f'{{"id":{self._id}}}'),
            self._encoder.with_schema(schemas.TRANSACTION_VALUE, value),
        )

    def _value(self, writer: TableWriter, op: str, before: str, after: str) -> str:
        inside = self._block(writer.collection) if self._in_transactions else NULL
        tail = self._tails.get((id(writer), op)) or self._tail(writer, op)
        payload = f'{{"before":{before},"after":{after},{tail}"transaction":{inside},"op":"{op}",{self._times}}}'
        return f"{writer.value_head}{payload}}}" if writer.value_head else payload

    def _tail(self, writer: TableWriter, op: str) -> str:
        snapshot = self._snapshot if op == "r" else '"false"'
        source = f"{self._source_head}{snapshot}{self._source_middle}{writer.source}{self._source_tail}"
        tail = self._tails[id(writer), op] = f'"source":{source},'
        return tail

    def _block(self, collection: str) -> str:
        self._total += 1
        self._orders[collection] += 1
        order = self._orders[collection]
        return f'{{"id":{self._id},"total_order":{self._total},"data_collection_order":{order}}}'


def _times(at_us: int) -> str:
    return f'"ts_ms":{at_us // 1000},"ts_us":{at_us},"ts_ns":{at_us * 1000}'
