"""Debezium's MySQL and MariaDB connectors' form of our events: their `source` block instead of PostgreSQL's. Pure."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Any, Final, Literal

from cdc.debezium import VERSION, DebeziumEncoder, DebeziumRecord
from cdc.debezium.record import OLD_KEY_HEADER
from cdc.events import Relation, RowChange, Transaction, Truncate
from cdc.mysql.transactions import BinlogTransaction, Place

Connector = Literal["mysql", "mariadb"]

_dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def mysql_records(
    encoder: DebeziumEncoder,
    transaction: Transaction,
    *,
    connector: Connector,
    processed_at_us: int,
    snapshot: str = "incremental",
) -> Iterator[DebeziumRecord]:
    """The records of one transaction. Topics are `{prefix}.{database}.{table}`; `pos` and `row` are those of the change
    where the transaction has kept places (`BinlogAssembler(keep_places=True)`)."""
    records = encoder.records(transaction, processed_at_us=processed_at_us, snapshot=snapshot)
    plain = (encoder.transaction_topic, encoder.message_topic)
    places = _places(transaction)
    place: tuple[Relation | None, Place | None] = (None, None)
    for record in records:
        if record.value_json is None or record.topic == encoder.transaction_topic:
            yield record
            continue
        if OLD_KEY_HEADER not in record.headers:  # the second half of a change of key stands where the first does
            place = next(places)
        value = json.loads(record.value_json)
        payload = value["payload"] if encoder.options.schemas_enable else value
        payload["source"] = _source(payload["source"], transaction, connector, *place)
        if encoder.options.schemas_enable and record.topic not in plain:
            _replace_source_schema(value["schema"], connector)
        yield record._replace(value_json=_dump(value))


def _places(transaction: Transaction) -> Iterator[tuple[Relation | None, Place | None]]:
    """One per change, for a TRUNCATE one per table."""
    kept: Iterator[Place | None] = iter(transaction.places) if isinstance(transaction, BinlogTransaction) else iter(())
    for change, place in zip(transaction.changes, chain(kept, repeat(None)), strict=False):
        if isinstance(change, RowChange):
            yield change.relation, place
        elif isinstance(change, Truncate):
            for relation in change.relations:
                yield relation, place
        else:
            yield None, place


def _source(
    given: dict[str, Any],
    transaction: Transaction,
    connector: Connector,
    relation: Relation | None,
    place: Place | None,
) -> dict[str, Any]:
    found = transaction if isinstance(transaction, BinlogTransaction) else None
    return {
        "version": VERSION,
        "connector": connector,
        "name": given["name"],
        "ts_ms": given["ts_ms"],
        "snapshot": given["snapshot"],
        "db": relation.schema if relation is not None else given["db"],
        "sequence": None,
        "ts_us": given["ts_us"],
        "ts_ns": given["ts_ns"],
        "table": relation.name if relation is not None else None,
        "server_id": found.server_id if found is not None else 0,
        "gtid": found.gtid if found is not None else None,
        "file": found.file if found is not None else "",
        "pos": place.pos if place is not None else found.pos if found is not None else 0,
        "row": place.row if place is not None else 0,
        "thread": found.thread if found is not None else None,
        "query": place.query if place is not None else None,
    }


_FIELDS: Final[Sequence[tuple[str, str, bool]]] = (
    *(("version", "string", False), ("connector", "string", False), ("name", "string", False)),
    *(("ts_ms", "int64", False), ("snapshot", "string", True), ("db", "string", False), ("sequence", "string", True)),
    *(("ts_us", "int64", True), ("ts_ns", "int64", True), ("table", "string", True), ("server_id", "int64", False)),
    *(("gtid", "string", True), ("file", "string", False), ("pos", "int64", False), ("row", "int32", False)),
    *(("thread", "int64", True), ("query", "string", True)),
)


def _replace_source_schema(schema: dict[str, Any], connector: Connector) -> None:
    fields = [{"type": kind, "optional": optional, "field": name} for name, kind, optional in _FIELDS]
    for field in schema["fields"]:
        if field.get("field") == "source":
            field["name"] = f"io.debezium.connector.{connector}.Source"
            field["fields"] = fields
