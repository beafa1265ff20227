"""What MySQL and SQLite do differently from PostgreSQL, and what the targets do about it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdc.apply_batch import RowGroup
from cdc.errors import DatabaseUnreachable, TargetUnfit
from cdc.events import TableName
from cdc.lsn import Lsn
from cdc.sql_target.engine import open_engine
from cdc.sql_target.provision import applied_position
from cdc.target_port import LedgerStep, RaceLost, RowRefused
from strangler.errors import BadInput
from tests.contract.apply_targets import make_target

pytestmark = pytest.mark.integration
T = TableName(name="t")


@pytest.fixture(params=["sqlite", "mysql"])
def target(request, tmp_path):
    made = make_target(request.param, request, tmp_path)
    yield made
    made.close()


@pytest.fixture
def mysql(request, tmp_path):
    made = make_target("mysql", request, tmp_path)
    yield made
    made.close()


def open_on(target, *ddl, types=None, tables=("t",)):
    target.execute(*ddl)
    link = target.link(*tables, types={"t": types} if types else None)
    target.provision(link)
    session = target.open(link)
    session.load_position()
    return session


def group(kind, columns, *rows, key=("id",), must_match=False, table=T):
    return RowGroup(kind=kind, table=table, key=key, columns=columns, rows=rows, must_match=must_match)


def write(session, *groups, pipelined=True):
    with session.transaction(pipelined=pipelined):
        session.write(groups)


FOLDED = {
    "mysql": "CREATE TABLE t (id varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, n int)",
    "sqlite": "CREATE TABLE t (id varchar(20) COLLATE NOCASE PRIMARY KEY, n int) WITHOUT ROWID",
}


def test_d5_a_key_that_changes_only_its_case_stays_one_row(target):
    session = open_on(target, FOLDED[target.dialect])
    assert session.batching(T) == "one"
    assert not session.rules(T).exact
    write(session, group("upsert", ("id", "n"), ("A", "1")))
    write(session, group("update", ("id", "n"), ("A", "a", "2"), must_match=True))
    assert target.rows("SELECT id, n FROM t") == [("a", 2)]
    write(session, group("delete", (), ("a",), must_match=True), group("upsert", ("id", "n"), ("A", "3")))
    assert target.rows("SELECT id, n FROM t") == [("A", 3)]


@pytest.mark.parametrize("other", ["a", "A "])
def test_d5_rows_that_the_source_tells_apart_never_overwrite_each_other(target, other):
    if (target.dialect, other) == ("sqlite", "A "):
        pytest.skip("SQLite tells trailing blanks apart")
    session = open_on(target, FOLDED[target.dialect])
    write(session, group("upsert", ("id", "n"), ("A", "1")))
    with pytest.raises(RowRefused):
        write(session, group("upsert", ("id", "n"), (other, "2")))
    write(session, group("update", ("n",), (other, "3")), group("delete", (), (other,)))
    assert target.rows("SELECT id, n FROM t") == [("A", 1)]


def test_a_key_zero_is_a_key_and_a_column_that_renews_itself_is_kept(mysql):
    session = open_on(
        mysql,
        "CREATE TABLE t (id bigint PRIMARY KEY AUTO_INCREMENT, n int,"
        " at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6))",
    )
    moment = "2001-02-03 04:05:06.789+00"
    write(session, group("upsert", ("id", "n", "at"), ("0", "1", moment)))
    write(session, group("update", ("n",), ("0", "2"), must_match=True))
    write(session, group("upsert", ("id", "n"), ("0", "3")))
    assert session.read_row(T, {"id": "0"}, ("n", "at")) == {"n": "3", "at": "2001-02-03 04:05:06.789"}
    with pytest.raises(RowRefused):
        write(session, group("upsert", ("id", "at"), ("1", None)))


def test_d33_names_that_need_quoting(target):
    mark = "`" if target.dialect == "mysql" else '"'
    name = f"{mark}Or.der%s :x {'``' if mark == '`' else chr(34) * 2}{mark}"
    session = open_on(
        target, f"CREATE TABLE {name.replace('%', '%%')} ({mark}Id%%{mark} int PRIMARY KEY, {mark}select v0{mark} text)"
        if target.dialect == "mysql"
        else f"CREATE TABLE {name} ({mark}Id%{mark} int PRIMARY KEY, {mark}select v0{mark} text)", tables=(),
    )  # fmt: skip
    table, key = TableName(name=f"Or.der%s :x {mark}"), ("Id%",)
    columns = ("Id%", "select v0")
    write(session, group("upsert", columns, ("1", "a"), ("2", "b"), ("3", "c"), key=key, table=table))
    write(session, group("update", columns[1:], ("2", "B"), ("3", "C"), key=key, table=table, must_match=True))
    write(session, group("delete", (), ("1",), ("3",), key=key, table=table, must_match=True))
    assert session.read_row(table, {"Id%": "2"}, columns) == {"Id%": "2", "select v0": "B"}
    assert session.read_row(table, {"Id%": "1"}, columns) is None
    assert not session.is_empty(table)
    write(session, group("truncate", (), key=(), table=table))
    assert session.is_empty(table)


def test_composite_keys_and_t2_bulk_statements(target):
    session = open_on(target, "CREATE TABLE t (a int, b varchar(10), n int, PRIMARY KEY (a, b))", types={"b": "text"}
                      if target.dialect == "sqlite" else None)  # fmt: skip
    key = ("a", "b")
    rows = [(str(n), str(n % 7), str(n)) for n in range(3000)]
    write(session, *(group("upsert", ("a", "b", "n"), *rows[at : at + 1000], key=key) for at in range(0, 3000, 1000)))
    write(session, group("update", ("n",), *((a, b, "5") for a, b, _ in rows[:1500]), key=key, must_match=True))
    write(session, group("delete", (), *((a, b) for a, b, _ in rows[1000:]), key=key, must_match=True))
    assert target.rows("SELECT count(*), sum(n) FROM t") == [(1000, 5000)]


def test_d20_a_row_beyond_the_servers_packet_is_refused_and_the_session_lives_on(mysql):
    session = open_on(mysql, "CREATE TABLE t (id int PRIMARY KEY, a longtext)")
    session._writer._largest = 1 << 20
    write(session, group("upsert", ("id", "a"), ("1", "x" * 900_000)))
    with pytest.raises(RowRefused) as caught:
        write(session, group("upsert", ("id", "a"), ("2", "'" * 600_000)))
    assert "max_allowed_packet" in caught.value.reason
    write(session, group("upsert", ("id", "a"), ("3", "y")))
    assert mysql.rows("SELECT id, length(a) FROM t ORDER BY id") == [(1, 900_000), (3, 1)]


def test_t18_a_deadlock_is_a_lost_race(mysql):
    one = open_on(mysql, "CREATE TABLE t (id int PRIMARY KEY, n int)")
    other = mysql.open(mysql.link("t", direction="reverse", lock_timeout_s=20.0))
    write(one, group("upsert", ("id", "n"), ("1", "0"), ("2", "0")))
    both = threading.Barrier(2)

    def cross(session, first, second):
        try:
            with session.transaction(pipelined=True):
                session.write([group("update", ("n",), (first, "1"))])
                both.wait(20)
                session.write([group("update", ("n",), (second, "1"))])
        except RaceLost as lost:
            return lost.code
        return "committed"

    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(cross, one, "1", "2"), pool.submit(cross, other, "2", "1")]
        found = sorted(end.result(60) for end in ends)
    assert found[0] in ("1205", "1213")
    assert found[1] == "committed"
    write(one, group("update", ("n",), ("1", "7"), must_match=True))


def test_t6_a_session_lost_in_a_transaction_leaves_nothing_and_the_ledger_decides(mysql):
    session = open_on(mysql, "CREATE TABLE t (id int PRIMARY KEY, n int)")
    number = session._connection.exec_driver_sql("SELECT connection_id()").scalar_one()
    session._connection.rollback()
    with pytest.raises(DatabaseUnreachable), session.transaction(pipelined=True):
        session.write([group("upsert", ("id", "n"), ("1", "0"))])
        session.move_position(
            LedgerStep(position=Lsn(200), previous=Lsn(100), source_time_us=0, transactions=1, events=1)
        )
        mysql.execute(f"KILL {number}")
    session.close()
    again = mysql.open(mysql.link("t"))
    assert again.load_position() == 100
    assert mysql.rows("SELECT * FROM t") == []


def test_the_apply_session_is_strict_in_utc_and_sees_found_rows(mysql):
    session = open_on(mysql, "CREATE TABLE t (id int PRIMARY KEY, n int)")
    found = session._connection.exec_driver_sql(
        "SELECT @@sql_mode, @@time_zone, @@foreign_key_checks, @@character_set_client, @@transaction_isolation"
        if not getattr(session._connection.dialect, "is_mariadb", False)
        else "SELECT @@sql_mode, @@time_zone, @@foreign_key_checks, @@character_set_client, @@tx_isolation"
    ).one()
    assert "STRICT_ALL_TABLES" in found[0]
    assert "NO_AUTO_VALUE_ON_ZERO" in found[0]
    assert tuple(found[1:]) == ("+00:00", 0, "utf8mb4", "READ-COMMITTED")


def test_a_password_is_in_no_error(tmp_path):
    engine = open_engine("mysql+pymysql://somebody:geheim@127.0.0.1:1/db")
    engine.dispose()
    with pytest.raises(DatabaseUnreachable) as caught:
        applied_position("mysql+pymysql://somebody:geheim@127.0.0.1:1/db", "s")
    assert "geheim" not in str(caught.value)
    assert "127.0.0.1:1/db" in caught.value.thing


def test_options_of_the_url_mean_what_they_mean_for_a_source(mysql):
    session = open_on(mysql, "CREATE TABLE t (id int PRIMARY KEY, n int)")
    session.close()
    for options in ("?charset=latin1", "?ssl_mode=disabled&zero_dates=null"):
        engine = open_engine(mysql.dsn + options)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT @@character_set_client").scalar_one() == "utf8mb4"
        engine.dispose()
    with pytest.raises(BadInput):
        open_engine(mysql.dsn + "?ssl_mod=required")
    with pytest.raises(TargetUnfit):
        open_engine("nosuch://h/db")
    with pytest.raises(TargetUnfit):
        open_engine("sqlite://")


def test_a_server_that_speaks_no_tls_is_not_spoken_to_when_tls_is_required(mysql):
    with pytest.raises(DatabaseUnreachable):
        applied_position(f"{mysql.dsn}?ssl_mode=required", "s")
