"""T scenarios of capture: order, completeness and the slot's position, whatever happens in between."""

import contextlib
import itertools
import time
import types
import uuid

import psycopg
import pytest
from psycopg import conninfo

from cdc import postgres_source
from cdc.changelog.local import LocalChangeLog
from cdc.error_policy import Policy, policy_for
from cdc.errors import DatabaseUnreachable, SlotInUse, SlotMismatch, StreamingFailed, TransactionTooLarge
from cdc.lsn import before_boundary
from cdc.open_source import source_opener
from cdc.postgres_source import PostgresSource, StreamLimits
from cdc.provision import provision_source
from sandbox.postgres import create_database, postgres_server
from strangler.clock import SystemClock
from tests.capture import capturing
from tests.postgres_majors import need_major

pytestmark = [pytest.mark.integration, pytest.mark.scenario]


@pytest.fixture(scope="module")
def url(postgres_url):
    return create_database(postgres_url, f"stream_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def source(url):
    stream = f"strangler_t{uuid.uuid4().hex[:8]}_forward"
    with capturing(url, "CREATE TABLE t (id int PRIMARY KEY, v text)", "t", stream=stream) as made:
        yield made


def ids(transactions):
    return [[change.new[0] for change in transaction.changes] for transaction in transactions]


def test_T01_a_long_transaction_is_one_and_its_memory_is_bounded(source):
    source.execute("INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(1, 20000) g")
    with source.open() as capture:
        (found,) = source.drain(capture)
    assert len(found.changes) == 20000
    with (
        source.open(limits=StreamLimits(transaction_bytes=1 << 20)) as capture,
        pytest.raises(TransactionTooLarge, match="1048576 bytes"),
    ):
        source.drain(capture)


def test_T01_a_poll_ends_inside_a_long_transaction(source):
    source.execute("INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(1, 20000) g")
    with source.open(limits=StreamLimits(batch_bytes=100_000)) as capture:
        assert capture.poll(5) == []
        assert capture.delivered_through.lsn <= source.lsn()
        assert len(source.drain(capture)[0].changes) == 20000


STREAMED = "-c logical_decoding_work_mem=64kB"
"""The server streams what is larger."""


def open_streaming(source, tmp_path, position=None, **limits):
    """Everything beyond some kilobytes goes to disk, here and at the server."""
    limits = StreamLimits(**{"memory_bytes": 50_000, "spill_folder": tmp_path / "spill", **limits})
    position = source.start if position is None else position
    url = conninfo.make_conninfo(source.url, options=STREAMED)
    return PostgresSource(url, slot=source.stream, publication=source.stream, position=position, limits=limits)


@pytest.fixture(params=[True, False], ids=["streamed", "at commit"])
def streaming(request, source, tmp_path):
    """Opens the slot by protocol 2 and 1; counts the pieces of open transactions that come."""

    def make(position=None, **limits):
        return open_streaming(source, tmp_path, position, streaming=request.param, **limits)

    make.is_on = request.param
    return make


def values(transaction):
    """Of the last column; the changes are iterated twice, and must know their number."""
    found = [change.new[-1] for change in transaction.changes]
    assert [change.new[-1] for change in transaction.changes] == found
    assert len(transaction.changes) == len(found)
    return found


FILL = "INSERT INTO t SELECT {first} + g, '{label}' || repeat('x', 100) FROM generate_series(1, {count}) g"


def fill(label, first, count=2000):
    return FILL.format(label=label, first=first, count=count)


def labels(transaction):
    """Runs of the first letter of the values, with their lengths."""
    return [(label, len(list(run))) for label, run in itertools.groupby(values(transaction), lambda value: value[0])]


def test_T01_a_huge_transaction_travels_before_its_commit(source, tmp_path):
    need_major(source.url, 14, "open transactions are sent")
    with psycopg.connect(source.url) as writer, open_streaming(source, tmp_path) as capture:
        writer.execute(fill("a", 0, 5000))
        while not (tmp_path / "spill").exists():
            assert capture.poll(0.1) == []
        writer.execute(fill("b", 5000, 5000))
        writer.commit()
        (found,) = source.drain(capture)
        assert labels(found) == [("a", 5000), ("b", 5000)]
        assert list((tmp_path / "spill").iterdir()) == []


def test_T04_interleaved_huge_transactions_come_in_commit_order(source, streaming):
    with psycopg.connect(source.url) as first, psycopg.connect(source.url) as second, streaming() as capture:
        for round_ in range(3):
            first.execute(fill("a", 10_000 * round_))
            second.execute(fill("b", 10_000 * round_ + 5_000))
            source.execute(f"INSERT INTO t VALUES ({-round_ - 1}, 'small')")
        second.commit()
        source.execute("INSERT INTO t VALUES (-9, 'between')")
        first.commit()
        found = source.drain(capture)
    assert [labels(one) for one in found] == [[("s", 1)]] * 3 + [[("b", 6000)], [("b", 1)], [("a", 6000)]]
    positions = [one.commit_lsn for one in found]
    assert positions == sorted(set(positions))
    with streaming(found[3].commit_lsn) as capture:
        again = [one for one in source.drain(capture) if one.commit_lsn > found[3].commit_lsn]
    assert [(one.commit_lsn, labels(one)) for one in again] == [(one.commit_lsn, labels(one)) for one in found[4:]]


def test_T03_rolled_back_subtransactions_of_a_huge_one_take_exactly_their_changes(source, streaming):
    with streaming() as capture:
        source.execute("BEGIN", fill("a", 0), "SAVEPOINT one", fill("b", 10_000), "SAVEPOINT two", fill("c", 20_000))
        source.drain(capture)
        source.execute("ROLLBACK TO two", fill("d", 30_000), "RELEASE one", fill("e", 40_000), "SAVEPOINT three")
        source.execute(fill("f", 50_000), "SAVEPOINT four", fill("g", 60_000), "RELEASE four", "ROLLBACK TO three")
        source.execute(fill("h", 70_000), "COMMIT")
        (found,) = source.drain(capture)
    assert labels(found) == [("a", 2000), ("b", 2000), ("d", 2000), ("e", 2000), ("h", 2000)]


def test_T03_a_huge_transaction_that_is_rolled_back_leaves_nothing(source, streaming):
    with streaming() as capture:
        source.execute("BEGIN", fill("a", 0, 5000))
        assert source.drain(capture) == []
        source.execute("ROLLBACK", "INSERT INTO t VALUES (1, 'after')")
        assert [labels(one) for one in source.drain(capture)] == [[("a", 1)]]


def test_T03_ten_thousand_savepoints(source, streaming):
    source.execute("""
        DO $$ BEGIN FOR i IN 1..10000 LOOP
            BEGIN
                INSERT INTO t VALUES (i, 'kept' || repeat('x', 100));
                IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
            EXCEPTION WHEN raise_exception THEN NULL;
            END;
        END LOOP; END $$
    """)
    with streaming() as capture:
        (found,) = source.drain(capture)
    assert [int(change.new[0]) for change in found.changes] == list(range(1, 10_000, 2))


def test_S6_a_table_that_changes_inside_a_huge_transaction(source, streaming):
    wide = "INSERT INTO t SELECT {first} + g, 'v', 'z' || repeat('x', 99) FROM generate_series(1, 2000) g"
    with streaming() as capture:
        source.execute("INSERT INTO t VALUES (0, 'before')", "BEGIN", fill("a", 1), "SAVEPOINT s")
        source.execute("ALTER TABLE t ADD COLUMN w text", wide.format(first=10_000), "ROLLBACK TO s", fill("c", 20_000))
        source.execute("COMMIT", "ALTER TABLE t ADD COLUMN z text", "INSERT INTO t VALUES (-1, 'e', 'after')")
        before, huge, after = source.drain(capture)
    assert labels(huge) == [("a", 2000), ("c", 2000)]
    assert {(len(change.new), len(change.relation.columns)) for change in huge.changes} == {(2, 2)}
    assert [values(one) for one in (before, after)] == [["before"], ["after"]]


def test_S6_a_server_that_cannot_decode_an_open_transaction_is_asked_for_whole_ones(source, tmp_path):
    """PostgreSQL cannot look up a table after ALTER TABLE, ROLLBACK TO, ALTER TABLE before the transaction ends."""
    link = types.SimpleNamespace(
        source_dsn=conninfo.make_conninfo(source.url, options=STREAMED), stream=source.stream, log_folder=tmp_path
    )
    wide = "INSERT INTO t SELECT {first} + g, 'v', 'z' || repeat('x', 99) FROM generate_series(1, 2000) g"
    source.execute("INSERT INTO t VALUES (0, 'before')", "BEGIN", fill("a", 1), "SAVEPOINT s")
    source.execute("ALTER TABLE t ADD COLUMN w text", wide.format(first=10_000), "ROLLBACK TO s", fill("c", 20_000))
    source.execute("ALTER TABLE t ADD COLUMN z text", wide.format(first=30_000), "COMMIT")
    opener = source_opener(link, SystemClock())
    found = []
    for _ in range(2):
        source.wait_released()
        with contextlib.closing(opener(position=source.start, resume_from=source.start)) as capture:
            capture.open()
            try:
                found = source.drain(capture)
            except StreamingFailed:
                assert policy_for(StreamingFailed(thing="t", reason="r", mend="m")) is Policy.RETRY
    before, huge = found
    assert (labels(before), labels(huge)) == ([("b", 1)], [("a", 2000), ("c", 2000), ("z", 2000)])
    widths = [(len(change.new), len(change.relation.columns)) for change in huge.changes]
    assert widths == [(2, 2)] * 4000 + [(3, 3)] * 2000


def test_T09_messages_inside_and_beside_a_huge_transaction(source, streaming):
    need_major(source.url, 14, "messages are decoded")
    with streaming() as capture:
        source.execute("BEGIN", fill("a", 0), "SELECT pg_logical_emit_message(true, 'app', 'inside')")
        source.execute("SELECT pg_logical_emit_message(false, 'app', 'beside')", fill("b", 5000), "COMMIT")
        beside, huge = source.drain(capture)
    assert [change.content for change in beside.changes] == [b"beside"]
    kinds = [getattr(change, "content", b"row") for change in huge.changes]
    assert kinds == [b"row"] * 2000 + [b"inside"] + [b"row"] * 2000


def test_T01_R02_a_huge_transaction_of_our_own_does_not_come_back(source, streaming):
    origin = f"{source.stream}_other_way"
    source.execute(
        f"SELECT pg_replication_origin_create('{origin}')",
        f"SELECT pg_replication_origin_session_setup('{origin}')",
        fill("own", 0, 5000),
        "SELECT pg_replication_origin_session_reset()",
        "INSERT INTO t VALUES (-1, 'other')",
    )
    with streaming() as capture:
        assert [labels(one) for one in source.drain(capture)] == [[("o", 1)]]
    source.execute(f"SELECT pg_replication_origin_drop('{origin}')")


def test_T01_a_huge_transaction_through_the_log_after_a_restart_in_its_middle(source, streaming, tmp_path):
    with opened_log(tmp_path / "log") as log:
        with streaming(batch_bytes=100_000) as capture:
            source.execute("INSERT INTO t VALUES (-1, 'before')", "BEGIN", fill("a", 0, 5000))
            log.append(source.drain(capture))
        source.wait_released()
        source.execute("UPDATE t SET v = 'u' || v WHERE id > 0", "COMMIT", "INSERT INTO t VALUES (-2, 'later')")
        with streaming(log.last_lsn()) as capture:
            log.append(source.drain(capture))
        assert [labels(one) for one in log.read(0)] == [[("b", 1)], [("a", 5000), ("u", 5000)], [("l", 1)]]


def test_D20_a_value_of_many_megabytes_exists_once(source, streaming, tmp_path):
    source.execute("INSERT INTO t SELECT 1, repeat('0123456789', 2000000)", "UPDATE t SET v = 'é' || v")
    with opened_log(tmp_path / "log") as log, streaming() as capture:
        log.append(source.drain(capture))
        first, second = log.read(0)
    assert values(first) == ["0123456789" * 2_000_000]
    assert values(second) == ["é" + "0123456789" * 2_000_000]


def test_D20_after_a_message_that_was_large_the_connection_is_made_anew(source, streaming, tmp_path, monkeypatch):
    """The driver's buffer stays as large as the largest message until it disconnects."""
    monkeypatch.setattr(postgres_source, "BLOAT_BYTES", 100_000)
    with streaming() as capture:
        found, sessions = [], set()
        for number in range(3):
            source.execute(f"INSERT INTO t VALUES ({number}, repeat('x', 200000))")
            found += source.drain(capture)
            capture.report()
            source.execute(f"INSERT INTO t VALUES ({number + 10}, 'small')")
            found += source.drain(capture)
            capture.acknowledge(found[-1 if number else -2].commit_lsn)
            sessions.add(id(capture._stream))
            assert capture.delivered_through.lsn >= capture.acknowledged
    assert (ids(found), len(sessions)) == ([["0"], ["10"], ["1"], ["11"], ["2"], ["12"]], 3)


def opened_log(folder):
    return contextlib.closing(LocalChangeLog(folder))


def test_T02_a_batch_is_bounded(source):
    for number in range(30):
        source.execute(f"INSERT INTO t VALUES ({number})")
    with source.open(limits=StreamLimits(batch_transactions=7)) as capture:
        sizes = []
        while sum(sizes) < 30:
            sizes.append(len(capture.poll(1)))
    assert max(sizes) <= 7


def test_T03_what_was_rolled_back_is_not_captured(source):
    source.execute("BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK")
    source.execute(
        "BEGIN",
        "INSERT INTO t VALUES (2)",
        *("SAVEPOINT s", "INSERT INTO t VALUES (3)", "ROLLBACK TO s"),
        *("SAVEPOINT s2", "INSERT INTO t VALUES (4)", "RELEASE s2"),
        "COMMIT",
    )
    assert ids(source.captured()) == [["2", "4"]]


def test_T04_interleaved_transactions_come_in_commit_order(source):
    with psycopg.connect(source.url) as other:
        source.execute("BEGIN", "INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (2)")
        source.execute("INSERT INTO t VALUES (3)")
        other.commit()
        source.execute("COMMIT")
    found = source.captured()
    assert ids(found) == [["2"], ["1", "3"]]
    assert found[0].commit_lsn < found[0].end_lsn <= found[1].commit_lsn
    assert abs(found[0].commit_time_us / 1e6 - time.time()) < 3600


def test_T05_T06_nothing_is_skipped_or_lost_around_a_restart(source):
    source.execute("INSERT INTO t SELECT g FROM generate_series(1, 5) g", "INSERT INTO t VALUES (6)")
    first = source.captured()
    assert ids(first) == [["1", "2", "3", "4", "5"], ["6"]]
    assert source.captured() == first
    with source.open() as capture:
        source.drain(capture)
        capture.acknowledge(first[0].commit_lsn)
    assert source.confirmed() == first[0].commit_lsn
    assert [found.commit_lsn for found in source.captured(first[0].commit_lsn)][-1] == first[1].commit_lsn
    source.execute("INSERT INTO t VALUES (7)")
    later = source.captured(first[1].commit_lsn)
    assert ids(found for found in later if found.commit_lsn > first[1].commit_lsn) == [["7"]]


def test_T07_a_keepalive_does_not_move_the_slot_past_what_is_not_applied(source):
    source.execute("INSERT INTO t VALUES (1)")
    with source.open() as capture:
        (pending,) = source.drain(capture)
        source.execute("CREATE TABLE neighbour AS SELECT generate_series(1, 1000)")
        assert source.drain(capture) == []
        assert capture.delivered_through.lsn > pending.end_lsn
        capture.report()
    assert before_boundary(source.confirmed()) == source.start
    assert source.captured() == [pending]


def test_T09_messages_arrive_in_the_order_of_the_log(source):
    need_major(source.url, 14, "messages are decoded")
    source.execute(
        "SELECT pg_logical_emit_message(false, 'heartbeat', 'a')",
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SELECT pg_logical_emit_message(false, 'early', 'b')",
        "SELECT pg_logical_emit_message(true, 'strangler.barrier', 'c')",
        "COMMIT",
        "SELECT pg_logical_emit_message(false, 'late', 'd')",
        "INSERT INTO t VALUES (2)",
    )
    found = source.captured()
    assert [one.xid == 0 for one in found] == [True, True, False, True, False]
    messages = [change for one in found for change in one.changes if hasattr(change, "prefix")]
    assert [(one.prefix, one.content) for one in messages] == [
        ("heartbeat", b"a"),
        ("early", b"b"),
        ("strangler.barrier", b"c"),
        ("late", b"d"),
    ]
    positions = [one.commit_lsn for one in found]
    assert positions == sorted(set(positions))
    last = found[-1]
    assert [one.commit_lsn for one in source.captured(last.commit_lsn) if one.commit_lsn > last.commit_lsn] == []


@pytest.mark.parametrize("restarted", [False, True], ids=["one session", "restarted in between"])
def test_T09_a_commit_right_after_a_message_is_neither_refused_nor_lost(source, tmp_path, restarted):
    """The message's record ends where the commit record of the transaction that emitted it starts."""
    log = LocalChangeLog(tmp_path)
    with psycopg.connect(source.url) as writer, contextlib.ExitStack() as sessions:
        if writer.info.server_version < 170_000:
            pytest.skip("only servers from 17 on flush a message at once, without a record after it")
        capture = sessions.enter_context(source.open())
        writer.execute("INSERT INTO t VALUES (1)")
        end = source_position(writer, "SELECT pg_logical_emit_message(false, 'app', 'hello', true)")
        while log.last_lsn() < before_boundary(end):
            log.append(capture.poll(0.2))
        if restarted:
            capture.acknowledge(log.last_lsn())
            sessions.close()
            source.wait_released()
            capture = sessions.enter_context(source.open(log.last_lsn()))
        writer.commit()
        log.append(source.drain(capture))
    message, row = log.read(0)
    assert ids([row]) == [["1"]]
    assert message.commit_lsn < message.end_lsn == end <= row.commit_lsn
    log.close()


def source_position(connection, query):
    return int(connection.execute(f"SELECT ({query}) - '0/0'::pg_lsn").fetchone()[0])


def test_T11_an_idle_stream_releases_its_neighbours_log(source):
    with source.open() as capture:
        source.execute("CREATE TABLE neighbour AS SELECT generate_series(1, 1000)")
        assert source.drain(capture) == []
        reached = capture.delivered_through
        capture.acknowledge(reached.lsn)
        capture.report()
        assert abs(reached.source_time_us / 1e6 - time.time()) < 3600
    assert before_boundary(source.confirmed()) == reached.lsn > source.start
    source.execute("INSERT INTO t VALUES (1)")
    assert ids(source.captured(reached.lsn)) == [["1"]]


def test_T13_a_slot_that_was_recreated_is_refused(source):
    source.execute("INSERT INTO t VALUES (1)")
    source.execute(f"SELECT pg_drop_replication_slot('{source.stream}')")
    source.execute(f"SELECT pg_create_logical_replication_slot('{source.stream}', 'pgoutput')")
    with pytest.raises(SlotMismatch, match="ahead of the ledger"):
        source.open().open()


def test_T13_a_ledger_from_another_server_is_refused(source):
    with pytest.raises(SlotMismatch, match="behind the ledger"):
        source.open(source.lsn() + (1 << 40)).open()


def test_T13_a_slot_of_another_plugin_is_refused(source):
    source.execute(f"SELECT pg_drop_replication_slot('{source.stream}')")
    with pytest.raises(SlotMismatch, match="does not exist"):
        source.open().open()
    source.execute(f"SELECT pg_create_logical_replication_slot('{source.stream}', 'test_decoding')")
    with pytest.raises(SlotMismatch, match="test_decoding"):
        source.open().open()
    with pytest.raises(SlotMismatch, match="test_decoding"):
        provision_source(source.url, source.stream, source.tables)


def test_T14_a_second_consumer_is_refused(source):
    with source.open(), pytest.raises(SlotInUse, match="server process"):
        source.open().open()


def test_H12_a_missing_publication_is_refused(source):
    source.execute(f"DROP PUBLICATION {source.stream}")
    with pytest.raises(SlotMismatch, match="does not exist"):
        source.open().open()
    with pytest.raises(SlotMismatch, match="without its publication"):
        provision_source(source.url, source.stream, source.tables)


def test_T16_a_lost_connection_is_named_and_nothing_is_lost(source):
    source.execute("INSERT INTO t VALUES (1)")
    with source.open() as capture:
        assert ids(source.drain(capture)) == [["1"]]
        source.execute(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                       f"WHERE slot_name = '{source.stream}'")  # fmt: skip
        with pytest.raises(DatabaseUnreachable):
            while True:
                capture.poll(1)
    assert ids(source.captured()) == [["1"]]


def test_T16_O3_an_unreachable_database_is_named_without_its_password():
    url = "postgresql://someone:s3cret@127.0.0.1:1/nowhere"
    with pytest.raises(DatabaseUnreachable) as caught:
        PostgresSource(url, slot="s", publication="s", position=0).open()
    assert "127.0.0.1:1/nowhere" in caught.value.thing
    assert "s3cret" not in str(caught.value)


def test_R02_what_our_apply_session_wrote_does_not_come_back(source):
    origin = f"{source.stream}_other_way"
    source.execute(
        f"SELECT pg_replication_origin_create('{origin}')",
        f"SELECT pg_replication_origin_session_setup('{origin}')",
        "INSERT INTO t VALUES (1)",
        "SELECT pg_replication_origin_session_reset()",
        "INSERT INTO t VALUES (2)",
    )
    assert ids(source.captured()) == [["2"]]
    source.execute(f"SELECT pg_replication_origin_drop('{origin}')")


@pytest.fixture(scope="module")
def own_server():
    settings = {"max_slot_wal_keep_size": "1MB", "max_prepared_transactions": "5", "max_replication_slots": "2"}
    with postgres_server(settings) as url:
        yield url


def test_T10_a_prepared_transaction_comes_when_it_commits(own_server):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    with capturing(create_database(own_server, "prepared"), ddl, "t") as source:
        source.execute("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'p1'", "INSERT INTO t VALUES (2)")
        source.execute("BEGIN", "INSERT INTO t VALUES (3)", "PREPARE TRANSACTION 'p2'")
        source.execute("COMMIT PREPARED 'p1'", "ROLLBACK PREPARED 'p2'")
        assert ids(source.captured()) == [["2"], ["1"]]


def test_T12_a_lost_slot_is_refused_and_never_made_anew(own_server):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    with capturing(create_database(own_server, "lost"), ddl, "t") as source:
        for _ in range(4):
            source.execute(
                "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000))", "SELECT pg_switch_wal()"
            )
        source.execute("CHECKPOINT")
        with pytest.raises(SlotMismatch, match="is lost"):
            source.open().open()
        with pytest.raises(SlotMismatch, match="is lost"):
            provision_source(source.url, source.stream, source.tables)
