"""Transactions as Debezium 3 events. Pure.

One record per row change, on topic `{logical_name}.{schema}.{table}`. A change of key is a delete of the old key, its
tombstone and a create under the new one, with Debezium's two headers. Messages go to `{logical_name}.message`.
Identity of an event is `source.lsn`, which is the commit's position, with `transaction.total_order`.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cdc.events import UNCHANGED, Message, Relation, Row, RowChange, TableName, Transaction, Truncate
from cdc.json_values import converter, unavailable
from cdc.lsn import ZERO, Lsn

VERSION: Final = "3.0.0.Final"
"""The Debezium release whose envelope this is."""
NEW_KEY_HEADER: Final = "__debezium.newkey"
OLD_KEY_HEADER: Final = "__debezium.oldkey"

JsonObject = dict[str, Any]

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, kw_only=True, slots=True)
class DebeziumRecord:
    """One record of a topic. `value` None is a tombstone; `key` None means that the table has no key."""

    topic: str
    key: JsonObject | None
    value: JsonObject | None
    headers: Mapping[str, JsonObject] = field(default_factory=dict)

    def as_json(self) -> str:
        """One line: {"topic", "key", "value", "headers"}."""
        parts = {"topic": self.topic, "key": self.key, "value": self.value, "headers": dict(self.headers)}
        return _ENCODE(parts)


def encode(
    transaction: Transaction,
    *,
    logical_name: str,
    database: str,
    processed_at_us: int | None = None,
    previous_commit_lsn: Lsn = ZERO,
    keys: Mapping[TableName, Sequence[str]] | None = None,
) -> list[DebeziumRecord]:
    """The records of one transaction, in order.

    `processed_at_us`: the envelope's own time, microseconds since the Unix epoch (default: the commit time).
    `keys`: primary-key columns of tables whose replica identity is not their key (replica identity full); without it
    such a table's records have no key.
    """
    encoder = _Encoder(
        transaction=transaction,
        logical_name=logical_name,
        database=database,
        processed_at_us=transaction.commit_time_us if processed_at_us is None else processed_at_us,
        previous_commit_lsn=previous_commit_lsn,
        keys=keys or {},
    )
    return list(encoder.records())


class _Table:
    """What all records of one relation in one transaction share. The shared dictionaries are never changed."""

    def __init__(self, relation: Relation, key_columns: Sequence[str], topic: str, source: JsonObject) -> None:
        self.topic = topic
        self.source = source
        self.collection = f"{relation.schema}.{relation.name}"
        self._key_columns = key_columns
        self._columns = [(column.name, column.type_oid, converter(column.type_oid)) for column in relation.columns]

    def image(self, row: Row | None) -> JsonObject | None:
        if row is None:
            return None
        image: JsonObject = {}
        for (name, type_oid, convert), value in zip(self._columns, row, strict=True):
            if value is None:
                image[name] = None
            elif value is UNCHANGED:
                image[name] = unavailable(type_oid)
            else:
                image[name] = value if convert is None else convert(value)
        return image

    def key(self, image: JsonObject | None) -> JsonObject | None:
        if image is None or not self._key_columns:
            return None
        return {name: image[name] for name in self._key_columns}


class _Encoder:
    def __init__(
        self,
        transaction: Transaction,
        logical_name: str,
        database: str,
        processed_at_us: int,
        previous_commit_lsn: Lsn,
        keys: Mapping[TableName, Sequence[str]],
    ) -> None:
        self._transaction = transaction
        self._logical_name = logical_name
        self._keys = keys
        self._id = f"{transaction.xid}:{transaction.commit_lsn}"
        self._times = _times(processed_at_us)
        previous = str(previous_commit_lsn) if previous_commit_lsn else None
        self._source_base = {
            "version": VERSION,
            "connector": "postgresql",
            "name": logical_name,
            **_times(transaction.commit_time_us),
            "snapshot": "false",
            "db": database,
            "sequence": json.dumps([previous, str(transaction.commit_lsn)], separators=(",", ":")),
            "schema": "",
            "table": "",
            "txId": transaction.xid,
            "lsn": transaction.commit_lsn,
            "xmin": None,
            "origin": transaction.origin,
        }
        self._tables: dict[int, _Table] = {}
        self._total = 0
        self._orders: Counter[str] = Counter()

    def records(self) -> Iterator[DebeziumRecord]:
        for change in self._transaction.changes:
            if isinstance(change, RowChange):
                yield from self._row_records(change)
            elif isinstance(change, Truncate):
                for relation in change.relations:
                    table = self._table(relation)
                    yield DebeziumRecord(topic=table.topic, key=None, value=self._value(table, "t", None, None))
            else:
                yield self._message_record(change)

    def _row_records(self, change: RowChange) -> Iterator[DebeziumRecord]:
        table, op = self._table(change.relation), change.op
        before, after = table.image(change.old), table.image(change.new)
        old_key, new_key = table.key(before), table.key(after)
        if op == "u" and old_key is not None and new_key is not None and old_key != new_key:
            yield DebeziumRecord(
                topic=table.topic,
                key=old_key,
                value=self._value(table, "d", before, None),
                headers={NEW_KEY_HEADER: new_key},
            )
            yield DebeziumRecord(topic=table.topic, key=old_key, value=None)
            yield DebeziumRecord(
                topic=table.topic,
                key=new_key,
                value=self._value(table, "c", None, after),
                headers={OLD_KEY_HEADER: old_key},
            )
            return
        if op == "u" and change.old_is_key:
            before = None
        key = old_key if op == "d" else new_key
        yield DebeziumRecord(topic=table.topic, key=key, value=self._value(table, op, before, after))
        if op == "d":
            yield DebeziumRecord(topic=table.topic, key=key, value=None)

    def _message_record(self, message: Message) -> DebeziumRecord:
        value: JsonObject = {
            "op": "m",
            **self._times,
            "source": self._source_base,
            "message": {"prefix": message.prefix, "content": base64.b64encode(message.content).decode()},
        }
        if message.transactional:
            value["transaction"] = self._transaction_block("")
        return DebeziumRecord(topic=f"{self._logical_name}.message", key={"prefix": message.prefix}, value=value)

    def _value(self, table: _Table, op: str, before: JsonObject | None, after: JsonObject | None) -> JsonObject:
        return {
            "before": before,
            "after": after,
            "source": {**table.source, "snapshot": "incremental"} if op == "r" else table.source,
            "transaction": self._transaction_block(table.collection),
            "op": op,
            **self._times,
        }

    def _transaction_block(self, collection: str) -> JsonObject:
        self._total += 1
        self._orders[collection] += 1
        return {
            "id": self._id,
            "total_order": self._total,
            "data_collection_order": self._orders[collection],
        }

    def _table(self, relation: Relation) -> _Table:
        """Cached by identity: the transaction keeps its relations alive."""
        table = self._tables.get(id(relation))
        if table is None:
            topic = f"{self._logical_name}.{relation.schema}.{relation.name}"
            source = {**self._source_base, "schema": relation.schema, "table": relation.name}
            table = self._tables[id(relation)] = _Table(relation, self._key_columns(relation), topic, source)
        return table

    def _key_columns(self, relation: Relation) -> Sequence[str]:
        if relation.table in self._keys:
            return self._keys[relation.table]
        if relation.replica_identity == "f":
            return ()
        return [column.name for column in relation.columns if column.in_key]


def _times(at_us: int) -> dict[str, int]:
    return {"ts_ms": at_us // 1000, "ts_us": at_us, "ts_ns": at_us * 1000}
