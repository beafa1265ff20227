"""Scenarios of the running worker: both directions, a second worker, errors that stop and heal."""

import shutil
import threading

import psycopg
import pytest

from cdc.canary import exercise
from cdc.changelog.local import LocalChangeLog
from cdc.copy_requests import request_copy
from cdc.errors import ApplyFailed, BrokerUnreachable, PositionExpired, StreamBusy
from cdc.events import RowChange
from cdc.link import LinkLimits
from cdc.positions import applied_position
from cdc.worker import StreamWorker
from tests.catalog_mapping import CATALOG, LEGACY_DDL, SERVICE_DDL
from tests.integration.test_worker_copy import assert_same, copied, running, seed, settle, until
from tests.stream_pair import StreamPair, identical

pytestmark = pytest.mark.scenario

STATUS = "SELECT state, error ->> 'thing' FROM strangler.stream_status WHERE stream = %s"


@pytest.fixture
def make_pair(new_database, tmp_path):
    made = []

    def make(mapping, source_ddl, target_ddl, **options):
        limits = {"status_s": 0.05, **options.pop("limits", {})}
        move = f"w{tmp_path.name[-8:]}".replace("-", "_").lower()
        pair = StreamPair(new_database, tmp_path, move, mapping, source_ddl, target_ddl, limits=limits, **options)
        made.append(pair)
        pair.provision()
        return pair

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def catalog(make_pair):
    return make_pair(CATALOG, LEGACY_DDL, SERVICE_DDL)


def status(pair):
    return pair.target.execute(STATUS, (pair.link.stream,)).fetchone()


def test_R02_what_one_direction_applied_never_comes_back(catalog):
    pair, reverse = catalog, catalog.make_link("reverse")
    pair.source.execute(seed(50))
    pair.provision(reverse)
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running([pair.link, reverse]):
        until(lambda: copied(pair.link) == ["done"] * 4)
        pair.target.execute("UPDATE products SET title = 'from service', lifecycle = 'live' WHERE product_id = 7")
        pair.target.execute("INSERT INTO categories (category_id, title, slug) VALUES (999, 'x', 'x')")
        pair.target.execute("UPDATE product_descriptions SET body = 'new' WHERE product_id = 8")
        settle(reverse)
        pair.source.execute("UPDATE product SET name = 'from legacy' WHERE id = 9")
        settle(pair.link)
        settle(reverse)
        assert_same(pair)
    applied = "SELECT events FROM strangler.stream_position WHERE stream = %s"
    ((events,),) = pair.source.execute(applied, (reverse.stream,)).fetchall()
    assert events == 3 + 2, "the service's three changes and two barriers, nothing that the forward stream wrote"


def test_T14_a_second_worker_is_refused(catalog):
    pair = catalog
    with running([pair.link]) as first:
        until(lambda: first.views()[pair.link.stream].state == "streaming")
        other = pair.make_link("forward")
        object.__setattr__(other, "log_folder", pair.folder / "elsewhere")
        object.__setattr__(other, "limits", LinkLimits(takeover_s=0.2))
        with pytest.raises(StreamBusy):
            StreamWorker([other]).run(threading.Event())


