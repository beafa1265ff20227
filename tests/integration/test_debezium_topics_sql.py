"""A connector's topics, consumed into MariaDB and SQLite: the promises of the PostgreSQL target, on the same port."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from decimal import Decimal

import psycopg
import pytest
from click.testing import CliRunner

from cdc.changelog.debezium_topics.lag import read_topics_lag
from cdc.changelog.debezium_topics.positions import PositionStore
from cdc.errors import MappingInvalid, NotProvisioned, StreamBusy
from cdc.events import UNCHANGED, Column, Relation, RowChange, Truncate
from cdc.parking.requests import parked_rows
from cli import strangler
from sandbox.postgres import create_database
from strangler.errors import BadInput
from strangler.failpoints import VARIABLE
from tests.contract.apply_targets import make_target
from tests.debezium.topics import NAME, STREAM, consume_all, consuming, spec, topics_maker
from tests.integration.test_debezium_topics import ITEM, NOTE, delete, insert, transactions, update, written
from tests.kafka_rig import real_kafka  # noqa: F401

pytestmark = pytest.mark.integration

ODD = Relation(
    oid=9,
    schema="public",
    name="Odd table",
    columns=(
        Column(name="key part", type_oid=1043, type_modifier=104, in_key=True),
        Column(name='q"uote', type_oid=23, in_key=True),
        Column(name="tags", type_oid=1009),
        Column(name="doc", type_oid=3802),
        Column(name="raw", type_oid=17),
        Column(name="ok", type_oid=16),
        Column(name="amount", type_oid=1700, type_modifier=(10 << 16 | 2) + 4),
    ),
)
ODD_ROW = ("naïve key", "7", '{a,NULL,"b,c"}', '{"n": 12345678901234567890.10}', "\\x00ff", "t", "-1.50")
SOURCE_DDL = """
    CREATE TABLE item (id bigint PRIMARY KEY, at timestamptz, body text);
    CREATE TABLE note (id bigint PRIMARY KEY, at timestamptz, body text);
    CREATE TABLE "Odd table" ("key part" varchar(100), "q""uote" int, tags text[], doc jsonb, raw bytea, ok boolean,
                              amount numeric(10, 2), PRIMARY KEY ("key part", "q""uote"))
