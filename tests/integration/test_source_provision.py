"""Provisioning and its way back, examination, lag and tail against a real server."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Json

from cdc import markers
from cdc.doctor import examine_source, examine_target
from cdc.errors import SlotInUse, SlotMismatch, SourceUnfit, StreamBusy
from cdc.events import TableName
from cdc.lag import read_lag
from cdc.lsn import Lsn, before_boundary, format_lsn
from cdc.postgres_source import PostgresSource
from cdc.provision import (
    deprovision_source,
    deprovision_target,
    find_leftovers,
    provision_source,
    provision_target,
)
from sandbox.postgres import create_database, postgres_server
from tests.capture import EMPTY, capturing

pytestmark = pytest.mark.integration

T = TableName(name="t")
OURS = ("strangler.canary", "strangler.message")
DDL = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.fixture(scope="module")
def url(postgres_url):
    return create_database(postgres_url, f"provision_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def stream():
    return f"strangler_p{uuid.uuid4().hex[:8]}_forward"


@pytest.fixture
def database(url, stream):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DDL)
        yield connection
        deprovision_source(url, stream)
        deprovision_target(url, stream)
        connection.execute(EMPTY)


def mine(url, stream):
    return [(leftover.kind, leftover.name) for leftover in find_leftovers(url) if leftover.name == stream]


def published(database, stream):
    rows = database.execute("SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s", [stream])
    return {f"{schema}.{table}" for schema, table in rows}


def bookkeeping(database):
    rows = database.execute("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('strangler') "
                            "AND relkind = 'r'")  # fmt: skip
    return {name for (name,) in rows}


def test_O5_provisioning_twice_changes_nothing(url, stream, database):
    start = provision_source(url, stream, [T])
    assert provision_source(url, stream, [T]) == start
    assert published(database, stream) == {"public.t", *OURS}
    assert mine(url, stream) == [("publication", stream), ("slot", stream)]
    provision_target(url, stream)
    provision_target(url, stream)
    assert ("origin", stream) in mine(url, stream)
    assert bookkeeping(database) >= {"canary", "stream_position", "stream_status", "copy_progress"}
    assert database.execute("SELECT stream, state FROM strangler.stream_status").fetchall() == [(stream, "idle")]


def test_the_publication_follows_the_tables(url, stream, database):
    database.execute("CREATE TABLE u (id int PRIMARY KEY)")
    provision_source(url, stream, [T])
    provision_source(url, stream, [T, TableName(name="u")])
    assert published(database, stream) == {"public.t", "public.u", *OURS}
    provision_source(url, stream, [TableName(name="u")])
    assert published(database, stream) == {"public.u", *OURS}


def test_O4_what_was_made_is_gone_after_a_cancel_and_the_source_untouched(url, stream, database):
    provision_source(url, stream, [T])
    provision_target(url, stream)
    for _ in range(2):
        deprovision_source(url, stream)
        deprovision_target(url, stream)
        assert mine(url, stream) == []
    assert database.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)
    database.execute("INSERT INTO t VALUES (1)")
    database.execute("UPDATE t SET id = 2")


@pytest.mark.parametrize("missing", ["slot", "publication", "schema"])
def test_O4_a_half_removed_stream_is_removed(url, stream, database, missing):
    provision_source(url, stream, [T])
    if missing == "slot":
        database.execute("SELECT pg_drop_replication_slot(%s)", [stream])
    elif missing == "publication":
        database.execute(f"DROP PUBLICATION {stream}")
    else:
        database.execute("DROP SCHEMA strangler CASCADE")
    deprovision_source(url, stream)
    assert mine(url, stream) == []


def test_one_stream_goes_and_the_other_keeps_its_tables(url, stream, database):
    other = f"{stream[:-8]}_reverse"
    provision_source(url, stream, [T])
    provision_target(url, other)
    deprovision_source(url, stream)
    assert "stream_status" in bookkeeping(database)
    deprovision_target(url, other)
    assert bookkeeping(database) == set()


def test_another_packages_table_in_the_schema_stays(url, stream, database):
    provision_target(url, stream)
    database.execute("CREATE TABLE strangler.ownership (move text)")
    deprovision_target(url, stream)
    assert bookkeeping(database) == {"ownership"}
    database.execute("DROP SCHEMA strangler CASCADE")


def test_a_slot_that_is_read_is_not_dropped(url, stream, database):
    start = provision_source(url, stream, [T])
    with (
        PostgresSource(url, slot=stream, publication=stream, position=start),
        pytest.raises(SlotInUse, match="active"),
    ):
        deprovision_source(url, stream)
    while database.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [stream]).fetchone()[0]:
        pass


def test_an_origin_that_is_used_is_not_dropped(url, stream, database):
    provision_target(url, stream)
    with psycopg.connect(url, autocommit=True) as applier:
        applier.execute("SELECT pg_replication_origin_session_setup(%s)", [stream])
        with pytest.raises(StreamBusy):
            deprovision_target(url, stream)
        applier.execute("SELECT pg_replication_origin_session_reset()")


def test_C1_an_open_write_transaction_does_not_block_for_ever(url, stream, database):
    with psycopg.connect(url) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(SourceUnfit, match=f"server process {writer.info.backend_pid}"):
            provision_source(url, stream, [T], slot_timeout_s=0.5)
    assert ("slot", stream) not in mine(url, stream)
    assert provision_source(url, stream, [T]) > 0


def test_the_examination_lists_what_is_right_and_what_is_not(url, stream, database):
    database.execute("CREATE TABLE keyless (v int)")
    findings = examine_source(url, [T, TableName(name="keyless"), TableName(name="absent")])
    bad = [finding for finding in findings if not finding.ok]
    assert {finding.check for finding in findings} >= {
        *("connect", "version", "wal_level", "replication_privilege", "free_slots", "free_senders"),
        *("replication_connection", "table"),
    }
    assert [finding.thing for finding in bad] == ["table keyless", "table absent"]
    assert all(finding.mend for finding in bad)
    assert [finding.ok for finding in examine_target(url, [T])] == [True] * 8
    assert [finding.thing for finding in examine_target(url, [TableName(name="absent")]) if not finding.ok] == [
        "table absent"
    ]
    provision_source(url, stream, [T])
    (slot,) = [finding for finding in examine_source(url, [T], stream=stream) if finding.check == "slot"]
    assert slot.ok


def test_a_role_without_privileges_is_told_each_grant(url, postgres_url, database):
    role = f"plain_{uuid.uuid4().hex[:8]}"
    database.execute(f"CREATE ROLE {role} LOGIN")
    plain = url.replace("postgres@", f"{role}@", 1)
    bad = {finding.check: finding for finding in examine_source(plain, [T]) if not finding.ok}
    assert set(bad) == {"create_privilege", "replication_privilege", "replication_connection", "table"}
    assert f'ALTER ROLE "{role}" WITH REPLICATION' in bad["replication_privilege"].mend
    assert {finding.check for finding in examine_target(plain) if not finding.ok} == {
        *("create_privilege", "replica_role", "replication_origin"),
    }
    with pytest.raises(SourceUnfit):
        provision_source(plain, "strangler_plain_forward", [T])
    database.execute(f"DROP ROLE {role}")


def test_an_unreachable_database_is_a_finding():
    for findings in (examine_source("postgresql://x:pw@127.0.0.1:1/d", []), examine_target("host=127.0.0.1 port=1")):
        (finding,) = findings
        assert (finding.check, finding.ok, "pw" in finding.reason) == ("connect", False, False)


def test_a_server_without_logical_decoding_or_slots_is_named():
    with (
        postgres_server({"wal_level": "replica", "max_replication_slots": "1"}) as server,
        psycopg.connect(server, autocommit=True) as connection,
    ):
        connection.execute(DDL)
        connection.execute("SELECT pg_create_physical_replication_slot('taken')")
        with pytest.raises(SourceUnfit, match="wal_level is replica") as caught:
            provision_source(server, "strangler_m_forward", [T])
        assert "ALTER SYSTEM SET wal_level = logical" in caught.value.mend
        bad = {finding.check for finding in examine_source(server, [T]) if not finding.ok}
        assert bad == {"wal_level", "free_slots"}
        assert connection.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)


@pytest.fixture
def source(url, stream):
    with capturing(url, DDL, "t", stream=stream) as made:
        yield made


def write_position(source, lsn, time):
    provision_target(source.url, source.stream)
    source.database.execute(
        "INSERT INTO strangler.stream_position (stream, commit_lsn, source_commit_time, transactions, events) "
        "VALUES (%s, %s, %s, 3, 4) ON CONFLICT (stream) DO UPDATE SET commit_lsn = EXCLUDED.commit_lsn",
        [source.stream, format_lsn(lsn), time],
    )


def test_the_lag_of_no_stream_is_absent(url, stream):
    lag = read_lag(url, url, stream)
    assert (lag.state, lag.seconds, lag.wal_status, lag.applied_lsn) == ("absent", None, None, 0)


def test_O2_lag_is_counted_on_the_sources_clock(source):
    hour_ago = source.one("SELECT now() - interval '1 hour'")
    source.execute("INSERT INTO t VALUES (1)")
    write_position(source, source.start, hour_ago)
    behind = read_lag(source.url, source.url, source.stream)
    assert behind.bytes == behind.source_lsn - source.start > 0
    assert 3600 <= behind.seconds < 7200
    assert (behind.transactions, behind.events, behind.wal_status, behind.state) == (3, 4, "reserved", "idle")
    write_position(source, source.lsn() + 1000, hour_ago)
    caught_up = read_lag(source.url, source.url, source.stream)
    assert (caught_up.bytes, caught_up.seconds) == (0, 0)
    deprovision_target(source.url, source.stream)


def test_O2_an_idle_stream_beside_a_busy_neighbour_is_not_behind(source):
    hour_ago = source.one("SELECT now() - interval '1 hour'")
    write_position(source, source.start, hour_ago)
    with source.open() as capture:
        source.execute("CREATE TABLE neighbour AS SELECT generate_series(1, 1000)")
        source.drain(capture)
        capture.report()
        lag = None
        while lag is None or lag.seconds > 3000:
            capture.poll(0.05)
            lag = read_lag(source.url, source.url, source.stream)
        assert before_boundary(source.confirmed_now()) == source.start
    deprovision_target(source.url, source.stream)


def test_the_error_of_a_stopped_worker_is_shown(source):
    write_position(source, source.start, None)
    error = {"thing": "t", "reason": "r", "mend": "m"}
    source.database.execute("UPDATE strangler.stream_status SET state = 'stopped', error = %s", [Json(error)])
    lag = read_lag(source.url, source.url, source.stream)
    assert (lag.state, lag.error) == ("stopped", error)
    deprovision_target(source.url, source.stream)


def test_T09_markers_of_two_streams_at_once_on_a_server_that_is_set_to_refuse_that(database, url, stream, monkeypatch):
    """As a row, of which there is one for all streams, under whatever isolation the database asks for."""
    monkeypatch.setattr(markers, "MESSAGES", 99)
    provision_source(url, stream, [T])
    markers.emit_marker(database, "p", "first")
    name = psycopg.sql.Identifier(database.info.dbname).as_string()
    database.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
    try:
        with (
            psycopg.connect(url) as other,
            psycopg.connect(url, autocommit=True) as ours,
            ThreadPoolExecutor(1) as pool,
        ):
            other.execute("UPDATE strangler.message SET content = 'other'")
            emitted = pool.submit(markers.emit_marker, ours, "p", "ours")
            while not emitted.done() and not waits(database, ours):
                pass
            other.commit()
            assert emitted.result(30) > 0
    finally:
        database.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation".encode())
    assert database.execute("SELECT content FROM strangler.message").fetchall() == [("ours",)]


def waits(database, session):
    query = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    return database.execute(query, [session.info.backend_pid]).fetchone() is not None


def test_H03_a_table_that_joins_later_waits_for_transactions_that_wrote_to_it_before(database, url, stream):
    """What they wrote is not sent, whenever they commit: the copy has to see it."""
    database.execute("CREATE TABLE late (id int PRIMARY KEY)")
    late = TableName(name="late")
    provision_source(url, stream, [T])
    try:
        with psycopg.connect(url) as other:
            other.execute("INSERT INTO late VALUES (1)")
            for _ in range(2):
                with pytest.raises(SourceUnfit, match="open write transactions"):
                    provision_source(url, stream, [T, late], slot_timeout_s=0.3)
                assert "public.late" not in published(database, stream)
            with ThreadPoolExecutor(1) as pool:
                provisioned = pool.submit(provision_source, url, stream, [T, late])
                while "public.late" not in published(database, stream):
                    assert not provisioned.done()
                assert not provisioned.done()
                other.commit()
                assert provisioned.result(30) > 0
    finally:
        deprovision_source(url, stream)
        database.execute("DROP TABLE late")


def test_a_slot_that_the_server_still_makes_for_somebody_who_was_killed_is_waited_for(url, database, stream):
    """The server learns that a client is gone only when it has something to send."""
    database.execute(f'CREATE PUBLICATION "{stream}" FOR TABLE t WITH (publish_via_partition_root = true)')
    making = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn IS NULL"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(url) as writer,
        psycopg.connect(url, autocommit=True) as killed,
    ):
        writer.execute("INSERT INTO t VALUES (1, 'open')")
        made = pool.submit(killed.execute, f"SELECT pg_create_logical_replication_slot('{stream}', 'pgoutput')")
        while database.execute(making, [stream]).fetchone() is None:
            assert not made.done()
        with pytest.raises(SourceUnfit, match=str(writer.info.backend_pid)):
            provision_source(url, stream, [T], slot_timeout_s=0.2)
        with (
            pytest.raises(SlotMismatch, match="only being made"),
            PostgresSource(url, slot=stream, publication=stream, position=Lsn(1)),
        ):
            pass
        again = ThreadPoolExecutor(1)
        begins = again.submit(provision_source, url, stream, [T])
        writer.rollback()
        made.result(60)
        assert begins.result(60) > 0
        again.shutdown()
    assert provision_source(url, stream, [T]) == begins.result()


def test_a_table_that_is_locked_by_ddl_is_not_waited_for_without_end(url, database, stream):
    with psycopg.connect(url) as migration:
        migration.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(SourceUnfit, match=f"locked by server process {migration.info.backend_pid}"):
            provision_source(url, stream, [T], slot_timeout_s=0.3)
    assert mine(url, stream) == []
    assert provision_source(url, stream, [T]) > 0


FOREIGN = {
    "all tables": "CREATE PUBLICATION {0} FOR ALL TABLES",
    "inserts only": "CREATE PUBLICATION {0} FOR TABLE t WITH (publish = 'insert', publish_via_partition_root = true)",
    "not by the root": "CREATE PUBLICATION {0} FOR TABLE t",
    "another plugin": "SELECT pg_create_logical_replication_slot('{0}', 'test_decoding')",
    "physical": "SELECT pg_create_physical_replication_slot('{0}')",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_has_the_stream_s_name_and_is_not_ours_is_refused_with_nothing_made(url, database, stream, what):
    database.execute(FOREIGN[what].format(stream))
    with pytest.raises(SlotMismatch) as refused:
        provision_source(url, stream, [T])
    assert "another name" in refused.value.mend
    assert "None" not in refused.value.reason
    assert database.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)
    database.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [stream]
    )
    database.execute(f"DROP PUBLICATION IF EXISTS {stream}")