def test_T07_an_idle_stream_follows_the_log_of_its_neighbours_but_passes_nothing(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    pair = make_pair(identical(("t", "id")), ddl, ddl, follows_copy=False)
    pair.source.execute("CREATE TABLE neighbour (v text)")
    position = "SELECT commit_lsn FROM strangler.stream_position"
    with running([pair.link]):
        ((before,),) = pair.rows(position)
        pair.source.execute("INSERT INTO neighbour SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
        until(lambda: pair.rows(position) != [(before,)])
        for number in range(20):
            pair.source.execute("INSERT INTO neighbour VALUES ('y')")
            pair.source.execute("INSERT INTO t VALUES (%s)", (number,))
        settle(pair.link)
        assert pair.rows("SELECT count(*) FROM t") == [(20,)]


def test_a_log_that_cannot_be_read_at_the_start_is_tried_again_and_the_stream_is_free_for_that(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    pair = make_pair(identical(("t", "id")), ddl, ddl, limits={"retry_min_s": 0.02, "takeover_s": 0.2})
    failures, is_back = [], threading.Event()

    class Log(LocalChangeLog):
        def read(self, after):
            if not is_back.is_set():
                failures.append(after)
                raise BrokerUnreachable(thing="log", reason="no broker answers", mend="start it")
            return super().read(after)

    with running([pair.link], open_log=lambda link: Log(link.log_folder)) as worker:
        until(lambda: len(failures) > 3)
        until(lambda: worker.views()[pair.link.stream].state == "retrying")
        assert worker.views()[pair.link.stream].error["reason"] == "no broker answers"
        is_back.set()
        until(lambda: worker.views()[pair.link.stream].state == "streaming")


def test_R6_a_pusher_that_fails_ends_nothing_and_is_called_again():
    called = []

    def push():
        called.append(len(called))
        raise [ApplyFailed(thing="t", reason="r", mend="m"), psycopg.errors.AdminShutdown("ended")][len(called) % 2]

    with running([], push_sequences=push):
        until(lambda: len(called) > 2)


def test_a_change_log_that_was_lost_is_a_gap_that_readers_are_told_of(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    pair = make_pair(identical(("t", "id")), ddl, ddl, follows_copy=False)
    began = applied_position(pair.target_dsn, pair.link.stream)

    def written_while_running(number):
        with running([pair.link]):
            pair.source.execute("INSERT INTO t VALUES (%s)", (number,))
            settle(pair.link)

    def ids_in_log(after):
        found = LocalChangeLog(pair.link.log_folder, read_only=True).read(after)
        return [change.new[0] for one in found for change in one.changes if isinstance(change, RowChange)]

    written_while_running(1)
    assert ids_in_log(began) == ["1"], "a log that was there from the start holds all after the first position"
    lost_at = applied_position(pair.target_dsn, pair.link.stream)
    shutil.rmtree(pair.link.log_folder)
    written_while_running(2)
    written_while_running(3)
    with pytest.raises(PositionExpired):
        ids_in_log(began)
    assert ids_in_log(lost_at) == ["2", "3"]
    assert pair.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]


def test_T17_T19_a_refused_row_stops_the_stream_loudly_and_it_goes_on_when_mended(make_pair):
    pair = make_pair(
        identical(("t", "id v")),
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "CREATE TABLE t (id int PRIMARY KEY, v varchar(3))",
        follows_copy=False,
        on_bad_row="stop",
    )
    with running([pair.link]):
        pair.source.execute("INSERT INTO t VALUES (1, 'abc')")
        pair.source.execute("INSERT INTO t VALUES (2, 'too long')")
        pair.source.execute("INSERT INTO t VALUES (3, 'x')")
        until(lambda: status(pair) == ("stopped", "upsert of t row id=2"))
        assert pair.rows("SELECT id FROM t") == [(1,)]
        pair.target.execute("ALTER TABLE t ALTER v TYPE text")
        settle(pair.link)
        assert pair.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]
        until(lambda: status(pair) == ("streaming", None))
        # The target throws everybody out: the worker comes back by itself.
        pair.target.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        pair.source.execute("INSERT INTO t VALUES (4, 'later')")
        settle(pair.link)
        pair.source.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        pair.source.execute("INSERT INTO t VALUES (5, 'latest')")
        settle(pair.link)
        assert pair.rows("SELECT count(*) FROM t") == [(5,)]


def test_T18_a_deadlock_is_tried_again_whole(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY, v int)"
    pair = make_pair(identical(("t", "id v")), ddl, ddl, follows_copy=False, limits={"lock_timeout_s": 0.05})
    with running([pair.link]):
        pair.source.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
        settle(pair.link)
        with pair.target.transaction():
            pair.target.execute("UPDATE t SET v = -1 WHERE id = 2")
            with pair.source.transaction():
                pair.source.execute("UPDATE t SET v = 1 WHERE id = 1")
                pair.source.execute("UPDATE t SET v = 2 WHERE id = 2")
            with pytest.raises(AssertionError):
                until(lambda: pair.rows("SELECT 1 FROM t WHERE v > 0"), 0.3)
        settle(pair.link)
    assert pair.rows("SELECT * FROM t ORDER BY id") == [(1, 1), (2, 2)]


def test_H08_a_filled_target_stops_the_copy_but_not_the_stream(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    pair = make_pair(identical(("t", "id")), ddl, ddl)
    pair.source.execute("INSERT INTO t VALUES (1), (2)")
    pair.target.execute("INSERT INTO t VALUES (7)")
    request_copy(pair.target_dsn, pair.link.stream, pair.link.mapper.source_tables)
    with running([pair.link]):
        until(lambda: status(pair) == ("stopped", "target table t"))
        assert exercise(pair.source_dsn, pair.target_dsn, pair.link.stream, 20) < 20
        pair.target.execute("DELETE FROM t")
        until(lambda: copied(pair.link) == ["done"])
        settle(pair.link)
    assert pair.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,)]


def test_R03_a_stray_change_stops_the_stream_until_somebody_looks(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY)"
    pair = make_pair(identical(("t", "id")), ddl, ddl, follows_copy=False)
    pair.target.execute("CREATE TABLE strangler.ownership (move text PRIMARY KEY, owner text)")
    pair.target.execute("INSERT INTO strangler.ownership VALUES (%s, 'service')", (pair.move,))
    with running([pair.link]):
        assert exercise(pair.source_dsn, pair.target_dsn, pair.link.stream, 20) < 20
        pair.source.execute("INSERT INTO t VALUES (1)")
        until(lambda: status(pair) == ("stopped", f"legacy changed tables of move {pair.move}"))
    assert pair.rows("SELECT * FROM t") == []
    assert status(pair)[0] == "stopped", "a stopped stream stays stopped when its worker ends"


def test_T19_the_worker_serves_what_people_ask_about_parked_rows(make_pair):
    pair = make_pair(
        identical(("t", "id v")),
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "CREATE TABLE t (id int PRIMARY KEY, v varchar(3))",
        follows_copy=False,
        limits={"parked_rows": 2},
    )
    parked = "SELECT key ->> 'id' FROM strangler.parked_row ORDER BY id"
    with running([pair.link]):
        for number in range(4):
            pair.source.execute("INSERT INTO t VALUES (%s, 'too long')", (number,))
        until(lambda: status(pair) == ("stopped", f"stream {pair.link.stream}"))
        pair.target.execute("UPDATE strangler.parked_row SET request = 'skip' WHERE key ->> 'id' = '0'")
        pair.target.execute("ALTER TABLE t ALTER v TYPE text")
        pair.target.execute("UPDATE strangler.parked_row SET request = 'retry' WHERE key ->> 'id' = '1'")
        until(lambda: pair.rows(parked) == [])
        settle(pair.link)
        until(lambda: status(pair) == ("streaming", None))
    assert pair.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]
    assert pair.rows("SELECT key ->> 'id' FROM strangler.parked_audit") == [("0",)]