"""
TARGET_DDL = {
    "sqlite": [
        "CREATE TABLE item (id INTEGER PRIMARY KEY, at DATETIME, body TEXT)",
        "CREATE TABLE note (id INTEGER PRIMARY KEY, at DATETIME, body TEXT CHECK (body <> 'bad'))",
        'CREATE TABLE "Odd table" ("key part" TEXT NOT NULL, "q""uote" INTEGER NOT NULL, tags JSON, doc JSON, '
        'raw BLOB, ok BOOLEAN, amount NUMERIC(10, 2), PRIMARY KEY ("key part", "q""uote"))',
    ],
    "mysql": [
        "CREATE TABLE item (id bigint PRIMARY KEY, at datetime(6), body longtext)",
        "CREATE TABLE note (id bigint PRIMARY KEY, at datetime(6), body longtext CHECK (body <> 'bad'))",
        'CREATE TABLE `Odd table` (`key part` varchar(100) COLLATE utf8mb4_nopad_bin, `q"uote` int, tags json, '
        'doc json, raw longblob, ok tinyint(1), amount decimal(10, 2), PRIMARY KEY (`key part`, `q"uote`))',
    ],
}
MANY = 300
STORY = transactions(
    [insert(ITEM, n, f"body {n}") for n in range(MANY)] + [insert(NOTE, 1)],
    [update(ITEM, 1, UNCHANGED), update(ITEM, 2, "other"), update(ITEM, 9_001, UNCHANGED, old=3)],
    [delete(ITEM, 4), insert(ITEM, 4, "again"), delete(ITEM, 5)],
    [insert(NOTE, 2), Truncate(relations=(NOTE,)), insert(NOTE, 3), update(NOTE, 3, None)],
    [RowChange(relation=ODD, op="c", new=ODD_ROW)],
)


@pytest.fixture(params=["sqlite", "mysql"])
def target(request, tmp_path):
    made = make_target(request.param, request, tmp_path)
    made.execute(*TARGET_DDL[made.dialect])
    yield made
    made.close()


@pytest.fixture(scope="module")
def source(postgres_url):
    dsn = create_database(postgres_url, f"types_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(dsn) as connection:
        connection.execute(SOURCE_DDL)
    return dsn


@pytest.fixture
def new_topics(real_kafka):  # noqa: F811
    with topics_maker(real_kafka[0]) as make:
        yield make


def bodies(target, table):
    return dict(target.rows(f"SELECT id, body FROM {table}"))


@pytest.mark.parametrize("schemas", [True, False], ids=["schema", "no schema"])
def test_rows_keys_unchanged_values_deletes_and_truncates(target, source, new_topics, schemas):
    topics = new_topics(["item", "note", "Odd table"], 2)
    topics.send(written("own", STORY, schemas_enable=schemas, provide_transaction_metadata=True), "own")
    consume_all(spec(topics, target.dsn, source))
    items = bodies(target, "item")
    assert len(items) == MANY - 1
    assert [items[n] for n in (1, 2, 4, 9_001)] == ["body 1", "other", "again", "body 3"]
    assert {3, 5}.isdisjoint(items)
    assert bodies(target, "note") == {3: None}
    assert parked_rows(target.dsn, STREAM) == []


def test_odd_names_and_types_arrive_exactly(target, source, new_topics):
    topics = new_topics(["Odd table"])
    topics.send(written("own", STORY, schemas_enable=True, provide_transaction_metadata=True), "own")
    consume_all(spec(topics, target.dsn, source))
    (row,) = target.rows("SELECT * FROM " + ("`Odd table`" if target.dialect == "mysql" else '"Odd table"'))
    key, number, tags, doc, raw, ok, amount = row
    assert (key, number, bytes(raw), ok, amount) == (ODD_ROW[0], 7, b"\x00\xff", 1, Decimal("-1.5"))
    assert (json.loads(tags), doc) == (["a", None, "b,c"], ODD_ROW[3])


def test_a_refused_row_parks_and_the_rest_goes_on(target, source, new_topics):
    topics = new_topics(["note"])
    story = transactions(
        [insert(NOTE, 1, "good"), insert(NOTE, 2, "bad")], [update(NOTE, 2, "bad"), insert(NOTE, 3, "good")]
    )
    topics.send(written("own", story, schemas_enable=True, provide_transaction_metadata=True), "own")
    chosen = spec(topics, target.dsn, source)
    consume_all(chosen)
    assert bodies(target, "note") == {1: "good", 3: "good"}
    waiting = parked_rows(target.dsn, STREAM)
    assert {str(each.row.parked.table) for each in waiting} == {"note"}
    assert len({json.dumps(dict(each.row.parked.key)) for each in waiting}) == 1
    seen = read_topics_lag(topics.options, target.dsn, STREAM)
    assert (seen.waiting, seen.parked, set(seen.last_applied)) == (0, {"note": 1}, {"note"})


def test_an_update_of_a_row_that_is_not_there_parks(target, source, new_topics):
    topics = new_topics(["note"])
    topics.send(written("own", transactions([update(NOTE, 7, "x")]), schemas_enable=True), "own")
    consume_all(spec(topics, target.dsn, source))
    assert len(parked_rows(target.dsn, STREAM)) == 1


def test_what_the_target_cannot_hold_is_named_before_the_first_row(target, source, new_topics):
    topics = new_topics(["item"])
    target.execute("DROP TABLE item", "CREATE TABLE item (id bigint PRIMARY KEY, at date, body varchar(100))")
    topics.send(written("own", STORY, schemas_enable=True), "own")
    with pytest.raises(MappingInvalid) as refused:
        consume_all(spec(topics, target.dsn, source))
    assert "item.at" in refused.value.thing


def test_one_consumer_at_a_time_and_none_left_behind(target, source, new_topics):
    topics = new_topics(["note"])
    topics.send(written("own", transactions([insert(NOTE, 1)]), schemas_enable=True), "own")
    chosen = spec(topics, target.dsn, source)
    store = PositionStore(target.dsn, STREAM)
    with consuming(chosen):
        with pytest.raises(StreamBusy), consuming(chosen):
            pass
        with pytest.raises(StreamBusy):
            store.forget()
    consume_all(chosen)
    store.forget()
    with pytest.raises(NotProvisioned):
        store.load()


def test_killed_before_and_after_its_commits_it_applies_each_transaction_once(target, source, new_topics):
    topics = new_topics(["item", "note"], 2)
    topics.send(written("own", STORY, schemas_enable=True, provide_transaction_metadata=True), "own")
    chosen = spec(topics, target.dsn, source)
    for failpoint in ("cdc.apply.before_commit", "cdc.apply.after_commit"):
        assert command(topics, target.dsn, source, failpoint) == -9
    consume_all(chosen)
    assert len(bodies(target, "item")) == MANY - 1
    assert bodies(target, "note") == {3: None}
    assert items_of_the_move(target) == {9_001: "body 3"}
    assert parked_rows(target.dsn, STREAM) == []  # a move of a key that came twice would find nothing to move


def items_of_the_move(target):
    return {number: body for number, body in bodies(target, "item").items() if number in (3, 9_001)}


def command(topics, target, source, failpoint):
    """The command itself, as a process; its exit code."""
    arguments = [sys.executable, "-m", "cli", "cdc", "consume", "--bootstrap", topics.options.bootstrap, "--name", NAME,
                 "--topic-prefix", topics.prefix, "--to", target, "--source", source, "--table", "item",
                 "--table", "note", "--until-now"]  # fmt: skip
    process = subprocess.Popen(
        arguments, env={**os.environ, VARIABLE: failpoint}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def test_the_sources_types_are_needed(target):
    arguments = ["cdc", "consume", "--bootstrap", "127.0.0.1:1", "--topic-prefix", "x", "--table", "t", "--to"]
    done = CliRunner().invoke(strangler, [*arguments, target.dsn])
    assert isinstance(done.exception, BadInput)
    assert "--source" in done.exception.mend


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", ":9911", "::1:x"])
def test_an_address_that_is_none_is_bad_input(address):
    arguments = [
        "cdc",
        "consume",
        "--bootstrap",
        "127.0.0.1:1",
        "--topic-prefix",
        "x",
        "--table",
        "t",
        "--to",
        "sqlite://",
    ]
    done = CliRunner().invoke(strangler, [*arguments, "--metrics", address])
    assert isinstance(done.exception, BadInput)
    assert address in done.exception.reason
