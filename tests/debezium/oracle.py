"""The same statements through Debezium's engine and through ours, and where the records differ."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from benchmarks.debezium_engine import END_PREFIX
from cdc.debezium import DebeziumDecoder, DebeziumEncoder, DebeziumOptions, DecoderOptions
from cdc.debezium.catalog_reader import read_catalog
from cdc.events import Message, RowChange, TableName
from cdc.lsn import before_boundary, parse_lsn
from cdc.postgres_source import PostgresSource

HERE = Path(__file__).parent
TABLES = [
    TableName(name=name) for name in ("small", "comp", "nokey", "rf", "big", "defs", "types", "dflt", 'Odd.té"st')
]
STREAM = "strangler_oracle_forward"
ENGINE_S = 120

MODES = {
    "defaults": {"provide_transaction_metadata": True},
    "strings": {
        "decimal_handling_mode": "string",
        "time_precision_mode": "connect",
        "interval_handling_mode": "string",
        "binary_handling_mode": "hex",
        "hstore_handling_mode": "map",
        "schemas_enable": True,
        "schema_name_adjustment_mode": "avro",
    },
    "doubles": {
        "decimal_handling_mode": "double",
        "time_precision_mode": "adaptive_time_microseconds",
        "binary_handling_mode": "base64",
        "include_unknown_datatypes": False,
        "schemas_enable": True,
    },
    "iso": {"time_precision_mode": "isostring", "binary_handling_mode": "base64-url-safe"},
    "micros": {"time_precision_mode": "microseconds", "tombstones_on_delete": False, "schemas_enable": True},
    "nanos": {"time_precision_mode": "nanoseconds", "skipped_operations": frozenset("t")},
}
"""Ours by field name; Debezium's properties are the same words with dots."""


@dataclass(frozen=True)
class Difference:
    """One value that is not the same. `path`: from the record's root, list elements as `[]`."""

    mode: str
    path: str
    theirs: object
    ours: object


@dataclass(frozen=True)
class Both:
    """`records`: {mode: (Debezium's, ours)}, each (topic, key, value), parsed; `transactions`: our source's."""

    records: dict
    transactions: list
    catalog: object


def properties(number, mode, dsn):
    """Debezium's configuration for one of `MODES`."""
    info = conninfo_to_dict(dsn)
    options = DebeziumOptions(topic_prefix=f"oracle-{number}", database=info["dbname"], **MODES[mode])
    chosen = {
        name.replace("_", "."): str(getattr(options, name)).lower()
        for name in ("decimal_handling_mode", "time_precision_mode", "interval_handling_mode", "binary_handling_mode",
                     "include_unknown_datatypes", "tombstones_on_delete", "provide_transaction_metadata",
                     "schema_name_adjustment_mode")
    }  # fmt: skip
    return options, {
        "name": f"oracle-{number}",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "offset.flush.interval.ms": "60000",
        "topic.prefix": options.topic_prefix,
        "plugin.name": "pgoutput",
        "database.hostname": info["host"],
        "database.port": info["port"],
        "database.user": info["user"],
        "database.password": info.get("password", "none"),
        "database.dbname": info["dbname"],
        "slot.name": f"oracle_{number}",
        "publication.name": STREAM,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "hstore.handling.mode": options.hstore_handling_mode,
        "skipped.operations": ",".join(options.skipped_operations) or "none",
        **chosen,
    }


def run_both(dsn):
    """What both made of the same statements."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute((HERE / "schema.sql").read_text())
        connection.execute(f"CREATE PUBLICATION {STREAM} FOR TABLE {', '.join(map(quoted, TABLES))}")
        start = connection.execute(
            "SELECT lsn::text FROM pg_create_logical_replication_slot(%s, 'pgoutput')", (STREAM,)
        ).fetchone()[0]
        for number in range(len(MODES)):
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (f"oracle_{number}",))
        connection.execute("SET timezone = 'UTC'")
        for statement in (HERE / "statements.sql").read_text().split(";;\n"):
            connection.execute(statement)
        connection.execute("SELECT pg_logical_emit_message(false, %s, '')", (END_PREFIX,))
        configured = {mode: properties(number, mode, dsn) for number, mode in enumerate(MODES)}
        try:
            theirs = run_engine([each for _, each in configured.values()])
        finally:
            for number in range(len(MODES)):
                drop_slot(connection, f"oracle_{number}")
    catalog = read_catalog(dsn, TABLES)
    transactions = captured(dsn, before_boundary(parse_lsn(start)))
    found = {}
    for number, (mode, (options, _)) in enumerate(configured.items()):
        encoder = DebeziumEncoder(options, catalog)
        records = [record for transaction in transactions for record in encoder.records(transaction)]
        ours = [(record.topic, record.key, record.value) for record in records]
        found[mode] = (theirs[number], ours)
    return Both(records=found, transactions=transactions, catalog=catalog)


def quoted(table):
    return '"' + table.name.replace('"', '""') + '"'


def captured(dsn, start):
    """Our source's transactions, to the end mark."""
    found = []
    with PostgresSource(dsn, slot=STREAM, publication=STREAM, position=start) as source:
        while True:
            for transaction in source.poll(0.5):
                for change in transaction.changes:
                    if isinstance(change, Message) and change.prefix == END_PREFIX:
                        return found
                found.append(transaction)


