"""Events of Debezium's own engine: a snapshot, then a stream, of the same statements under several configurations."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from benchmarks.debezium_engine import END_PREFIX

HERE = Path(__file__).parent
TABLES = ["small", "comp", "rf", "big", "defs", "types", "dflt"]
ENGINE_S = 150

CONFIGURATIONS = {
    "exact": {
        "decimal.handling.mode": "string",
        "interval.handling.mode": "string",
        "time.precision.mode": "adaptive",
        "provide.transaction.metadata": "true",
        "heartbeat.interval.ms": "300",
    },
    "defaults": {"provide.transaction.metadata": "false"},
    "nulls": {
        "decimal.handling.mode": "string",
        "interval.handling.mode": "string",
        "value.converter.replace.null.with.default": "false",
    },
}

BEFORE = """
insert into small select g, 'snapshot ' || g from generate_series(10001, 10040) g;
insert into big (id, v, t) select g, g, repeat('x', 4000) from generate_series(100, 110) g;
insert into rf select g, 'v', 't' from generate_series(50, 60) g
"""


def record(dsn, schema_sql, statements):
    """{configuration: [(topic, key, value, headers)]}, JSON texts. `statements`: run while the engine streams."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(schema_sql)
        connection.execute(BEFORE)
        connection.execute(f"CREATE PUBLICATION rec FOR TABLE {', '.join(TABLES)}")
        for name in CONFIGURATIONS:  # made here: to make one waits for the snapshot of the other's connector
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"rec_{name}"])
        asked = {"runs": [{"properties": _properties(dsn, each)} for each in CONFIGURATIONS], "print": True}
        engine = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.debezium_engine"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        errors = threading.Thread(target=engine.stderr.read, daemon=True)
        errors.start()
        killer = threading.Timer(ENGINE_S, engine.kill)
        killer.start()
        try:
            engine.stdin.write(json.dumps(asked))
            engine.stdin.close()
            found = _read(engine, connection, statements)
        finally:
            killer.cancel()
            engine.kill()
            engine.wait()
            errors.join()
            engine.stdout.close()
            engine.stderr.close()
        for name in CONFIGURATIONS:
            _drop_slot(connection, f"rec_{name}")
    return found


def _read(engine, connection, statements):
    found, ended, streaming = [[] for _ in CONFIGURATIONS], 0, False
    snapshots = set()
    for line in engine.stdout:
        event = json.loads(line)
        if "missing" in event:
            pytest.skip(f"no Debezium engine: {event['missing']}")
        if "topic" in event:
            found[event["run"]].append((event["topic"], event["key"], event["value"], event["headers"]))
            if '"snapshot":"last"' in (event["value"] or ""):
                snapshots.add(event["run"])
            if len(snapshots) == len(CONFIGURATIONS) and not streaming:
                streaming = True
                _stream(connection, statements)
        elif "seconds" in event:
            ended += 1
            if ended == len(CONFIGURATIONS):
                break
    assert ended == len(CONFIGURATIONS), "the engine ended before the end mark"
    return dict(zip(CONFIGURATIONS, found, strict=True))


def _stream(connection, statements):
    deadline = time.monotonic() + 60
    slots = [f"rec_{name}" for name in CONFIGURATIONS]
    query = "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = ANY(%s)"
    while connection.execute(query, [slots]).fetchone()[0] < len(slots):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    statements(connection)
    connection.execute("SELECT pg_logical_emit_message(false, %s, '')", [END_PREFIX])


def _properties(dsn, name):
    info = conninfo_to_dict(dsn)
    return {
        "name": f"rec-{name}",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "offset.flush.interval.ms": "60000",
        "topic.prefix": f"rec-{name}",  # one JVM: the same twice would collide in its metrics
        "plugin.name": "pgoutput",
        "database.hostname": info["host"],
        "database.port": info["port"],
        "database.user": info["user"],
        "database.password": info.get("password", "none"),
        "database.dbname": info["dbname"],
        "slot.name": f"rec_{name}",
        "publication.name": "rec",
        "publication.autocreate.mode": "disabled",
        "table.include.list": ",".join(f"public.{table}" for table in TABLES),
        "snapshot.mode": "initial",
        "include.unknown.datatypes": "true",
        "skipped.operations": "none",
        **CONFIGURATIONS[name],
    }


def _drop_slot(connection, name):
    deadline = time.monotonic() + 30
    query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    while (row := connection.execute(query, [name]).fetchone()) and row[0]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    if row:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
