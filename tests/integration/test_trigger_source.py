"""Capture by triggers on a real PostgreSQL: exact values, late commits, no loops, nothing of others touched."""

import dataclasses
import json
import threading
import time

import psycopg
import pytest

from cdc.errors import SlotInUse, SlotMismatch, SourceUnfit, TransactionTooLarge
from cdc.events import Message, TableName, Truncate
from cdc.positions import start_ledger, wait_applied
from cdc.provision import provision_target
from cdc.triggers.install import emit_message, install, leftovers, trigger_names, uninstall
from cdc.triggers.opening import SCHEME
from cdc.triggers.source import TriggerSource
from cdc.worker import StreamWorker
from tests.stream_pair import identical, make_link

pytestmark = pytest.mark.integration
STREAM = "strangler_by_triggers_forward"
T = TableName(name="t")


class Database:
    def __init__(self, url):
        self.url, self.sources = url, []
        self.admin = psycopg.connect(url, autocommit=True)

    def execute(self, statement, parameters=None):
        return self.admin.execute(statement, parameters)

    def value(self, query):
        return self.execute(query).fetchone()[0]

    def source(self, position=0, **options):
        made = TriggerSource(self.url, stream=STREAM, position=position, **options)
        self.sources.append(made)
        made.open()
        return made

    def changes(self, source, count):
        found, deadline = [], time.monotonic() + 15
        while len(found) < count:
            assert time.monotonic() < deadline, f"only {len(found)} changes"
            found += [change for transaction in source.poll(0.3) for change in transaction.changes]
        return found


@pytest.fixture
def database(new_database):
    made = Database(new_database("triggers"))
    made.execute("CREATE TABLE t (id bigint PRIMARY KEY, a text)")
    yield made
    for source in made.sources:
        source.close()
    made.admin.close()


VALUES = {
    "boolean": "true",
    "char(5)": "'ab'",
    "numeric": "'NaN'::numeric",
    "numeric(40,20)": "12345678901234567890.12345678901234567890",
    "float8": "'-0'::float8",
    "float4": "0.1",
    "date": "'infinity'",
    "timestamp": "'0044-03-15 12:00:00 BC'",
    "timestamptz": "'2024-01-01 00:00:00+05:30'",
    "interval": "'1 mon -1 day 00:00:01.5'",
    "timetz": "'24:00:00+01'",
    "bytea": "'\\x00ff'",
    "jsonb": """'{"a": 123456789012345678901234567890.10}'""",
    "json": """'{"b": 1,  "b": 2}'""",
    "text[]": """ARRAY['a', NULL, '"q"', '']""",
    "int[]": "'[2:3]={1,2}'",
    "int4range": "'[1,5)'",
    "inet": "'10.0.0.1'",
    "money": "'-12.34'",
    "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "pair": "ROW(NULL, NULL)",
    "mood": "'so,so'",
    "bit varying": "B'101'",
}


def test_values_are_what_the_output_functions_write_whatever_the_session_set(database):
    database.execute("CREATE TYPE pair AS (a int, b text); CREATE TYPE mood AS ENUM ('happy', 'so,so')")
    columns = ", ".join(f'"c {kind}" {kind}' for kind in VALUES)
    database.execute(f"CREATE TABLE v (id int PRIMARY KEY, gen int GENERATED ALWAYS AS (id * 2) STORED, {columns})")
    install(database.url, STREAM, [TableName(name="v")])
    source = database.source()
    with psycopg.connect(database.url, autocommit=True) as odd:
        odd.execute("SET datestyle = 'German'; SET timezone = 'Asia/Tokyo'; SET intervalstyle = 'sql_standard'")
        odd.execute("SET extra_float_digits = -10; SET bytea_output = 'escape'")
        odd.execute(f"INSERT INTO v VALUES (1, DEFAULT, {', '.join(VALUES.values())})")
        odd.execute("INSERT INTO v (id) VALUES (2)")
    first, second = database.changes(source, 2)
    assert [column.name for column in first.relation.columns] == ["id", *(f"c {kind}" for kind in VALUES)]
    with psycopg.connect(database.url, options="-c timezone=UTC -c extra_float_digits=3") as plain:
        listed = ", ".join(f'"c {kind}"' for kind in VALUES)
        with plain.cursor().copy(f"COPY (SELECT id, {listed} FROM v WHERE id = 1) TO STDOUT") as copy:
            (expected,) = copy.rows()
    assert first.new == expected
    assert second.new == ("2", *(None for _ in VALUES))


