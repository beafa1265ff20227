"""`strangler cdc stream --source mysql://…`: what a user types, with everything that MariaDB can hold."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pymysql
import pytest

from cdc.copy_requests import copy_progress
from cdc.mysql.provision import emit_message
from cdc.positions import wait_applied
from cdc.worker import StreamWorker
from commands.own_stream import OwnStream
from sandbox.mariadb import create_mysql_database, mariadb_server
from strangler.errors import StranglerError
from tests.mariadb_pair import Mysql, as_texts, need_mariadb

pytestmark = pytest.mark.integration
STREAM = "strangler_orders_forward"

COLUMNS = {
    "id": ("bigint unsigned", "numeric(20)", "18446744073709551615"),
    "t1": ("tinyint", "smallint", "-128"),
    "t2": ("int unsigned", "bigint", "4294967295"),
    "t3": ("decimal(20,6)", "numeric(20,6)", "1.5"),
    "t4": ("float", "real", "0.1"),
    "t5": ("double", "double precision", "5e-324"),
    "t6": ("bit(10)", "bit(10)", "b'1000000001'"),
    "t7": ("year", "smallint", "2024"),
    "t8": ("date", "date", "'2024-02-29'"),
    "t9": ("datetime(6)", "timestamp", "'2024-02-29 23:59:59.999999'"),
    "t10": ("timestamp(3) NULL", "timestamptz", "'2024-02-29 23:59:59.120'"),
    "t11": ("time", "interval", "'838:59:59'"),
    "t12": ("char(10)", "varchar(10)", "'né'"),
    "t13": ("varchar(20) CHARSET latin1", "varchar(20)", "'é\\t\\\\'"),
    "t14": ("longtext", "text", "NULL"),
    "t15": ("binary(16)", "bytea", "x'00ff'"),
    "t16": ("blob", "bytea", "x'5c4e0a'"),
    "t17": ("enum('a','bé')", "text", "'bé'"),
    "t18": ("set('x','y')", "text", "'y,x'"),
    "t19": ("json", "text", "'{\"a\": 1.10}'"),
    "made": ("int AS (t1 + 1) VIRTUAL", None, None),
    "t20": ("mediumint unsigned", "integer", "16777215"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    need_mariadb()
    with mariadb_server({"sync-binlog": "0", "innodb-flush-log-at-trx-commit": "0"}) as url:
        yield url


def command(*arguments):
    return [sys.executable, "-m", "cli", "cdc", *arguments]


class Running:
    def __init__(self, folder, source, target, *tables):
        arguments = [text for table in tables for text in ("--table", table)]
        self.log = (folder / "log.txt").open("ab")
        self.process = subprocess.Popen(
            command("stream", "--name", "orders", "--state", str(folder / "state"), *arguments),
            env={**os.environ, "STRANGLER_SOURCE": source, "STRANGLER_TARGET": target},
            stdout=self.log,
            stderr=self.log,
        )

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)
        self.log.close()


def test_copied_then_followed_killed_and_gone_on_and_removed(server, new_database, tmp_path):
    source, target = Mysql(create_mysql_database(server, "shop")), new_database("orders")
    definition = ", ".join(f"{name} {kind}" for name, (kind, _, _) in COLUMNS.items())
    source.execute(f"CREATE TABLE item ({definition}, PRIMARY KEY (id)) CHARSET utf8mb4")
    source.execute("CREATE TABLE line (item bigint unsigned, no int, PRIMARY KEY (item, no))")
    written = [name for name, (_, kind, _) in COLUMNS.items() if kind]
    source.execute(
        f"INSERT INTO item ({', '.join(written)}) VALUES ({', '.join(COLUMNS[name][2] for name in written)})"
    )
    source.execute("INSERT INTO item (id, t12) SELECT seq, concat('né', seq) FROM seq_1_to_6000")
    source.execute("INSERT INTO line SELECT seq, 1 FROM seq_1_to_6000")
    with psycopg.connect(target, autocommit=True) as connection:
        definition = ", ".join(f"{name} {COLUMNS[name][1]}" for name in written)
        connection.execute(f"CREATE TABLE item ({definition}, PRIMARY KEY (id))")
        connection.execute("CREATE SCHEMA sales")
        connection.execute("CREATE TABLE sales.lines (item numeric(20), no int, PRIMARY KEY (item, no))")

    running = Running(tmp_path, source.dsn, target, "item", "line=sales.lines")
    try:
        until(lambda: any(table.rows for table in progress(target)) or running.process.poll() is not None)
        running.end(signal.SIGKILL)
        source.execute("UPDATE item SET t12 = 'later' WHERE id BETWEEN 10 AND 20")
        source.execute("DELETE FROM line WHERE item = 5000")
        running = Running(tmp_path, source.dsn, target, "item", "line=sales.lines")
        until(lambda: [table.state for table in progress(target)] == ["done", "done"])
        source.execute("UPDATE item SET id = id + 10000 WHERE id BETWEEN 30 AND 40")
        wait_applied(target, STREAM, emit_message(source.dsn, STREAM, "strangler.barrier", b""), 40)
        own = OwnStream(name="orders", source_dsn=source.dsn, target_dsn=target, tables=("item",), state=tmp_path)
        until(lambda: (lambda lag: lag.bytes == lag.events_waiting == 0 and lag.state == "streaming")(own.lag()))
        seen = lag(source, target)
        assert (seen["state"], seen["seconds"], seen["events_waiting"], seen["error"]) == ("streaming", 0, 0, None)
        tables = {table["table"]: table for table in seen["tables"]}
        assert tables[f"{source.database}.item"]["copied_rows"] == 6001
        assert tables[f"{source.database}.item"]["estimated_rows"] > 1000
        assert tables.keys() == {f"{source.database}.item", f"{source.database}.line"}
    finally:
        running.end()

    assert (tmp_path / "log.txt").read_text().count("Traceback") == 0
    values = ", ".join(f"{name}::text" for name in written)
    (row,) = as_texts(target, f"SELECT ROW({values})::text FROM item WHERE t1 = -128")
    assert row[0] == (
        '(18446744073709551615,-128,4294967295,1.500000,0.1,5e-324,1000000001,2024,2024-02-29,'
        '"2024-02-29 23:59:59.999999","2024-02-29 23:59:59.12+00",838:59:59,né,"é\t\\\\",,'
        '"\\\\x00ff0000000000000000000000000000","\\\\x5c4e0a",bé,"x,y","{""a"": 1.10}",16777215)'
    )  # fmt: skip
    for ours, theirs in (
        ("id::bigint, t12 FROM item WHERE t1 IS NULL", "id, t12 FROM item WHERE t1 IS NULL"),
        ("item::bigint, no FROM sales.lines", "item, no FROM line"),
    ):
        assert as_texts(target, f"SELECT {ours} ORDER BY 1") == [
            tuple(row.values()) for row in source.execute(f"SELECT {theirs} ORDER BY 1")
        ]

    ended = subprocess.run(
        command("stream", "--source", source.dsn, "--target", target, "--name", "orders", "--remove",
                "--state", str(tmp_path / "state")),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(pymysql.MySQLError):
        source.execute("SELECT * FROM strangler.message")
    assert as_texts(target, "SELECT to_regclass('strangler.stream_position')") == [(None,)]
    assert not (tmp_path / "state" / "streams" / "orders").exists()


def test_what_cannot_work_is_refused_before_anything_is_made(server, new_database, tmp_path):
    source, target = Mysql(create_mysql_database(server, "shop")), new_database("orders")
    source.execute("CREATE TABLE narrow (id bigint PRIMARY KEY)")
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE TABLE narrow (id int PRIMARY KEY)")
    for options, said in (
        ({"tables": ("missing",)}, "does not exist"),
        ({"tables": ("narrow",)}, "narrower"),
        ({"tables": ()}, "no table is named"),
        ({"tables": ("narrow",), "name": "No-Name"}, "lower-case"),
    ):
        with pytest.raises(StranglerError) as refused:
            own = {"name": "own", "source_dsn": source.dsn, "target_dsn": target, "state": tmp_path}
            OwnStream(**{**own, **options}).link()
        assert said in str(refused.value)
    ended = subprocess.run(
        command("stream", "--source", source.dsn, "--table", "narrow"), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "has both" in ended.stderr
    assert as_texts(target, "SELECT to_regclass('strangler.stream_position')") == [(None,)]


def lag(source, target):
    asked = subprocess.run(
        command("lag", "--source", source.dsn, "--target", target, "--name", "orders", "--json"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    (seen,) = json.loads(asked.stdout)
    return seen


def test_lag_counts_the_bytes_of_all_binlog_files_behind_the_position(server, new_database, tmp_path):
    source, target = Mysql(create_mysql_database(server, "shop")), new_database("orders")
    source.execute("CREATE TABLE item (id int PRIMARY KEY, v longtext)")
    with psycopg.connect(target, autocommit=True) as connection:
        connection.execute("CREATE TABLE item (id int PRIMARY KEY, v text)")
    own = OwnStream(
        name="orders", source_dsn=source.dsn, target_dsn=target, tables=("item",), state=tmp_path, copies=False
    )
    assert own.lag().state == "absent"
    own.provision()
    assert (own.lag().bytes, own.lag().seconds) == (0, 0.0)
    source.execute("INSERT INTO item VALUES (1, REPEAT('x', 100000))")
    source.execute("FLUSH BINARY LOGS")
    source.execute("INSERT INTO item VALUES (2, REPEAT('x', 200000))")
    behind = own.lag()
    assert 300_000 < behind.bytes < 310_000
    assert behind.wal_status is None
    stop = threading.Event()
    worker = threading.Thread(target=StreamWorker([own.link()]).run, args=(stop,))
    worker.start()
    try:
        until(lambda: caught_up(own.lag()))
    finally:
        stop.set()
        worker.join()
    source.execute("INSERT INTO item VALUES (3, '')")
    until(lambda: own.lag().seconds > 0)
    assert own.lag().seconds < 60
    until(lambda: purge(source) or own.lag().wal_status == "lost")
    own.remove()


def caught_up(lag):
    return (lag.bytes, lag.seconds, lag.events) == (0, 0.0, 2)


def purge(source):
    """What the server still needs for its own recovery it keeps a moment longer."""
    source.execute("FLUSH BINARY LOGS")
    last = source.execute("SHOW BINARY LOGS")[-1]["Log_name"]
    source.execute(f"PURGE BINARY LOGS TO '{last}'")


def progress(target):
    return copy_progress(target, STREAM)


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)
