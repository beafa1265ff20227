"""A crowd before a shop on a real MariaDB, joined with both forms of its log: compared with what the shop does."""

import itertools
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pymysql
import pytest
from flask import Flask, jsonify, request

from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.paths import shape_of
from sandbox.errors import PartMissing
from sandbox.mariadb import find_server, mariadb_server
from tests.integration.recorded_shop import served
from tests.integration.recording import recording

pytestmark = pytest.mark.integration

SCHEMA = """
CREATE TABLE customers (id int PRIMARY KEY AUTO_INCREMENT, `order` text);
CREATE TABLE orders (id int PRIMARY KEY AUTO_INCREMENT, customer_id int REFERENCES customers (id), note text);
CREATE TABLE `order lines` (order_id int, product_id int);
INSERT INTO customers (`order`) VALUES ('a'), ('b'), ('c');
"""
TRUTH = {
    "POST /orders": {"customers:R orders:W order lines:W"},
    "GET /orders/{}": {"orders:R order lines:R"},
    # Two transactions: what is read is committed before the rest.
    "DELETE /orders/{}": {"orders:R", "order lines:W orders:W"},
}


@pytest.fixture(scope="module")
def server():
    try:
        find_server()
    except PartMissing as missing:
        pytest.skip(str(missing))
    settings = {
        "general-log": "1",
        "general-log-file": "general.log",
        "slow-query-log": "1",
        "slow-query-log-file": "slow.log",
        "long-query-time": "0",
        "log-output": "FILE",
        "innodb-flush-log-at-trx-commit": "0",
        "sync-binlog": "0",
    }
    with mariadb_server(settings) as url:
        yield urlsplit(url).port


_numbers = itertools.count(1)


@contextmanager
def shop(port, *, begins, comments):
    """`begins`: autocommit is on, and each transaction says BEGIN; else it is off. Connections stay open."""
    database = f"shop{next(_numbers)}"
    pool, free = [], threading.Semaphore(4)

    def connect(**more):
        return pymysql.connect(host="127.0.0.1", port=port, user="root", **more)

    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
        cursor.execute(f"USE {database}")
        for statement in filter(str.strip, SCHEMA.split(";\n")):
            cursor.execute(statement)
        cursor.execute("SELECT @@datadir")
        folder = Path(cursor.fetchone()[0])

    @contextmanager
    def transaction():
        told = f"/* route='{request.url_rule.rule}',method='{request.method}' */ " if comments else ""
        with free:
            connection = pool.pop() if pool else connect(database=database, autocommit=begins)
            with connection.cursor() as cursor:
                if begins:
                    connection.begin()

                def run(sql, *values):
                    cursor.execute(told + sql, values)
                    return cursor

                yield run
            connection.commit()
            pool.append(connection)

    app = Flask(__name__)

    @app.post("/orders")
    def place():
        with transaction() as run:
            run("SELECT `order` FROM customers WHERE id = %s LOCK IN SHARE MODE", 2)
            order = run("INSERT INTO orders (customer_id, note) VALUES (2, %s)", "a\n;'\\ -- \"").lastrowid
            run("INSERT INTO `order lines` VALUES (%s, 1)", order)
        return jsonify(id=order)

    @app.get("/orders/<int:order>")
    def show(order):
        with transaction() as run:
            found = run(
                "SELECT o.note\nFROM orders o\nJOIN `order lines` l ON l.order_id = o.id\nWHERE o.id = %s", order
            )
            return jsonify(found.fetchone())

    @app.delete("/orders/<int:order>")
    def delete(order):
        with transaction() as run:
            run("SELECT id FROM orders WHERE id = %s", order)
        with transaction() as run:
            run("DELETE FROM `order lines` WHERE order_id = %s", order)
            run("DELETE FROM orders WHERE id = %s", order)
        return jsonify({})

    try:
        with served(app) as url:
            yield url, f"mysql://root@127.0.0.1:{port}/{database}", folder
    finally:
        for connection in pool:
            connection.close()


def crowd(base_url):
    def shopping():
        with httpx.Client(base_url=base_url, timeout=60, trust_env=False) as client:
            for _ in range(3):
                order = client.post("/orders").raise_for_status().json()["id"]
                client.get(f"/orders/{order}").raise_for_status()
                client.delete(f"/orders/{order}").raise_for_status()

    threads = [threading.Thread(target=shopping) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)


SEED = {("write customers", "shape"): {"customers:W"}}


def told(document):
    return {
        (shape_of(name), one.evidence): {
            " ".join(f"{table}:{mode}" for table, mode in done) for done in one.transactions
        }
        for name, one in document.functionalities.items()
    }


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("log", ["general.log", "slow.log"])
def test_comments_in_a_log_of_mysql_name_the_endpoint(server, begins, log):
    with shop(server, begins=begins, comments=True) as (url, source, folder):
        crowd(url)
        document = gather(GatherSettings(source=source, logs=(folder / log,), statements=False))
    assert told(document) == {(name, "comment"): done for name, done in TRUTH.items()} | SEED
    assert document.gathering.not_understood == ()


@pytest.mark.parametrize("begins", [True, False])
def test_a_crowd_before_a_black_box_on_mysql_is_attributed_one_at_a_time(server, tmp_path, begins):
    with shop(server, begins=begins, comments=False) as (url, source, folder):
        options = ("--one-at-a-time", "--source", source)
        with recording(url, tmp_path / "run.jsonl", *options) as running:
            crowd(running.url)
        assert (running.seen["requests"], running.seen["refused"]) == (36, 0)
        assert all("marker" in line for line in running.lines()), running.said.read_text()
        for log in ("general.log", "slow.log"):
            document = gather(GatherSettings(source=source, logs=(folder / log,), requests=(running.out,)))
            assert told(document) == {(name, "replay"): done for name, done in TRUTH.items()} | SEED
        # Without a schema the log itself says whose SQL it is.
        document = gather(GatherSettings(logs=(folder / "general.log",), log_database=urlsplit(source).path[1:]))
        assert "order lines" in {
            table for one in document.functionalities.values() for access in one.transactions for table, _ in access
        }
