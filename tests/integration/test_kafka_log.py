"""The change log over Kafka beyond the port's suite: what is in the topics, and what faults leave behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.net.inet import KafkaNetSocket

from cdc.changelog.kafka import connection, journal, partitions, producing, session, transaction_sender
from cdc.changelog.kafka.fetching import open_batch_consumer
from cdc.changelog.kafka.group import GroupReader
from cdc.changelog.kafka.names import Topics
from cdc.changelog.kafka.partitions import KafkaChanges, PartitionReader
from cdc.changelog.kafka.records import RowForm, decode_change
from cdc.errors import BrokerUnreachable, LogInUse, LogNotFound, PositionExpired, UntrustedValues, WrongCluster
from cdc.events import UNCHANGED, Column, Message, Relation, TableName, Truncate
from cdc.insert_run import HeldChanges, InsertRun, runs_of
from sandbox.kafka import start_kafka
from sandbox.ports import free_port
from tests.kafka_rig import (  # noqa: F401
    ITEM,
    STREAM,
    a_broker,
    any_kafka,
    kafka_logs,
    lsns,
    needs_exact_ends,
    new_options,
    raw,
    real_kafka,
    row,
    transaction,
    wheel_broker,
)

pytestmark = pytest.mark.integration

TABLE = TableName(name="item")
OTHER = replace(ITEM, oid=8, name="other")


def item_topic(options):
    return f"{options.prefix}.public.item"


def test_rows_carry_keys_and_identities_and_deletes_leave_tombstones(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    log.append(
        [
            transaction(10, row("1", "a"), row("2", "b")),
            transaction(20, row("3", "a", op="u", old=("1", None), old_is_key=True)),
            transaction(30, row_gone("2")),
        ]
    )
    records = raw(options, item_topic(options))
    assert [(each.key, each.value is None) for each in records] == [
        (b'{"id":"1"}', False),
        (b'{"id":"2"}', False),
        (b'{"id":"3"}', False),
        (b'{"id":"1"}', True),
        (b'{"id":"2"}', False),
        (b'{"id":"2"}', True),
    ]
    assert [each.headers[0][1].rsplit(b":", 1)[0] for each in records] == [
        b"10:0", b"10:1", b"20:0", b"20:0", b"30:0", b"30:0",
    ]  # fmt: skip
    status = [b'"BEGIN"' in each.value for each in raw(options, f"{options.prefix}.transaction")[1:]]
    assert status == [True] * 3 + [False] * 3
    assert lsns(log) == [10, 20, 30]


def row_gone(key):
    change = row(key, None, op="d")
    return type(change)(relation=change.relation, op="d", new=None, old=(key, None), old_is_key=True)


def test_partitions_keep_the_order_of_each_key_and_read_back_as_one(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0], partitions=4)
    log = kafka_logs(options, keys={TABLE: ("id",)})
    written = [
        transaction(lsn, *(row(str((lsn * 7 + number) % 23), f"{lsn}.{number}") for number in range(lsn % 9)))
        for lsn in range(1, 200)
    ]
    for start in range(0, len(written), 40):
        log.append(written[start : start + 40])
    assert list(log.read(0)) == written
    homes = {}
    for partition in range(4):
        before = {}
        for each in raw(options, item_topic(options), partition):
            lsn, index, _ = map(int, each.headers[0][1].split(b":"))
            assert homes.setdefault(each.key, partition) == partition
            assert before.get(each.key, (0, 0)) < (lsn, index)
            before[each.key] = (lsn, index)
    assert len(set(homes.values())) == 4


def test_barriers_and_truncates_stand_in_every_partition_and_are_read_once(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0], partitions=3)
    other = TableName(name="other")
    log = kafka_logs(options, keys={TABLE: ("id",), other: ("id",)})
    barrier = Message(prefix="strangler.barrier", content=b"{}", transactional=True, lsn=9)
    note = Message(prefix="app", content=b"x", transactional=True, lsn=9)
    written = [transaction(10, row("1", "a"), barrier, note), transaction(20, Truncate(relations=(ITEM,)))]
    log.append(written)
    assert list(log.read(0)) == written
    counts = {}
    for topic in (item_topic(options), f"{options.prefix}.public.other"):
        for partition in range(3):
            found = raw(options, topic, partition)
            counts[topic, partition] = len([each for each in found if each.headers[0][1].startswith(b"10:1:")])
    assert set(counts.values()) == {1}
    truncates = [
        [each for each in raw(options, item_topic(options), partition) if each.headers[0][1].startswith(b"20:0:")]
        for partition in range(3)
    ]
    assert [len(each) for each in truncates] == [1, 1, 1]


def test_a_value_larger_than_a_message_is_split_and_whole_again(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    written = [transaction(10, row("1", "é" * 2_500_000), row("2", "small")), transaction(20, row("1", "x"))]
    log.append(written)
    found = list(log.read(0))
    assert [list(each.changes) for each in found] == [list(each.changes) for each in written]
    assert len(raw(options, item_topic(options))) > 6


def test_a_huge_transaction_is_read_while_it_is_iterated(any_kafka, kafka_logs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(session, "_IN_MEMORY_EVENTS", 500)
    options = new_options(any_kafka[0], partitions=2)
    log = kafka_logs(options, keys={TABLE: ("id",)})
    rows = [row(str(number), f"v{number}") for number in range(3000)]
    log.append([transaction(10, row("a", "b")), transaction(20, *rows), transaction(30, row("c", "d"))])
    first, huge, last = log.read(0)
    assert isinstance(huge.changes, KafkaChanges)
    assert len(huge.changes) == 3000
    assert list(huge.changes) == rows
    partly = iter(huge.changes)
    assert next(partly) == rows[0]
    assert list(huge.changes) == rows
    assert (list(first.changes), list(last.changes)) == ([row("a", "b")], [row("c", "d")])
    assert [list(each.changes)[:1] for each in log.read(10)] == [[rows[0]], [row("c", "d")]]


def inserts(first, count, relation=ITEM, note="é{}\t"):
    """Rows as the source sends them: a run, as capture keeps them."""
    rows = [(str(number), note.format(number)) for number in range(first, first + count)]
    cells = [b"".join(b"t" + len(v.encode()).to_bytes(4) + v.encode() for v in values) for values in rows]
    head = b"I" + relation.oid.to_bytes(4) + b"N" + (2).to_bytes(2)
    return InsertRun.of(relation, [head + cell for cell in cells])


def parts(changes):
    """Runs and single changes, a run by its length."""
    return [len(part) if isinstance(part, InsertRun) else part for part in runs_of(changes)]


@pytest.mark.parametrize("count", [1, 3])
def test_runs_stay_runs_and_keep_their_place_among_other_changes(any_kafka, kafka_logs, monkeypatch, count):  # noqa: F811
    """Small batches, so that runs are cut; a row that follows a run may be one of its rows again."""
    needs_exact_ends(any_kafka)
    monkeypatch.setattr(producing, "_BATCH_BYTES", 4096)
    options = new_options(any_kafka[0], partitions=count)
    log = kafka_logs(options, keys={TABLE: ("id",), OTHER.table: ("id",)})
    again, barrier = row("150", "again", op="u"), Message(prefix="app", content=b"x", transactional=True, lsn=9)
    mixed = (
        inserts(0, 200),
        again,
        inserts(200, 70),
        inserts(0, 80, OTHER),
        barrier,
        inserts(300, 65),
        row_gone("301"),
    )
    written = [
        transaction(10, row("x", "y")),
        replace(transaction(20), changes=HeldChanges(mixed)),
        *[replace(transaction(lsn), changes=HeldChanges((inserts(lsn, 64),))) for lsn in range(1000, 9000, 100)],
        transaction(9000, row("1", "late", op="u")),
    ]
    log.append(written)
    for reader in (log, kafka_logs(options, read_only=True)):
        found = list(reader.read(0))
        assert [list(each.changes) for each in found] == [list(each.changes) for each in written]
        assert parts(found[1].changes) == [200, again, 70, 80, barrier, 65, row_gone("301")]
        assert [parts(each.changes) for each in found[2:-1]] == [[64]] * 80
        assert [len(each.changes) for each in found] == [len(each.changes) for each in written]
    assert [list(each.changes) for each in log.read(5000)] == [
        list(each.changes) for each in written if each.xid > 5000
    ]
    records = [each for partition in range(count) for each in raw(options, item_topic(options), partition)]
    last = [each for each in records if each.headers[0][1].startswith(b"20:")]
    assert sorted(int(each.headers[0][1].split(b":")[1]) for each in last if each.value is not None) == [
        *range(271), *range(352, 418)
    ]  # fmt: skip
    assert {each.key for each in last[:3]} <= {b'{"id":"%d"}' % number for number in range(420)}
    with GroupReader(options, group=f"{options.prefix}-g", tables=[TABLE]) as group:
        events = []
        while len(events) < len(records) - 1:
            events += poll_until(group, 1)
    rows = {each.identity: each.change for each in events}
    assert rows[20, 0] == next(iter(inserts(0, 1)))


def test_a_huge_transaction_of_runs_is_read_in_runs(any_kafka, kafka_logs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(session, "_IN_MEMORY_EVENTS", 500)
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    changes = HeldChanges((inserts(0, 3000), row("5", "x", op="u"), inserts(5000, 100)))
    log.append([replace(transaction(10), changes=changes), transaction(20, row("1", "2"))])
    huge, last = log.read(0)
    assert isinstance(huge.changes, KafkaChanges)
    assert parts(huge.changes) == [3000, row("5", "x", op="u"), 100]
    assert list(huge.changes) == list(changes)
    assert len(huge.changes) == 3101
    assert list(last.changes) == [row("1", "2")]


def test_rows_of_a_run_that_no_record_takes_are_split(any_kafka, kafka_logs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(transaction_sender, "DEFAULT_MESSAGE_BYTES", 1024)
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    written = replace(transaction(10), changes=HeldChanges((inserts(0, 70, note="n" * 3000 + "{}"),)))
    log.append([written])
    assert [list(each.changes) for each in log.read(0)] == [list(written.changes)]
    assert len(raw(options, item_topic(options))) == 70 * 3


@pytest.mark.parametrize("way", ["confluent", "record by record", "gzip"])
def test_other_producers_write_the_same_records(real_kafka, kafka_logs, monkeypatch, way):  # noqa: F811
    """The optional client; kafka-python where its queue is not the one that we know; batches that are compressed."""
    if way == "confluent":
        pytest.importorskip("confluent_kafka")
    topics = []
    chosen = {"confluent": {"client": "confluent"}, "gzip": {"compression": "gzip"}}
    for each_way in ("batches", way):
        if each_way == "record by record":
            monkeypatch.setattr(producing, "_queue_is_known", lambda producer: False)
        options = new_options(real_kafka[0], partitions=2, **chosen.get(each_way, {}))
        log = kafka_logs(options, keys={TABLE: ("id",)})
        changes = HeldChanges((inserts(0, 100), row("7", "z", op="u"), row_gone("8")))
        written = [replace(transaction(10), changes=changes), transaction(20, row("1", "a"))]
        log.append(written)
        assert [list(each.changes) for each in log.read(0)] == [list(each.changes) for each in written]
        topics.append(
            [
                [
                    (each.offset, each.key, each.value, each.headers)
                    for each in raw(options, item_topic(options), partition)
                ]
                for partition in range(2)
            ]
        )
    assert topics[0] == topics[1]


def test_a_consumer_whose_inside_is_not_known_reads_record_by_record(any_kafka, kafka_logs, monkeypatch):  # noqa: F811
    needs_exact_ends(any_kafka)
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    written = [replace(transaction(10), changes=HeldChanges((inserts(0, 100),))), transaction(20, row("1", "a"))]
    log.append(written)
    for module in (partitions, journal):
        monkeypatch.setattr(module, "open_batch_consumer", connection.open_consumer)
    found = list(kafka_logs(options, read_only=True).read(0))
    assert [list(each.changes) for each in found] == [list(each.changes) for each in written]
    assert parts(found[0].changes) == [100]


def test_a_batch_that_a_topic_does_not_take_is_split_by_the_library_and_read_once(real_kafka, kafka_logs):  # noqa: F811
    """One table's topic was given a smaller limit than the others: every offset that an END names is still right."""
    options = new_options(real_kafka[0])
    log = kafka_logs(options, keys={TABLE: ("id",)})
    log.start(1)
    resource = ConfigResource(ConfigResourceType.TOPIC, item_topic(options), configs={"max.message.bytes": "20000"})
    with contextlib.closing(connection.admin(options)) as client:
        client.alter_configs([resource])
    written = [replace(transaction(lsn), changes=HeldChanges((inserts(lsn, 600),))) for lsn in (1000, 2000, 3000)]
    log.append(written)
    log.append([transaction(4000, row("1", "a"))])
    found = list(kafka_logs(options, read_only=True).read(1))
    assert [list(each.changes) for each in found[:3]] == [list(each.changes) for each in written]
    assert len(raw(options, item_topic(options))) == 1801


