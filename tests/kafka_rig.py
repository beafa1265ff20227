"""Brokers for the tests: a real Apache Kafka and the wheel's broker, each started once, when first asked for."""

import os
import uuid
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from kafka import TopicPartition

from cdc.changelog.kafka.connection import delete_topics, open_consumer
from cdc.changelog.kafka.log import KafkaChangeLog
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import BrokerUnreachable
from cdc.events import Column, Relation, RowChange, Transaction
from sandbox.errors import PartMissing
from sandbox.kafka import kafka_libs, start_kafka
from sandbox.maven import java_binary
from sandbox.supervision import Stack
from sandbox.tansu import start_tansu

STREAM = "strangler_shop_forward"
ITEM = Relation(
    oid=7,
    schema="public",
    name="item",
    columns=(Column(name="id", type_oid=20, in_key=True), Column(name="descr", type_oid=25)),
)


BOTH = "STRANGLER_TEST_TANSU"


def kafka_is_there():
    """Whether the real broker can be started here."""
    try:
        java_binary()
        kafka_libs()
    except PartMissing:
        return False
    return True


@contextmanager
def a_broker(start):
    """A cluster in a stack of its own, or a skip that says why there is none."""
    with Stack() as stack:
        try:
            cluster = start(stack)
        except PartMissing as missing:
            pytest.skip(f"no broker: {missing.thing}: {missing.reason}")
        yield stack, cluster


@pytest.fixture(scope="session")
def real_kafka():
    """(bootstrap, stack, cluster) of one Apache Kafka broker."""
    with a_broker(start_kafka) as (stack, cluster):
        yield cluster.bootstrap, stack, cluster


@pytest.fixture(scope="session")
def wheel_broker():
    """The same of the broker that comes as a wheel: for machines without the real one, where it need not keep pace."""
    if kafka_is_there() and not os.environ.get(BOTH):
        pytest.skip(f"Apache Kafka runs here; {BOTH}=1 runs the broker of the wheel, too")
    with a_broker(start_tansu) as (stack, cluster):
        yield cluster.bootstrap, stack, cluster


@pytest.fixture(scope="session", params=["kafka", "tansu"])
def any_kafka(request):
    """Each of the two. Session scope: the brokers start once."""
    return request.getfixturevalue("real_kafka" if request.param == "kafka" else "wheel_broker")


def needs_exact_ends(any_kafka):
    """For tests in which another process than the appender looks for the end of a topic."""
    if any_kafka[2].version == "Tansu":
        pytest.skip("Tansu names the end of a topic short of its last batch (ListOffsets)")


def new_options(bootstrap, **options):
    """A prefix that nobody else has."""
    return KafkaOptions(bootstrap=bootstrap, prefix=f"t{os.getpid()}-{uuid.uuid4().hex[:8]}", **options)


@pytest.fixture
def kafka_logs():
    """Makes change logs; closes them and removes their topics afterwards."""
    made, prefixes = [], {}

    def make(options, **more):
        log = KafkaChangeLog(options, stream=STREAM, **more)
        made.append(log)
        prefixes[options.prefix] = options
        return log

    yield make
    for log in made:
        log.close()
    for options in prefixes.values():
        with suppress(BrokerUnreachable):  # A cluster of the test's own is gone by now.
            delete_topics(replace(options, timeout_s=2.0))


def row(*values, relation=ITEM, op="c", **more):
    return RowChange(relation=relation, op=op, new=values, **more)


def transaction(lsn, *changes, **more):
    return Transaction(xid=lsn, commit_lsn=lsn, end_lsn=lsn + 8, commit_time_us=lsn * 1000, changes=changes, **more)


def lsns(log, after=0):
    return [found.commit_lsn for found in log.read(after)]


def raw(options, topic, partition=0):
    """Every record of a partition, torn or not."""
    where = TopicPartition(topic, partition)
    consumer = open_consumer(options)
    consumer.assign([where])
    consumer.seek(where, consumer.beginning_offsets([where])[where])
    found, quiet = [], 0
    while quiet < 2:
        polled = consumer.poll(timeout_ms=300).get(where, [])
        found += polled
        quiet = 0 if polled else quiet + 1
    consumer.close()
    return found