def test_T17_a_target_that_is_away_makes_the_stream_wait_and_lose_nothing(make_pair):
    ddl = "CREATE TABLE t (id int PRIMARY KEY, v text)"
    limit = 1 << 20
    pair = make_pair(identical(("t", "id v")), ddl, ddl, follows_copy=False, limits={"log_backlog_bytes": limit})
    database = pair.target.info.dbname
    with running([pair.link]) as worker, psycopg.connect(pair.source_dsn, autocommit=True) as admin:

        def view():
            return worker.views()[pair.link.stream]

        until(lambda: view().state == "streaming")
        admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        for number in range(40):
            pair.source.execute(
                "INSERT INTO t SELECT %s + g, repeat('x', 1000) FROM generate_series(1, 200) g", (number * 200,)
            )
        until(lambda: view().state == "retrying" and view().lag_bytes > limit)
        assert view().error["error"] == "DatabaseUnreachable"
        admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
        until(lambda: view().state == "streaming")
        settle(pair.link)
    with psycopg.connect(pair.target_dsn) as target:
        query = "SELECT count(*), sum(id), sum(length(v)) FROM t"
        assert target.execute(query).fetchone() == pair.source.execute(query).fetchone()
        assert target.execute("SELECT count(*) FROM strangler.parked_row").fetchone() == (0,)
