"""Topics in Debezium's form as our own encoder writes them, consumed; and what is refused about topics."""

import contextlib
import json
import re
import time
import uuid

import httpx
import psycopg
import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from cdc.changelog.debezium_topics.consume import ends_now
from cdc.changelog.kafka.connection import delete_topics, ensure_topics
from cdc.debezium import DebeziumEncoder, DebeziumOptions, TableShape, TypeCatalog
from cdc.errors import LogNotFound, StreamAlert, StreamBusy
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, TableName, Transaction, Truncate
from cdc.metrics.topics import TopicsExporter
from cli import strangler
from sandbox.postgres import create_database, free_port
from strangler.clock import SystemClock
from tests.debezium.topics import NAME, STREAM, Topics, consume_all, consuming, parked, rows, spec, stops, topics_maker
from tests.kafka_rig import real_kafka  # noqa: F401

pytestmark = pytest.mark.integration

ITEM, NOTE = (
    Relation(
        oid=number,
        schema="public",
        name=name,
        columns=(
            Column(name="id", type_oid=20, in_key=True),
            Column(name="at", type_oid=1184),
            Column(name="body", type_oid=25),
        ),
    )
    for number, name in enumerate(("item", "note"), 1)
)
AT = "2024-02-29 12:34:56.789012+00"
CATALOG = TypeCatalog(
    tables={each.table: TableShape(primary_key=("id",), not_null=frozenset(["id"])) for each in (ITEM, NOTE)}
)
MANY = 6_000
"""More events than a unit keeps in memory."""


def insert(relation, number, body="x"):
    return RowChange(relation=relation, op="c", new=(str(number), AT, body))


def update(relation, number, body, old=None):
    before = None if old is None else (str(old), None, None)
    return RowChange(relation=relation, op="u", new=(str(number), AT, body), old=before, old_is_key=old is not None)


def delete(relation, number):
    return RowChange(relation=relation, op="d", new=None, old=(str(number), None, None), old_is_key=True)


def transactions(*groups, first=1000):
    return [
        Transaction(
            xid=first + number,
            commit_lsn=first + 100 * number,
            end_lsn=first + 100 * number + 50,
            commit_time_us=1_700_000_000_000_000 + first + number,
            changes=tuple(changes),
        )
        for number, changes in enumerate(groups)
    ]


STORY = transactions(
    [insert(ITEM, n, f"body {n}") for n in range(MANY)] + [insert(NOTE, 1)],
    [update(ITEM, 1, UNCHANGED), update(ITEM, 2, "other"), update(ITEM, 9_001, UNCHANGED, old=3)],
    [delete(ITEM, 4), insert(ITEM, 4, "again"), delete(ITEM, 5)],
    [Message(prefix="app", content=b"hello", transactional=True, lsn=1300), insert(NOTE, 2)],
    [Truncate(relations=(NOTE,)), insert(NOTE, 3), update(NOTE, 3, "__debezium_unavailable"), update(NOTE, 3, None)],
    [update(ITEM, n, f"new {n}") for n in range(10, 500)],
)


def written(prefix, chosen=STORY, **options):
    encoder = DebeziumEncoder(DebeziumOptions(topic_prefix=prefix, database="shop", **options), CATALOG)
    return [
        (record.topic, record.key_json, record.value_json, record.headers)
        for transaction in chosen
        for record in encoder.records(transaction)
    ]


@pytest.fixture
def target(postgres_url):
    dsn = create_database(postgres_url, f"tgt_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(dsn) as connection:
        for name in ("item", "note"):
            connection.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, at timestamptz, body text)")
    return dsn


@pytest.fixture
def new_topics(real_kafka):  # noqa: F811
    with topics_maker(real_kafka[0]) as make:
        yield make


def bodies(dsn, table):
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute(f"SELECT id, body FROM {table}").fetchall())