def test_a_reader_that_holds_back_a_busy_table_comes_back_to_it(any_kafka, kafka_logs, monkeypatch):  # noqa: F811
    """One table's rows lie far ahead of the other's: they wait in memory up to the limit, and nothing gets stuck."""
    share, most = 16 << 10, 100_000
    monkeypatch.setattr(producing, "_BATCH_BYTES", share)
    monkeypatch.setattr(
        partitions, "open_batch_consumer", partial(open_batch_consumer, max_partition_fetch_bytes=share)
    )
    monkeypatch.setattr(partitions, "_QUEUED_BYTES", most)
    queued, held = [], []
    fill = PartitionReader._fill

    def watched(reader, *where):
        fill(reader, *where)
        queued.append(sum(waiting.bytes for waiting in reader._waiting.values()))
        held.append(len(reader._held))

    monkeypatch.setattr(PartitionReader, "_fill", watched)
    options = new_options(any_kafka[0], timeout_s=5.0, partitions=2)
    log = kafka_logs(options, keys={TABLE: ("id",), TableName(name="other"): ("id",)})
    written = [transaction(1, row("0", "first"), row("0", "first", relation=OTHER))]
    for block in range(2):
        for relation, count in ((OTHER, 40), (ITEM, 6), (OTHER, 2), (ITEM, 3)):
            for _ in range(count):
                lsn = written[-1].commit_lsn + 1
                many = 1000 if relation is ITEM else 20
                rows = [row(str(number), f"{block}.{lsn}", relation=relation) for number in range(many)]
                written.append(transaction(lsn, *rows))
    log.append(written)
    assert list(log.read(0)) == written
    # Tansu gives what there is, however little was asked for.
    assert most < max(queued)
    assert max(queued) <= most + 2 * 4 * share or any_kafka[2].version == "Tansu"
    assert max(held) > 0
    given_up = log.read(0)
    assert [next(given_up) for _ in range(60)] == written[:60]
    given_up.close()
    assert list(log.read(0)) == written
    assert list(log.read(written[70].commit_lsn)) == written[71:]


