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

from cdc.events import Message, Relation, Row, RowChange, TableName, Transaction, Truncate
from cdc.json_values import JsonValue, to_json
from cdc.lsn import ZERO, Lsn

VERSION: Final = "3.0.0.Final"
"""The Debezium release whose envelope this is."""
NEW_KEY_HEADER: Final = "__debezium.newkey"
OLD_KEY_HEADER: Final = "__debezium.oldkey"

JsonObject = dict[str, Any]


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
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


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


@dataclass(frozen=True, kw_only=True)
class _Encoder:
    transaction: Transaction
    logical_name: str
    database: str
    processed_at_us: int
    previous_commit_lsn: Lsn
    keys: Mapping[TableName, Sequence[str]]
    _orders: Counter[str] = field(default_factory=Counter)

    def records(self) -> Iterator[DebeziumRecord]:
        for change in self.transaction.changes:
            if isinstance(change, RowChange):
                yield from self._row_records(change)
            elif isinstance(change, Truncate):
                for relation in change.relations:
                    yield DebeziumRecord(
                        topic=self._topic(relation), key=None, value=self._value(relation, "t", None, None)
                    )
            else:
                yield self._message_record(change)

    def _row_records(self, change: RowChange) -> Iterator[DebeziumRecord]:
        relation = change.relation
        before = self._image(relation, change.old)
        after = self._image(relation, change.new)
        key_columns = self._key_columns(relation)
        old_key = _key(before, key_columns)
        new_key = _key(after, key_columns)
        if change.op == "u" and old_key is not None and old_key != new_key:
            yield self._record(relation, old_key, self._value(relation, "d", before, None), {NEW_KEY_HEADER: new_key})
            yield self._record(relation, old_key, None, {})
            yield self._record(relation, new_key, self._value(relation, "c", None, after), {OLD_KEY_HEADER: old_key})
            return
        if change.op == "u" and change.old_is_key:
            before = None
        key = old_key if change.op == "d" else new_key
        yield self._record(relation, key, self._value(relation, change.op, before, after), {})
        if change.op == "d":
            yield self._record(relation, key, None, {})

    def _record(
        self,
        relation: Relation,
        key: JsonObject | None,
        value: JsonObject | None,
        headers: Mapping[str, JsonObject | None],
    ) -> DebeziumRecord:
        present = {name: header for name, header in headers.items() if header is not None}
        return DebeziumRecord(topic=self._topic(relation), key=key, value=value, headers=present)

    def _message_record(self, message: Message) -> DebeziumRecord:
        value: JsonObject = {
            "op": "m",
            **_times(self.processed_at_us),
            "source": self._source(schema="", table=""),
            "message": {"prefix": message.prefix, "content": base64.b64encode(message.content).decode()},
        }
        if message.transactional:
            value["transaction"] = self._transaction_block("")
        return DebeziumRecord(topic=f"{self.logical_name}.message", key={"prefix": message.prefix}, value=value)

    def _value(self, relation: Relation, op: str, before: JsonObject | None, after: JsonObject | None) -> JsonObject:
        return {
            "before": before,
            "after": after,
            "source": self._source(schema=relation.schema, table=relation.name, is_read=op == "r"),
            "transaction": self._transaction_block(f"{relation.schema}.{relation.name}"),
            "op": op,
            **_times(self.processed_at_us),
        }

    def _source(self, *, schema: str, table: str, is_read: bool = False) -> JsonObject:
        previous = str(self.previous_commit_lsn) if self.previous_commit_lsn else None
        return {
            "version": VERSION,
            "connector": "postgresql",
            "name": self.logical_name,
            **_times(self.transaction.commit_time_us),
            "snapshot": "incremental" if is_read else "false",
            "db": self.database,
            "sequence": json.dumps([previous, str(self.transaction.commit_lsn)], separators=(",", ":")),
            "schema": schema,
            "table": table,
            "txId": self.transaction.xid,
            "lsn": self.transaction.commit_lsn,
            "xmin": None,
            "origin": self.transaction.origin,
        }

    def _transaction_block(self, collection: str) -> JsonObject:
        self._orders["*"] += 1
        self._orders[collection] += 1
        return {
            "id": f"{self.transaction.xid}:{self.transaction.commit_lsn}",
            "total_order": self._orders["*"],
            "data_collection_order": self._orders[collection],
        }

    def _topic(self, relation: Relation) -> str:
        return f"{self.logical_name}.{relation.schema}.{relation.name}"

    def _key_columns(self, relation: Relation) -> Sequence[str]:
        if relation.table in self.keys:
            return self.keys[relation.table]
        if relation.replica_identity == "f":
            return ()
        return [column.name for column in relation.columns if column.in_key]

    @staticmethod
    def _image(relation: Relation, row: Row | None) -> JsonObject | None:
        if row is None:
            return None
        return {column.name: to_json(column, value) for column, value in zip(relation.columns, row, strict=True)}


def _key(image: JsonObject | None, key_columns: Sequence[str]) -> JsonObject | None:
    if image is None or not key_columns:
        return None
    return {name: image[name] for name in key_columns}


def _times(at_us: int) -> dict[str, JsonValue]:
    return {"ts_ms": at_us // 1000, "ts_us": at_us, "ts_ns": at_us * 1000}
