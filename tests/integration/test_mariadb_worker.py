"""MariaDB → worker → PostgreSQL under concurrent writes, with the worker killed and the server restarted."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pymysql
import pytest

from cdc.copy_requests import copy_progress, request_copy
from cdc.lsn import Lsn
from cdc.mysql.provision import deprovision_mysql_source, emit_message
from cdc.positions import wait_applied
from sandbox.mariadb import create_mysql_database, mariadb_program
from sandbox.supervision import Stack
from tests.mariadb_pair import Mysql, as_texts, mariadb_link, need_mariadb, provision
from tests.mariadb_process import SOURCE_DDL, TABLES, TARGET_DDL

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


@pytest.fixture
def stack():
    need_mariadb()
    with Stack() as made:
        (port,) = made.reserve_ports(1)
        made.run(mariadb_program(made.folder, port=port), timeout_s=60)
        yield made, f"mysql://root@127.0.0.1:{port}/"


class Writers:
    """Threads of seeded transactions, a third of them rolled back, that survive a restart of the server."""

    def __init__(self, mysql, seed, threads=3):
        self.mysql, self.stop, self.committed = mysql, threading.Event(), 0
        self._threads = [threading.Thread(target=self._run, args=(seed + n,)) for n in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed):
        chance = random.Random(seed)
        while not self.stop.is_set():
            try:
                connection = self.mysql.other(autocommit=False)
                while not self.stop.is_set():
                    self._transaction(connection, chance)
            except (pymysql.MySQLError, OSError):
                self.stop.wait(0.1)

    def _transaction(self, connection, chance):
        try:
            with connection.cursor() as cursor:
                for _ in range(chance.randint(1, 6)):
                    cursor.execute(*self._statement(chance))
            if chance.random() < 0.3:
                connection.rollback()
            else:
                connection.commit()
                self.committed += 1
        except pymysql.err.IntegrityError:
            connection.rollback()
        except pymysql.err.OperationalError as error:
            if error.args[0] not in (1205, 1213):
                raise
            connection.rollback()
        self.stop.wait(0.002)

    def _statement(self, chance):
        key, text = chance.randint(1, 500), chance.choice(["", "null", "né😀", "a'b\\c\n", "x" * 300])
        return chance.choice(
            [
                ("INSERT INTO item (id, name, amount, note) VALUES (%s, %s, %s, %s)", (key, text[:90], key / 7, text)),
                ("UPDATE item SET amount = amount + 0.000001, note = %s WHERE id = %s", (text, key)),
                ("UPDATE item SET id = %s WHERE id = %s", (key + 500, key)),
                ("DELETE FROM item WHERE id BETWEEN %s AND %s", (key, key + 3)),
                ("INSERT INTO line VALUES (%s, %s, %s) ON DUPLICATE KEY UPDATE qty = qty + 1", (key, 1, 4_000_000_000)),
                ("UPDATE line SET item_id = item_id + 500 WHERE item_id = %s", (key,)),
                ("DELETE FROM line WHERE item_id = %s", (key,)),
                ("INSERT INTO unrelated (text) VALUES (%s)", (text,)),
            ]
        )


class Worker:
    def __init__(self, folder, source, target, *options):
        with (Path(folder) / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.mariadb_process", str(folder), source, target, *options],
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def test_equal_row_for_row_after_kills_and_a_restart_of_the_server(stack, new_database, tmp_path):
    running, url = stack
    source_dsn, target_dsn = create_mysql_database(url, "shop"), new_database("target")
    source = Mysql(source_dsn)
    for statement in [*SOURCE_DDL.split(";"), "CREATE TABLE unrelated (id serial, text text) ENGINE = MyISAM"]:
        source.execute(statement)
    with as_connection(target_dsn) as target:
        target.execute(TARGET_DDL)
    link = mariadb_link(source_dsn, target_dsn, tmp_path, TABLES)
    provision(link)
    chance = random.Random(7)
    worker = Worker(tmp_path, source_dsn, target_dsn)
    try:
        with Writers(source, 7) as writers:
            for round_ in range(4):
                time.sleep(0.7 + chance.random())
                if round_ == 2:
                    running.restart("mariadb")
                worker.kill()
                worker = Worker(tmp_path, source_dsn, target_dsn)
            time.sleep(0.5)
        assert writers.committed > 100
        settled = emit_message(source_dsn, link.stream, "strangler.barrier", b"end")
        wait_applied(target_dsn, link.stream, Lsn(settled), 40)
        source = Mysql(source_dsn)
        assert_equal(source, target_dsn)
    finally:
        worker.kill()
        deprovision_mysql_source(source_dsn, link.stream)


def assert_equal(source, target_dsn):
    for table, columns, order in (("item", "id, name, amount, note, at", "id"), ("line", "*", "item_id, no")):
        there = source.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")
        here = as_texts(target_dsn, f"SELECT {columns} FROM {table} ORDER BY {order}")
        assert [tuple(row.values()) for row in there] == here
        assert here


def test_H2_copied_while_written_to_and_killed_in_the_middle_equal_row_for_row(stack, new_database, tmp_path):
    running, url = stack
    source_dsn, target_dsn = create_mysql_database(url, "shop"), new_database("target")
    source = Mysql(source_dsn)
    for statement in [*SOURCE_DDL.split(";"), "CREATE TABLE unrelated (id serial, text text) ENGINE = MyISAM"]:
        source.execute(statement)
    source.execute("INSERT INTO item SELECT seq, concat('né', seq), seq / 7, NULL, now(6) FROM seq_1_to_20000")
    source.execute("INSERT INTO line SELECT seq DIV 3, seq MOD 3, 4000000000 FROM seq_1_to_9000")
    with as_connection(target_dsn) as target:
        target.execute(TARGET_DDL)
    link = mariadb_link(source_dsn, target_dsn, tmp_path, TABLES, follows_copy=True)
    provision(link)
    request_copy(target_dsn, link.stream, link.mapper.source_tables)
    chance, kills = random.Random(11), 0
    worker = Worker(tmp_path, source_dsn, target_dsn, "copy")
    try:
        with Writers(source, 11) as writers:
            while any(table.state != "done" for table in copy_progress(target_dsn, link.stream)):
                seen = copied_rows(target_dsn, link)
                while kills < 6 and copied_rows(target_dsn, link) < seen + chance.randint(1, 3000):
                    assert worker.process.poll() is None
                    time.sleep(0.01)
                if kills == 2:
                    running.restart("mariadb")
                if kills < 6:
                    worker.kill()
                    kills += 1
                    worker = Worker(tmp_path, source_dsn, target_dsn, "copy")
                time.sleep(0.05)
        assert kills == 6
        assert writers.committed > 100
        settled = emit_message(source_dsn, link.stream, "strangler.barrier", b"end")
        wait_applied(target_dsn, link.stream, Lsn(settled), 40)
        assert_equal(Mysql(source_dsn), target_dsn)
    finally:
        worker.kill()
        deprovision_mysql_source(source_dsn, link.stream)


def copied_rows(target_dsn, link):
    return sum(table.rows for table in copy_progress(target_dsn, link.stream))


def as_connection(dsn):
    import psycopg

    return psycopg.connect(dsn, autocommit=True)