@pytest.mark.parametrize("schemas", [True, False])
@pytest.mark.parametrize("partitions", [1, 3])
def test_our_own_records_are_read_back(target, new_topics, partitions, schemas):
    topics = new_topics(["item", "note"], partitions)
    topics.send(written("own", schemas_enable=schemas, provide_transaction_metadata=True), "own")
    consume_all(spec(topics, target, None if schemas else target))
    items = bodies(target, "item")
    assert len(items) == MANY - 1
    assert [items[n] for n in (1, 2, 4, 9_001, 10, MANY - 1)] == [
        "body 1", "other", "again", "body 3", "new 10", f"body {MANY - 1}",
    ]  # fmt: skip
    assert {3, 5}.isdisjoint(items)
    assert bodies(target, "note") == {3: None}
    assert rows(target, "item", "at")[1] == [repr((AT,))] * (MANY - 1)


def test_without_a_transaction_topic_transactions_are_assumed_whole(target, new_topics):
    topics = new_topics(["item", "note"], transactions=False)
    topics.send(written("own", schemas_enable=True), "own")
    consume_all(spec(topics, target))
    assert len(bodies(target, "item")) == MANY - 1
    assert bodies(target, "note") == {3: None}


def test_a_value_like_the_placeholder_is_told_by_another_placeholder(target, new_topics):
    topics = new_topics(["note"])
    own = transactions([insert(NOTE, 1, "kept")], [update(NOTE, 1, UNCHANGED)], [insert(NOTE, 2, "__debezium_x")])
    topics.send(written("own", own, schemas_enable=True, unavailable_value_placeholder="~absent~"), "own")
    consume_all(spec(topics, target, modes={"unavailable_value_placeholder": "~absent~"}))
    assert bodies(target, "note") == {1: "kept", 2: "__debezium_x"}


def test_records_without_schema_need_the_sources_types(target, new_topics):
    topics = new_topics(["note"])
    topics.send(written("own", transactions([insert(NOTE, 1)])), "own")
    assert stops(spec(topics, target))["error"] == "DecodeError"


def test_a_second_consumer_is_refused(target, new_topics):
    topics = new_topics(["note"])
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    chosen = spec(topics, target)
    with consuming(chosen), pytest.raises(StreamBusy), consuming(chosen):
        pass


def test_topics_that_are_not_there_are_named(target, new_topics):
    topics = new_topics(["note"])
    chosen = spec(topics, target)
    delete_topics(topics.options)
    with pytest.raises(LogNotFound) as refused:
        ends_now(chosen.topics)
    assert f"{topics.prefix}.public.note" in refused.value.reason


def test_a_transaction_topic_of_several_partitions_has_no_order(target, new_topics):
    topics = new_topics(["note"], transactions=False)
    ensure_topics(topics.options, {f"{topics.prefix}.transaction": 2})
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    assert stops(spec(topics, target))["error"] == "LogUnfit"
    consume_all(spec(topics, target, transactions="ignore"))
    assert bodies(target, "note") == {1: "x"}


def cut(topics, offset):
    client = KafkaAdminClient(bootstrap_servers=topics.options.bootstrap)
    client.delete_records({TopicPartition(f"{topics.prefix}.public.note", 0): offset})
    client.close()


def test_records_that_expired_before_the_first_start_are_missed(target, new_topics):
    topics = new_topics(["note"])
    own = transactions([insert(NOTE, 1)], [insert(NOTE, 2)])
    topics.send(written("own", own, schemas_enable=True), "own")
    cut(topics, 1)
    error = stops(spec(topics, target))
    assert (error["error"], "--accept-incomplete" in error["mend"]) == ("PositionExpired", True)
    consume_all(spec(topics, target, accept_incomplete=True))
    assert bodies(target, "note") == {2: "x"}


def test_records_that_expired_before_they_were_applied_stop_the_stream(target, new_topics):
    topics = new_topics(["note"])
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    chosen = spec(topics, target)
    consume_all(chosen)
    more = transactions([insert(NOTE, 2)], [insert(NOTE, 3)], first=5000)
    topics.send(written("own", more, schemas_enable=True), "own")
    cut(topics, 2)
    assert stops(chosen)["error"] == "PositionExpired"
    assert bodies(target, "note") == {1: "x"}


