"""The stream worker over Kafka: rows arrive, an absent broker is waited for, and the ledger in the target decides."""

import json
import threading
import time

import pytest

from cdc.changelog.kafka.dlq import DlqExporter
from cdc.changelog.kafka.log import KafkaChangeLog
from cdc.changelog.kafka.options import KafkaOptions
from cdc.worker import StreamWorker
from tests.kafka_rig import any_kafka, new_options, raw, real_kafka, wheel_broker  # noqa: F401
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.integration

DDL = "CREATE TABLE t (id bigint PRIMARY KEY, a text)"


class Running:
    """A worker in a thread, over the given options."""

    def __init__(self, pair, options):
        self.stop = threading.Event()
        self.worker = StreamWorker(
            [pair.link],
            open_log=lambda link: KafkaChangeLog(options, stream=link.stream, keys=link.source_keys),
        )
        self.thread = threading.Thread(target=self.worker.run, args=(self.stop,))
        self.thread.start()

    def state(self):
        (view,) = self.worker.views().values()
        return view

    def end(self):
        self.stop.set()
        self.thread.join(60)


@pytest.fixture
def pair(new_database, tmp_path):
    made = StreamPair(new_database, tmp_path, "shop", identical(("t", "id a")), DDL, DDL, follows_copy=False)
    made.provision()
    yield made
    made.close()


def wait_for(holds, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.05)


def equal(pair):
    query = "SELECT id, a FROM t ORDER BY id"
    return lambda: pair.rows(query, "source") == pair.rows(query)


def test_rows_travel_over_kafka_and_a_new_worker_goes_on_where_the_target_is(any_kafka, pair):  # noqa: F811
    options = new_options(any_kafka[0])
    running = Running(pair, options)
    try:
        pair.source.execute("INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 500) g")
        pair.source.execute("UPDATE t SET id = id + 1000 WHERE id % 5 = 0")
        pair.source.execute("DELETE FROM t WHERE id % 7 = 0")
        wait_for(equal(pair))
    finally:
        running.end()
    pair.source.execute("UPDATE t SET a = a || '!'")
    running = Running(pair, options)
    try:
        pair.source.execute("INSERT INTO t VALUES (5000, NULL)")
        wait_for(equal(pair))
    finally:
        running.end()


def test_topics_that_were_lost_cost_nothing_that_the_source_still_has(any_kafka, pair):  # noqa: F811
    """The position is in the target, so an empty cluster is a log that begins where the target stands."""
    for options in (new_options(any_kafka[0]), new_options(any_kafka[0])):
        running = Running(pair, options)
        try:
            pair.source.execute("INSERT INTO t SELECT coalesce(max(id), 0) + 1, 'v' FROM t")
            wait_for(equal(pair))
        finally:
            running.end()


def test_a_broker_that_goes_and_comes_back_is_waited_for(real_kafka, pair):  # noqa: F811
    bootstrap, stack, cluster = real_kafka
    running = Running(pair, new_options(bootstrap, timeout_s=3))
    try:
        pair.source.execute("INSERT INTO t VALUES (1, 'before')")
        wait_for(equal(pair))
        stack.kill(cluster.programs[0])
        pair.source.execute("INSERT INTO t SELECT g, 'while away' FROM generate_series(2, 50) g")
        wait_for(lambda: running.state().state == "retrying")
        stack.start(cluster.programs[0], timeout_s=90)
        wait_for(equal(pair))
        wait_for(lambda: running.state().state == "streaming")
    finally:
        running.end()


def test_a_worker_that_starts_before_the_broker_waits(pair):
    options = KafkaOptions(bootstrap="127.0.0.1:9", prefix="none", timeout_s=2)
    running = Running(pair, options)
    try:
        wait_for(lambda: running.state().state == "retrying")
        assert running.thread.is_alive()
    finally:
        running.end()


def test_parked_rows_are_published_once_each(any_kafka, new_database, tmp_path):  # noqa: F811
    narrow = "CREATE TABLE t (id bigint PRIMARY KEY, a varchar(3))"
    pair = StreamPair(new_database, tmp_path, "shop", identical(("t", "id a")), DDL, narrow, follows_copy=False)
    pair.provision()
    options = new_options(any_kafka[0])
    running = Running(pair, options)
    try:
        pair.source.execute("INSERT INTO t VALUES (1, 'far too long'), (2, 'ok')")
        wait_for(lambda: pair.rows("SELECT id FROM t") == [(2,)])
        exporter = DlqExporter(options, target_dsn=pair.target_dsn, stream=pair.link.stream)
        assert (exporter.export(), exporter.export()) == (1, 0)
        pair.source.execute("UPDATE t SET a = 'still too long' WHERE id = 1")
        wait_for(lambda: pair.rows("SELECT count(*) FROM strangler.parked_row") == [(2,)])
        another = DlqExporter(options, target_dsn=pair.target_dsn, stream=pair.link.stream)
        assert another.export() == 1
    finally:
        running.end()
        pair.close()
    published = raw(options, f"{options.prefix}.dlq")
    assert [json.loads(each.key) for each in published] == [{"table": "t", "key": {"id": "1"}}] * 2
    assert [json.loads(each.value)["state"] for each in published] == ["refused", "waiting"]
    assert "too long" in json.loads(published[0].value)["reason"]