def test_late_commits_come_later_with_higher_positions_and_nothing_is_passed(database):
    """The gap of every design that reads by number: the lower number commits after the higher one was read."""
    install(database.url, STREAM, [T])
    source = database.source()
    late = psycopg.connect(database.url)
    late.execute("INSERT INTO t VALUES (1, 'lower number')")
    database.execute("INSERT INTO t VALUES (2, 'higher number')")
    (first,) = source.poll(5)
    assert [change.new[0] for change in first.changes] == ["2"]
    source.acknowledge(first.commit_lsn)
    source.report()
    late.commit()
    (second,) = source.poll(5)
    assert [change.new[0] for change in second.changes] == ["1"]
    assert second.commit_lsn > first.commit_lsn
    late.close()


def test_acknowledged_changes_are_deleted_and_only_those(database):
    install(database.url, STREAM, [T])
    source = database.source()
    for key in range(4):
        database.execute("INSERT INTO t VALUES (%s)", [key])
    transactions = []
    while len(transactions) < 4:
        transactions += source.poll(1)
    source.acknowledge(transactions[1].commit_lsn)
    source.report()
    kept = database.execute("SELECT new FROM strangler.captured_change ORDER BY seq").fetchall()
    assert kept == [("(2,)",), ("(3,)",)]
    source.close()
    with pytest.raises(SlotMismatch, match="somebody else read"):
        database.source(transactions[0].commit_lsn)


def test_S01_an_altered_table_neither_breaks_writes_nor_loses_columns(database):
    install(database.url, STREAM, [T])
    source = database.source()
    database.execute("INSERT INTO t VALUES (1, 'x')")
    database.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 7, DROP COLUMN a")
    database.execute("INSERT INTO t (id) VALUES (2)")
    first, second = database.changes(source, 2)
    assert (first.new, second.new) == (("1", "x"), ("2", "7"))
    assert [column.name for column in second.relation.columns] == ["id", "b"]


def test_D32_truncate_of_several_tables_is_one_change(database):
    database.execute("CREATE TABLE child (id int PRIMARY KEY, t_id bigint REFERENCES t)")
    install(database.url, STREAM, [T, TableName(name="child")])
    source = database.source()
    database.execute("TRUNCATE t CASCADE")
    (change,) = database.changes(source, 1)
    assert isinstance(change, Truncate)
    assert sorted(relation.name for relation in change.relations) == ["child", "t"]


def test_H13_rows_of_partitions_arrive_under_the_root(database):
    database.execute("CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id)")
    database.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    install(database.url, STREAM, [TableName(name="p")])
    source = database.source()
    database.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
    database.execute("INSERT INTO p VALUES (1), (11)")
    assert [(one.relation.name, one.new[0]) for one in database.changes(source, 2)] == [("p", "1"), ("p", "11")]


def test_R02_what_our_own_applier_writes_does_not_come_back(database):
    install(database.url, STREAM, [T])
    source = database.source()
    with psycopg.connect(database.url) as applier:
        applier.execute("SET session_replication_role = replica")
        applier.execute("INSERT INTO t VALUES (1, 'ours')")
    database.execute("INSERT INTO t VALUES (2, 'theirs')")
    assert [change.new[1] for change in database.changes(source, 1)] == ["theirs"]


def test_a_role_that_may_only_write_the_table_is_not_disturbed(database):
    database.execute("DROP ROLE IF EXISTS only_writes; CREATE ROLE only_writes LOGIN; GRANT INSERT ON t TO only_writes")
    install(database.url, STREAM, [T])
    source = database.source()
    url = database.url.replace("postgres@", "only_writes@")
    with psycopg.connect(url, autocommit=True) as application:
        application.execute("INSERT INTO t VALUES (1, 'x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("SELECT * FROM strangler.captured_change")
    assert database.changes(source, 1)[0].new == ("1", "x")
    database.execute("REVOKE ALL ON t FROM only_writes; DROP ROLE only_writes")


def test_messages_keep_their_place(database):
    install(database.url, STREAM, [T])
    source = database.source()
    database.execute("INSERT INTO t VALUES (1)")
    emit_message(database.url, STREAM, "strangler.barrier", b"\x00x")
    row, message = database.changes(source, 2)
    assert row.new[0] == "1"
    assert message == Message(prefix="strangler.barrier", content=b"\x00x", transactional=True, lsn=2)


def test_O05_installing_twice_changes_nothing_and_tables_may_be_exchanged(database):
    database.execute("CREATE TABLE u (id int PRIMARY KEY)")
    install(database.url, STREAM, [T])
    before = database.execute("SELECT oid FROM pg_trigger WHERE tgname LIKE 'strangler%' ORDER BY 1").fetchall()
    install(database.url, STREAM, [T])
    assert database.execute("SELECT oid FROM pg_trigger WHERE tgname LIKE 'strangler%' ORDER BY 1").fetchall() == before
    install(database.url, STREAM, [TableName(name="u")])
    assert {trigger.table.name for trigger in leftovers(database.url)} == {"u"}


def test_O04_uninstalling_leaves_nothing_and_spares_other_streams(database):
    install(database.url, STREAM, [T])
    install(database.url, "another", [T])
    database.execute("INSERT INTO t VALUES (1)")
    uninstall(database.url, STREAM)
    assert [trigger.name for trigger in leftovers(database.url)] == sorted(trigger_names("another"))
    assert database.value("SELECT count(*) FROM strangler.captured_change") == 1
    for _ in range(2):
        uninstall(database.url, "another")
    assert leftovers(database.url) == []
    assert database.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'captured%'") == 0
    database.execute("INSERT INTO t VALUES (2)")


def test_uninstalling_under_a_reader_is_refused(database):
    install(database.url, STREAM, [T])
    source = database.source()
    with pytest.raises(SlotInUse):
        uninstall(database.url, STREAM)
    source.close()
    uninstall(database.url, STREAM)


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE SCHEMA strangler; CREATE TABLE strangler.captured_change (mine int)",
        "CREATE SCHEMA strangler; CREATE FUNCTION strangler.capture_change() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN NULL; END'",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        f"CREATE TRIGGER {trigger_names(STREAM)[0]} AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    ],
    ids=["table", "function", "trigger"],
)
def test_objects_of_others_are_refused_and_stay(database, foreign):
    database.execute(foreign)
    with pytest.raises(SourceUnfit, match="not made by"):
        install(database.url, STREAM, [T])
    assert leftovers(database.url) == []