def test_a_tombstone_without_its_delete_tells_what_compaction_removed(target, new_topics):
    """As compaction leaves it: the delete is gone, its tombstone is the newest record of the key."""
    topics = new_topics(["note"], transactions=False)
    before = written("own", transactions([insert(NOTE, 1)], [insert(NOTE, 2)]), schemas_enable=True)
    after = written("own", transactions([delete(NOTE, 1)], [insert(NOTE, 3)], first=9000), schemas_enable=True)
    topics.send(before, "own")
    chosen = spec(topics, target)
    consume_all(chosen)
    topics.send(after[:2], "own")
    consume_all(chosen)
    assert bodies(target, "note") == {2: "x"}
    gone = written("own", transactions([delete(NOTE, 2)], [insert(NOTE, 4)], first=90_000), schemas_enable=True)
    topics.send([after[2], *gone[1:]], "own")
    error = stops(chosen)
    assert (error["error"], "compaction" in error["reason"]) == ("PositionExpired", True)
    consume_all(spec(topics, target, accept_incomplete=True))
    assert bodies(target, "note") == {2: "x", 3: "x", 4: "x"}


def test_unchanged_values_of_a_compacted_topic_are_in_doubt(target, new_topics):
    topics = new_topics(["note"], transactions=False)
    client = KafkaAdminClient(bootstrap_servers=topics.options.bootstrap)
    resource = ConfigResource(ConfigResourceType.TOPIC, f"{topics.prefix}.public.note", {"cleanup.policy": "compact"})
    client.alter_configs([resource])
    client.close()
    topics.send(
        written("own", transactions([insert(NOTE, 1)], [update(NOTE, 1, UNCHANGED)]), schemas_enable=True), "own"
    )
    error = stops(spec(topics, target))
    assert (error["error"], "note.body (unchanged)" in error["reason"]) == ("UntrustedValues", True)
    assert "cleanup.policy=delete" in error["mend"]
    consume_all(spec(topics, target, accept=["note.body"]))
    assert bodies(target, "note") == {1: "x"}


def remove_topics(topics):
    """Until the broker does not know them any more."""
    delete_topics(topics.options)
    deadline = time.monotonic() + 60
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=topics.options.bootstrap)) as client:
        while any(str(name).startswith(f"{topics.prefix}.") for name in client.list_topics()):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("meanwhile", ["stopped", "running"])
def test_a_topic_that_was_made_anew_is_noticed_however_long_it_is(target, new_topics, meanwhile):
    topics = new_topics(["note"], transactions=False)
    name = f"{topics.prefix}.public.note"
    topics.send(written("own", transactions([insert(NOTE, 1)], [insert(NOTE, 2)]), schemas_enable=True), "own")
    chosen = spec(topics, target)
    consume_all(chosen)
    again = written("own", transactions(*([insert(NOTE, n)] for n in range(10, 20)), first=90_000), schemas_enable=True)
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(consuming(chosen)) if meanwhile == "running" else None
        remove_topics(topics)
        ensure_topics(topics.options, {name: 1})
        topics.send(again, "own")
        deadline = time.monotonic() + 60
        if worker is None:
            error = stops(chosen)
        else:
            while (error := worker.view().error) is None or error["error"] != "SlotMismatch":
                assert time.monotonic() < deadline, error
                assert error is None or error["error"] == "LogNotFound", error
                time.sleep(0.1)
    assert (error["error"], "made anew" in error["reason"]) == ("SlotMismatch", True)


def test_another_history_of_the_source_is_noticed(target, new_topics):
    """A server that was restored begins its log anew: older places, later times."""
    topics = new_topics(["note"])
    first = transactions([insert(NOTE, 1)], [insert(NOTE, 2)], first=9_000_000)
    topics.send(written("own", first, schemas_enable=True), "own")
    chosen = spec(topics, target)
    consume_all(chosen)
    restored = [
        Transaction(
            xid=50 + number,
            commit_lsn=5000 + number,
            end_lsn=5001 + number,
            commit_time_us=1_800_000_000_000_000 + number,
            changes=(insert(NOTE, 10 + number),),
        )
        for number in range(2)
    ]
    topics.send(written("own", restored, schemas_enable=True), "own")
    error = stops(chosen)
    assert error["error"] == "SlotMismatch"
    assert "restored" in error["reason"]