def test_a_reader_finds_its_place_in_a_long_log(any_kafka, kafka_logs):  # noqa: F811
    needs_exact_ends(any_kafka)
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    for start in range(0, 6000, 1000):
        log.append([transaction(lsn * 10) for lsn in range(start + 1, start + 1001)])
    reader = kafka_logs(options, read_only=True)
    assert reader.last_lsn() == 60_000
    assert lsns(reader, 54_321) == list(range(54_330, 60_001, 10))
    assert lsns(kafka_logs(options, read_only=True), 5) == list(range(10, 60_001, 10))


def test_the_newer_appender_has_the_log_and_the_older_one_is_told(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0])
    old, new = kafka_logs(options), kafka_logs(options)
    old.start(1)
    old.append([transaction(10, row("1", "a"))])
    new.start(5)
    assert new.last_lsn() == 10
    new.append([transaction(10, row("1", "a")), transaction(20, row("2", "b"))])
    with pytest.raises(LogInUse):
        old.append([transaction(20, row("2", "b")), transaction(30, row("3", "c"))])
    new.append([transaction(30, row("3", "c"))])
    found = list(kafka_logs(options, read_only=True).read(1))
    assert [(each.commit_lsn, [change.new[0] for change in each.changes]) for each in found] == [
        (10, ["1"]),
        (20, ["2"]),
        (30, ["3"]),
    ]