def test_tables_that_cannot_be_captured_are_refused(database):
    database.execute("CREATE TABLE keyless (id int); CREATE VIEW seen AS SELECT 1 AS id")
    for name in ("keyless", "seen", "missing"):
        with pytest.raises(SourceUnfit, match=name):
            install(database.url, STREAM, [TableName(name=name)])
    assert database.value("SELECT to_regnamespace('strangler') IS NULL")


@pytest.mark.parametrize(
    "statement",
    [f"ALTER TABLE t DISABLE TRIGGER {trigger_names(STREAM)[0]}", f"DROP TRIGGER {trigger_names(STREAM)[1]} ON t",
     "DROP TABLE t"],
)  # fmt: skip
def test_a_trigger_that_no_longer_fires_is_noticed_when_the_stream_opens(database, statement):
    install(database.url, STREAM, [T])
    database.execute(statement)
    with pytest.raises(SlotMismatch, match="not complete"):
        database.source()


def test_T01_a_transaction_beyond_the_bound_is_refused_and_those_before_it_come(database):
    install(database.url, STREAM, [T])
    source = database.source(transaction_bytes=20_000)
    database.execute("INSERT INTO t VALUES (1, 'small')")
    database.execute("INSERT INTO t SELECT n, md5(n::text) FROM generate_series(2, 2000) n")
    found = []
    with pytest.raises(TransactionTooLarge):
        while True:
            found += source.poll(1)
    assert [len(transaction.changes) for transaction in found] == [1]


def test_a_link_by_triggers_streams_through_the_ordinary_worker(database, new_database, tmp_path):
    target_dsn = new_database("target")
    with psycopg.connect(target_dsn, autocommit=True) as target:
        target.execute("CREATE TABLE t (id bigint PRIMARY KEY, a text)")
    link = make_link("by_triggers", "forward", identical(("t", "id a")), database.url, target_dsn, tmp_path)
    assert link.stream == STREAM
    provision_target(target_dsn, STREAM)
    start_ledger(target_dsn, STREAM, install(database.url, STREAM, [T]))
    link = dataclasses.replace(link, source_dsn=SCHEME + database.url.removeprefix("postgresql://"), follows_copy=False)
    stop, worker = threading.Event(), StreamWorker([link])
    running = threading.Thread(target=worker.run, args=(stop,))
    running.start()
    try:
        for key in range(50):
            database.execute("INSERT INTO t VALUES (%s, %s)", [key, json.dumps("é" * key)])
        database.execute("UPDATE t SET id = id + 100 WHERE id % 3 = 0")
        database.execute("DELETE FROM t WHERE id % 7 = 1")
        emit_message(database.url, STREAM, "strangler.barrier", b"end")
        while (last := database.value("SELECT last_position FROM strangler.captured_stream")) < 53:
            time.sleep(0.05)
        wait_applied(target_dsn, STREAM, last, 20)
    finally:
        stop.set()
        running.join()
    with psycopg.connect(target_dsn) as target:
        there = target.execute("SELECT * FROM t ORDER BY id").fetchall()
    assert there == database.execute("SELECT * FROM t ORDER BY id").fetchall()
    assert len(there) > 30