def run_engine(configurations):
    """[[(topic, key, value)]]; skips the test where the engine cannot be had."""
    asked = {"runs": [{"properties": each} for each in configurations], "print": True}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.debezium_engine"],
        input=json.dumps(asked), capture_output=True, text=True, timeout=ENGINE_S, check=False,
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for event in events:
        if "missing" in event:
            pytest.skip(f"no Debezium engine: {event['missing']}")
    assert sum("seconds" in event for event in events) == len(configurations), done.stderr[-2000:]
    runs = [[] for _ in configurations]
    for event in events:
        if "topic" in event:
            runs[event["run"]].append((event["topic"], _parsed(event["key"]), _parsed(event["value"])))
    return runs


def doubted_and_wrong(both, mode, records):
    """Decode a mode's records, Debezium's or ours, and hold them to what the source sent.

    Returns {(table, column)} of values that were in doubt, and (column, sent, decoded) of those wrong without a doubt.
    """
    options = DebeziumOptions(topic_prefix="oracle", **{**MODES[mode], "tombstones_on_delete": True})
    decoder = DebeziumDecoder(DecoderOptions(written=options), both.catalog)
    decoded = [decoder.inspect(topic, key, value) for topic, key, value in records]
    rows = [each for each in decoded if isinstance(each.change, RowChange) and each.change.new is not None]
    sent = [
        change
        for transaction in both.transactions
        for change in transaction.changes
        if isinstance(change, RowChange) and change.new is not None
    ]
    assert len(rows) == len(sent)
    doubted, wrong = set(), []
    for record, change in zip(rows, sent, strict=True):
        doubts = {doubt.column for doubt in record.doubts}
        source = {column.name: value for column, value in zip(change.relation.columns, change.new, strict=True)}
        for column, value in zip(record.change.relation.columns, record.change.new, strict=True):
            if column.name in doubts:
                doubted.add((record.table.name, column.name))
            elif value != source[column.name]:
                wrong.append((f"{record.table.name}.{column.name}", source[column.name], value))
    return doubted, wrong


def _parsed(text):
    return None if text is None else json.loads(text)


def drop_slot(connection, name):
    while connection.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (name,)).fetchone()[0]:
        time.sleep(0.05)
    connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def differences(mode, theirs, ours):
    """Every field that is not equal, topic by topic, record by record."""
    found = []
    topics = {topic for topic, _, _ in theirs + ours}
    with_schemas = MODES[mode].get("schemas_enable", False)
    for topic in sorted(topics):
        left = [(key, value) for each, key, value in theirs if each == topic]
        right = [(key, value) for each, key, value in ours if each == topic]
        name = topic.partition(".")[2]
        if len(left) != len(right):
            found.append(Difference(mode, f"{name}:count", len(left), len(right)))
            continue
        for number, (one, two) in enumerate(zip(left, right, strict=True)):
            label = f"{name}[{_label(one, number)}]"
            for part, mine, other in (("key", one[0], two[0]), ("value", one[1], two[1])):
                if not with_schemas:
                    mine = mine and mine["payload"]
                compare(mode, f"{label}.{part}", mine, other, found)
    return found


def _label(record, number):
    value = record[1] and record[1]["payload"]
    row = value and (value.get("after") or value.get("before"))
    return f"{row['id']}:{value['op']}" if row and "id" in row else f"#{number}"


def compare(mode, path, theirs, ours, found):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in {**theirs, **ours}:
            compare(mode, f"{path}.{name}", theirs.get(name, "(absent)"), ours.get(name, "(absent)"), found)
    elif _is_fields(theirs) and _is_fields(ours):
        by_name = ({each["field"]: each for each in theirs}, {each["field"]: each for each in ours})
        compare(mode, path, *by_name, found)
    elif type(theirs) is not type(ours) or theirs != ours:
        found.append(Difference(mode, path, theirs, ours))


def _is_fields(value):
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) and "field" in each for each in value)