def test_a_producer_killed_in_mid_transaction_leaves_nothing_that_counts(any_kafka, kafka_logs):  # noqa: F811
    """Rows of a transaction without END are never read; the next appender sends them again, and they are read once."""
    needs_exact_ends(any_kafka)
    options = new_options(any_kafka[0])
    log = kafka_logs(options)
    log.append([transaction(10, row("1", "before"))])
    script = (
        "from tests.kafka_rig import *\n"
        f"options = KafkaOptions(bootstrap={options.bootstrap!r}, prefix={options.prefix!r})\n"
        "log = KafkaChangeLog(options, stream=STREAM)\n"
        "log.start(1)\nlog.append([transaction(20, *(row(str(n), 'v') for n in range(50)))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "STRANGLER_FAILPOINT": "cdc.kafka.before_end", "PYTHONPATH": "."},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(raw(options, item_topic(options))) == 51
    assert lsns(kafka_logs(options, read_only=True)) == [10]
    again = kafka_logs(options)
    again.start(1)
    assert again.last_lsn() == 10
    again.append([transaction(20, *(row(str(n), "v") for n in range(50))), transaction(30, row("x", "y"))])
    assert len(raw(options, item_topic(options))) == 102
    found = list(kafka_logs(options, read_only=True).read(0))
    assert [(each.commit_lsn, len(each.changes)) for each in found] == [(10, 1), (20, 50), (30, 1)]
    assert [change.new[0] for change in found[1].changes] == [str(number) for number in range(50)]


def append_stubbornly(log, transactions, stop, failures):
    """As the capture loop does: after an error begin anew and send again what is not in the log."""
    done = 0
    while done < len(transactions) and not stop.is_set():
        try:
            log.start(1)
            pending = [each for each in transactions if each.commit_lsn > log.last_lsn()]
            done = len(transactions) - len(pending)
            for start in range(0, len(pending), 5):
                log.append(pending[start : start + 5])
                done += len(pending[start : start + 5])
        except BrokerUnreachable as error:
            failures.append(error)
            stop.wait(0.5)


@contextlib.contextmanager
def appending(log, transactions):
    stop, failures = threading.Event(), []
    writer = threading.Thread(target=append_stubbornly, args=(log, transactions, stop, failures))
    writer.start()
    try:
        yield writer, failures
    finally:
        stop.set()
        writer.join(60)


def wait_for(holds, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.1)


def test_a_broker_killed_and_restarted_in_mid_append_loses_and_doubles_nothing(real_kafka, kafka_logs):  # noqa: F811
    bootstrap, stack, cluster = real_kafka
    options = new_options(bootstrap, timeout_s=6)
    log, reader = kafka_logs(options), kafka_logs(options, read_only=True)
    written = [transaction(lsn, row(str(lsn), "v"), row(f"x{lsn}", "w")) for lsn in range(1 + 1, 1500)]
    with appending(log, written) as (writer, _):
        wait_for(lambda: log.last_lsn() > 100)
        stack.kill(cluster.programs[0])
        stack.start(cluster.programs[0], timeout_s=90)
        writer.join(90)
        assert not writer.is_alive()
    assert list(reader.read(1)) == written


def test_a_change_of_leader_with_three_brokers_loses_and_doubles_nothing(kafka_logs):  # noqa: F811
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 3 << 30:
        pytest.skip("three brokers need 3 GB of free memory")
    with a_broker(lambda stack: start_kafka(stack, brokers=3)) as (stack, cluster):
        options = new_options(cluster.bootstrap, replication_factor=3, timeout_s=8)
        log = kafka_logs(options, keys={TABLE: ("id",)})
        log.start(1)
        written = [transaction(lsn, row(str(lsn), "v")) for lsn in range(2, 1500)]
        with appending(log, written) as (writer, _):
            wait_for(lambda: log.last_lsn() > 50)
            stack.kill(cluster.programs[leader_of(options) - 1])
            writer.join(120)
            assert not writer.is_alive()
        reader = kafka_logs(options, read_only=True)
        assert [each.commit_lsn for each in reader.read(1)] == [each.commit_lsn for each in written]
        assert list(reader.read(1)) == written
        log.close()
        reader.close()
        connection.delete_topics(options)


def leader_of(options):
    with contextlib.closing(connection.admin(options)) as client:
        (topic,) = client.describe_topics([f"{options.prefix}.transaction"])
    return topic["partitions"][0]["leader_id"]


def test_a_rebalance_in_mid_batch_repeats_with_the_same_identity(real_kafka, kafka_logs):  # noqa: F811
    options = new_options(real_kafka[0], partitions=2)
    log = kafka_logs(options, keys={TABLE: ("id",)})
    log.append([transaction(lsn, row(str(lsn % 40), f"v{lsn}")) for lsn in range(1, 201)])
    done, group = [], f"{options.prefix}-readers"
    member = {"group": group, "tables": [TABLE], "session_timeout_s": 6.0}
    with (
        GroupReader(options, **member) as first,
        GroupReader(options, **member) as second,
        ThreadPoolExecutor(2) as threads,
    ):

        def poll_both():
            """At once, as two processes do: kafka-python gives a join up when the poll that it began in ends, and
            members that poll in turns may then keep each other from joining."""
            polled = [threads.submit(reader.poll, 2.0) for reader in (second, first)]
            return [event for each in polled for event in each.result()]

        batch = poll_until(first, 1, most=60)
        done += batch
        assert first.commit()
        in_hand = poll_until(first, 1, most=60)
        deadline = time.monotonic() + 120
        again = []
        while not (first.partitions and second.partitions and not first.partitions & second.partitions):
            assert time.monotonic() < deadline, (first.partitions, second.partitions)
            again += poll_both()
        kept = [each for each in in_hand if (each.topic, each.partition) in first.partitions]
        lost = {each.identity for each in in_hand if each not in kept}
        done += kept
        while len({each.identity for each in done + again}) < 200:
            assert time.monotonic() < deadline, (len(done), len(again))
            again += poll_both()
        # What the first one had in hand of the partition that it lost came again, with the same identities.
        assert lost <= {each.identity for each in again}
        done += again
        assert first.commit()
        assert second.commit()
        log.append([transaction(201, row("1", "later")), transaction(202, row("2", "later"))])
        while len({each.identity for each in done}) < 202:
            assert time.monotonic() < deadline + 30
            done += poll_both()
    newest = {}
    for each in sorted(done, key=lambda each: each.identity):
        newest[each.key] = each.change.new[1]
    assert len(newest) == 40
    assert newest[b'{"id":"1"}'] == "later"


def poll_until(reader, least, **options):
    found, deadline = [], time.monotonic() + 60
    while len(found) < least:
        assert time.monotonic() < deadline
        found += reader.poll(0.3, **options)
    return found


def test_rows_that_were_removed_from_their_topic_are_a_gap_and_not_passed_over(real_kafka, kafka_logs):  # noqa: F811
    options = new_options(real_kafka[0])
    log = kafka_logs(options)
    log.append([transaction(lsn, row(str(lsn), "v")) for lsn in range(10, 100, 10)])
    assert connection.delete_before(options, {(item_topic(options), 0): 4})
    reader = kafka_logs(options, read_only=True)
    with pytest.raises(PositionExpired):
        list(reader.read(0))
    assert lsns(reader, 40) == [50, 60, 70, 80, 90]


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"cluster_id": "another"}, WrongCluster, "not another"),
        ({"prefix": "absent"}, LogNotFound, "absent.transaction"),
    ],
)
def test_a_log_that_is_not_the_one_that_was_meant_is_named(any_kafka, kafka_logs, options, error, reason):  # noqa: F811
    chosen = type(new_options(""))(bootstrap=any_kafka[0], **{"prefix": new_options("").prefix, **options})
    log = kafka_logs(chosen, read_only=error is LogNotFound)
    with pytest.raises(error, match=reason):
        list(log.read(0)) if error is LogNotFound else log.start(1)