def test_a_new_partition_and_a_new_topic_are_found(target, new_topics, real_kafka):  # noqa: F811
    topics = new_topics(["note"])
    topics.tables.append(TableName(name="item"))
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    with consuming(spec(topics, target)):
        later = Topics(real_kafka[0], ["item"])
        later.prefix, later.made = topics.prefix, topics.made | {f"{topics.prefix}.public.item": 1}
        client = KafkaAdminClient(bootstrap_servers=real_kafka[0])
        client.create_topics({f"{topics.prefix}.public.item": {"num_partitions": 1, "replication_factor": 1}})
        client.close()
        later.send(written("own", transactions([insert(ITEM, 7)]), schemas_enable=True), "own")
        later.close()
        deadline = time.monotonic() + 30
        while bodies(target, "item") != {7: "x"}:
            assert time.monotonic() < deadline, parked(target)
            time.sleep(0.1)


def seen_lag(topics, target):
    """(exit code, what it printed as JSON, what it said)."""
    command = ["cdc", "lag", "--bootstrap", topics.options.bootstrap, "--topic-prefix", topics.prefix, "--name", NAME]
    done = CliRunner().invoke(strangler, [*command, "--target", target, "--json"])
    return done.exception, json.loads(done.stdout)[0]


def test_the_lag_is_what_lies_between_the_targets_offsets_and_the_ends(target, new_topics):
    topics = new_topics(["item", "note"], transactions=False)
    topics.send(written("own", transactions([insert(NOTE, 1)], [insert(ITEM, 1)]), schemas_enable=True), "own")
    consume_all(spec(topics, target))
    error, seen = seen_lag(topics, target)
    assert (error, seen["records_waiting"], seen["state"]) == (None, 0, "idle")
    assert {each["table"] for each in seen["tables"] if each["last_applied"]} == {"item", "note"}
    assert seen["newest_commit_applied"].startswith("2023-11-14")
    topics.send(
        written("own", transactions([insert(NOTE, 2), delete(NOTE, 1)], first=9000), schemas_enable=True), "own"
    )
    waiting = {each["topic"]: each["records_waiting"] for each in seen_lag(topics, target)[1]["topics"]}
    assert waiting == {f"{topics.prefix}.public.item": 0, f"{topics.prefix}.public.note": 3}


def test_the_lag_tells_of_topics_that_are_gone_or_lost_records(target, new_topics):
    topics = new_topics(["note"], transactions=False)
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    consume_all(spec(topics, target))
    more = transactions([insert(NOTE, 2)], [insert(NOTE, 3)], first=9000)
    topics.send(written("own", more, schemas_enable=True), "own")
    cut(topics, 2)
    error, seen = seen_lag(topics, target)
    assert (type(error), "lost 1 record" in str(error), seen["records_waiting"]) == (StreamAlert, True, 1)
    remove_topics(topics)
    error, seen = seen_lag(topics, target)
    assert (type(error), seen["topics"][0]["trouble"]) == (StreamAlert, "is not there any more")


def test_the_metrics_of_a_consumer(target, new_topics):
    topics = new_topics(["note"], transactions=False)
    topics.send(written("own", transactions([insert(NOTE, 1), insert(NOTE, 2)]), schemas_enable=True), "own")
    port, label = free_port(), f'stream="{STREAM}"'
    with consuming(spec(topics, target)) as worker:
        exporter = TopicsExporter(worker, address=f"127.0.0.1:{port}", clock=SystemClock(), sample_s=0.05)
        exporter.start()
        try:
            wanted = [
                f'strangler_events_applied_total{{operation="insert",{label},table="note"}} 2.0',
                f'strangler_topic_records_waiting{{{label},topic="{topics.prefix}.public.note"}} 0.0',
                f'strangler_topic_broken{{{label},topic="{topics.prefix}.public.note"}} 0.0',
                f'strangler_stream_state{{state="streaming",{label}}} 1.0',
            ]
            deadline = time.monotonic() + 60
            while not all(line in (text := scraped(port)) for line in wanted):
                assert time.monotonic() < deadline, text
                time.sleep(0.1)
        finally:
            exporter.close()


def scraped(port):
    """Lines with their labels in the order of the alphabet."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return re.sub(r"\{(.*)\}", lambda found: "{" + ",".join(sorted(found[1].split(","))) + "}", text).splitlines()