def test_topics_of_another_stream_are_refused(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0])
    kafka_logs(options).start(1)
    other = type(kafka_logs(options))(options, stream="strangler_other_forward")
    with pytest.raises(WrongCluster, match=STREAM):
        other.start(1)


def test_no_broker_is_a_reason_to_try_again(monkeypatch):
    from cdc.changelog.kafka.log import KafkaChangeLog

    made, plain = [], KafkaNetSocket.socket

    def noted(factory, *how):
        made.append(plain(factory, *how))
        return made[-1]

    monkeypatch.setattr(KafkaNetSocket, "socket", noted)
    options = new_options(f"127.0.0.1:{free_port()}", timeout_s=2, password="hunter2")
    for use in (lambda log: log.start(1), lambda log: list(log.read(0))):
        with pytest.raises(BrokerUnreachable) as raised:
            use(KafkaChangeLog(options, stream=STREAM))
        assert "hunter2" not in str(raised.value)
    assert made
    assert [each for each in made if each.fileno() != -1] == []


def test_a_topic_in_debezium_form_is_read_by_its_consumers_and_by_us(any_kafka, kafka_logs):  # noqa: F811
    """Chosen per table; rows come back as they were, in one order with the lossless ones."""
    options = new_options(any_kafka[0], forms={"public.item": "debezium"})
    log = kafka_logs(options, keys={TABLE: ("id",)})
    other = Relation(oid=8, schema="public", name="other", columns=ITEM.columns)
    barrier = Message(prefix="strangler.barrier", content=b"{}", transactional=True, lsn=9)
    written = [
        transaction(10, row("1", "a"), row("x", "y", relation=other), row("2", "é"), barrier),
        transaction(20, row("1", UNCHANGED, op="u"), row_gone("2")),
        transaction(30, row("3", "moved", op="u", old=("1", None), old_is_key=True)),
    ]
    log.append(written)
    first, second, third = log.read(0)
    assert [change.new for change in list(first.changes)[:3]] == [("1", "a"), ("x", "y"), ("2", "é")]
    assert first.changes[3] == barrier
    assert second.changes[0].new == ("1", UNCHANGED)
    assert (second.changes[1].op, second.changes[1].old[0]) == ("d", "2")
    assert [(each.op, (each.new or each.old)[0]) for each in third.changes] == [("d", "1"), ("c", "3")]
    found = raw(options, item_topic(options))
    assert [None if each.value is None else json.loads(each.value)["payload"]["op"] for each in found] == [
        *("c", "c", "u", "d", None, "d", None, "c"),
    ]
    assert json.loads(found[0].key)["payload"] == {"id": 1}
    assert json.loads(found[0].value)["payload"]["source"]["table"] == "item"


def test_what_debezium_form_cannot_hold_is_named_and_never_applied(any_kafka, kafka_logs):  # noqa: F811
    options = new_options(any_kafka[0], form="debezium")
    log = kafka_logs(options)
    dated = Relation(
        oid=9,
        schema="public",
        name="dated",
        columns=(Column(name="id", type_oid=20, in_key=True), Column(name="due", type_oid=1082)),
    )
    log.append(
        [transaction(10, row("1", "2026-01-31", relation=dated)), transaction(20, row("2", "infinity", relation=dated))]
    )
    transactions = log.read(0)
    assert next(transactions).changes[0].new == ("1", "2026-01-31")
    with pytest.raises(UntrustedValues, match="due"):
        next(transactions)


VALUES = st.one_of(st.none(), st.just(UNCHANGED), st.text(st.characters(exclude_categories=["Cs"])))


@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_row_survives_its_record(rows):
    form = RowForm(ITEM, ("id",), "topic")
    for values in rows:
        change = row(*values, op="u", old=values[::-1])
        assert decode_change(form.value(change), lambda _: ITEM) == change


def test_table_topics_have_debezium_names():
    odd = Relation(oid=1, schema="a b", name="é", columns=(Column(name="x", type_oid=25),))
    assert Topics(prefix="p").tables([TABLE, odd.table]) == ("p.a_b._", "p.public.item")
