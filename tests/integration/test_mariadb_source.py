"""What a binlog source refuses, what it remembers, and what it leaves out, on a real MariaDB."""

import time

import pytest

from cdc.errors import DatabaseUnreachable, SchemaChanged, SlotMismatch, SourceUnfit, TransactionTooLarge
from cdc.events import Message, Truncate
from cdc.lsn import Lsn, format_lsn
from cdc.mysql.connections import parse_url
from cdc.mysql.memory import BinlogMemory, FileMemory
from cdc.mysql.provision import (
    deprovision_mysql_source,
    emit_message,
    examine_mysql_source,
    provision_mysql_source,
)
from cdc.mysql.source import BinlogLimits, BinlogSource
from sandbox.mariadb import create_mysql_database, mariadb_server
from strangler.errors import BadInput
from tests.mariadb_pair import Mysql, need_mariadb

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server():
    need_mariadb()
    with mariadb_server() as url:
        yield url


class Shop(Mysql):
    """A database with a table `t (id, a)` and a provisioned stream."""

    def __init__(self, server, folder):
        super().__init__(create_mysql_database(server, "shop"))
        self.stream, self.memory = f"strangler_{self.database}", FileMemory(folder)
        self.execute("CREATE TABLE t (id int PRIMARY KEY, a mediumtext)")
        self.t = self.table("t")
        self.start = self.provision()

    def provision(self):
        return provision_mysql_source(self.dsn, self.stream, [self.t], memory=self.memory)

    def open(self, position=None, **options):
        source = BinlogSource(
            self.dsn,
            stream=self.stream,
            tables=[self.t],
            position=self.start if position is None else position,
            memory=self.memory,
            **options,
        )
        try:
            source.open()
        except BaseException:
            source.close()
            raise
        return source


@pytest.fixture
def shop(server, tmp_path):
    made = Shop(server, tmp_path)
    yield made
    for name, value in (("binlog_format", "ROW"), ("binlog_row_image", "FULL"), ("binlog_row_metadata", "FULL")):
        made.execute(f"SET GLOBAL {name} = {value}")
    made.close()


def changes(source, count, timeout_s=15):
    found, deadline = [], time.monotonic() + timeout_s
    while len(found) < count:
        assert time.monotonic() < deadline
        found += [change for transaction in source.poll(0.3) for change in transaction.changes]
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [("binlog_format", "MIXED"), ("binlog_row_image", "MINIMAL"), ("binlog_row_metadata", "MINIMAL")],
)
def test_settings_that_lose_data_are_refused_before_and_during(shop, name, value):
    shop.execute(f"SET GLOBAL {name} = {value}")
    with pytest.raises(SourceUnfit, match=name):
        shop.provision()
    with pytest.raises(SourceUnfit, match=name) as refused:
        shop.open()
    assert f"SET GLOBAL {name}" in refused.value.mend
    assert [finding.check for finding in examine_mysql_source(shop.dsn, [shop.t]) if not finding.ok] == [name]


def test_a_session_that_logs_less_than_the_server_was_told_to_is_noticed(shop):
    source = shop.open()
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    shop.execute("SET SESSION binlog_row_image = MINIMAL")
    shop.execute("UPDATE t SET a = 'y'")
    with pytest.raises(SourceUnfit, match="only some of its columns"):
        changes(source, 2)
    source.close()


def test_changes_that_are_logged_as_statements_are_noticed(shop):
    source = shop.open()
    other = shop.other()
    cursor = other.cursor()
    cursor.execute("SET SESSION binlog_format = STATEMENT")
    cursor.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(SourceUnfit, match="logged as text"):
        changes(source, 1)
    source.close()


def test_T12_a_purged_position_is_refused(shop):
    for _ in range(3):
        shop.execute("FLUSH BINARY LOGS")
        shop.execute("INSERT INTO t VALUES (1, 'x') ON DUPLICATE KEY UPDATE a = concat(a, 'x')")
    newest = shop.execute("SHOW BINARY LOGS")[-1]["Log_name"]
    shop.execute("PURGE BINARY LOGS TO %s", [newest])
    with pytest.raises(SlotMismatch, match="purged") as refused:
        shop.open()
    assert format_lsn(shop.start) in refused.value.reason
    assert "copy anew" in refused.value.mend


def test_T13_another_server_is_refused(shop, tmp_path):
    with mariadb_server({"server-id": "2"}) as url:
        other = Shop(url, tmp_path / "other")
        memory = shop.memory.load()
        assert isinstance(memory, BinlogMemory)
        other.memory.save(memory)
        with pytest.raises(SlotMismatch, match="another server"):
            other.open()


def test_T13_files_that_began_anew_are_refused_even_where_the_place_exists_again(shop):
    shop.execute("RESET MASTER")
    start = shop.provision()
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    source = shop.open(start)
    changes(source, 1)
    source.acknowledge(start)
    source.close()
    time.sleep(1.1)  # a file's age is known to the second
    shop.execute("RESET MASTER")
    for key in range(20, 60):
        shop.execute(f"INSERT INTO t VALUES ({key}, 'y')")
    without_gtids = shop.memory.load()
    shop.memory.save(BinlogMemory(server=without_gtids.server, position=start, gtids=None,
                                  opened_s=without_gtids.opened_s))  # fmt: skip
    with pytest.raises(SlotMismatch, match="anew"):
        source = shop.open(start)
        source.poll(3)


def test_resumes_by_gtid_once_it_remembers_one(shop):
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    source = shop.open()
    assert source.resumes_by_gtid
    (transaction,) = source.poll(5)
    assert transaction.gtid.startswith("0-1-")
    source.acknowledge(transaction.commit_lsn)
    source.close()
    assert shop.memory.load().gtids == transaction.gtid
    shop.memory.save(BinlogMemory(server=shop.memory.load().server, position=0, gtids=None))
    shop.execute("INSERT INTO t VALUES (2, 'y')")
    by_place = shop.open(transaction.commit_lsn)
    assert not by_place.resumes_by_gtid
    assert changes(by_place, 1)[0].new == ("2", "y")
    by_place.close()


def test_T11_an_idle_stream_follows_its_busy_neighbours_over_files(shop):
    source = shop.open()
    shop.execute("CREATE TABLE neighbour (id int PRIMARY KEY)")
    for key in range(3):
        shop.execute(f"INSERT INTO neighbour VALUES ({key})")
        shop.execute("FLUSH BINARY LOGS")
    (end,) = shop.execute("SHOW MASTER STATUS")
    deadline = time.monotonic() + 15
    while source.delivered_through.lsn < source_lsn(end):
        assert source.poll(0.3) == []
        assert time.monotonic() < deadline
    source.close()
    source = shop.open(source_position := Lsn(source_lsn(end)))
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    (transaction,) = source.poll(5)
    assert transaction.commit_lsn > source_position
    source.close()


def source_lsn(status):
    return (int(status["File"].split(".")[1]) << 32 | status["Position"]) - 1


def test_S07_a_table_that_is_dropped_or_renamed_stops_the_stream_and_others_do_not(shop):
    source = shop.open()
    shop.execute("CREATE TABLE aside (id int PRIMARY KEY)")
    shop.execute("ALTER TABLE aside RENAME TO beside")
    shop.execute("DROP TABLE beside")
    shop.execute("CREATE TEMPORARY TABLE t (id int)")
    shop.execute("DROP TEMPORARY TABLE t")
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    assert changes(source, 1)[0].new == ("1", "x")
    shop.execute("RENAME TABLE t TO t2")
    with pytest.raises(SchemaChanged, match="renamed"):
        changes(source, 1)
    source.close()


def test_S01_added_and_renamed_columns_arrive_with_their_rows(shop):
    source = shop.open()
    shop.execute("INSERT INTO t VALUES (1, 'x')")
    shop.execute("ALTER TABLE t ADD COLUMN b int NOT NULL DEFAULT 7, RENAME COLUMN a TO renamed")
    shop.execute("INSERT INTO t (id) VALUES (2)")
    first, second = changes(source, 2)
    assert [column.name for column in first.relation.columns] == ["id", "a"]
    assert [column.name for column in second.relation.columns] == ["id", "renamed", "b"]
    assert second.new == ("2", None, "7")
    assert first.relation.oid == second.relation.oid
    source.close()


def test_D32_a_truncate_before_any_row_and_of_another_table(shop):
    source = shop.open()
    shop.execute("CREATE TABLE other (id int PRIMARY KEY)")
    shop.execute("TRUNCATE other")
    shop.execute(f"/* comment */ TRUNCATE TABLE `{shop.database}`.`t`")
    (change,) = changes(source, 1)
    assert isinstance(change, Truncate)
    assert [relation.table for relation in change.relations] == [shop.t]
    assert [column.name for column in change.relations[0].columns] == ["id", "a"]
    source.close()


def test_T03_rolled_back_with_a_table_without_transactions_beside_it(shop):
    """Such a transaction is in the binlog, with its ROLLBACK."""
    shop.execute("CREATE TABLE loose (id int) ENGINE = MyISAM")
    source = shop.open()
    other = shop.other(autocommit=False)
    cursor = other.cursor()
    for statement in (
        "INSERT INTO t VALUES (1, 'x')", "INSERT INTO loose VALUES (1)", "ROLLBACK",
        "INSERT INTO t VALUES (2, 'x')", "SAVEPOINT s", "INSERT INTO t VALUES (3, 'x')",
        "INSERT INTO loose VALUES (2)", "ROLLBACK TO s", "INSERT INTO t VALUES (4, 'x')", "COMMIT",
    ):  # fmt: skip
        cursor.execute(statement)
    assert [change.new[0] for change in changes(source, 2)] == ["2", "4"]
    source.close()


def test_T01_a_transaction_beyond_the_bound_is_refused_and_not_cut(shop):
    source = shop.open(limits=BinlogLimits(transaction_bytes=20_000, memory_bytes=1_000))
    shop.execute("INSERT INTO t VALUES (1, repeat('x', 30000))")
    with pytest.raises(TransactionTooLarge):
        changes(source, 1)
    source.close()


def test_T01_a_huge_transaction_lies_on_disk_and_is_read_again_and_again(shop, tmp_path):
    source = shop.open(limits=BinlogLimits(memory_bytes=50_000, spill_folder=tmp_path / "spill"))
    other = shop.other(autocommit=False)
    cursor = other.cursor()
    for start in range(0, 5_000, 500):
        cursor.executemany("INSERT INTO t VALUES (%s, %s)", [(key, f"row {key}") for key in range(start, start + 500)])
    cursor.execute("UPDATE t SET a = concat(a, '!') WHERE id < 10")
    cursor.execute("DELETE FROM t WHERE id = 4999")
    other.commit()
    transactions = []
    while not transactions:
        transactions = source.poll(5)
    (transaction,) = transactions
    assert not isinstance(transaction.changes, tuple)
    assert len(transaction.changes) == 5_011
    for _ in range(2):
        found = list(transaction.changes)
        assert [change.new[0] for change in found[:5_000]] == [str(key) for key in range(5_000)]
        assert [(change.op, change.old[1]) for change in found[5_000:]] == [
            *(("u", f"row {key}") for key in range(10)), ("d", "row 4999")
        ]  # fmt: skip
    source.close()


def test_T10_prepared_transactions_are_refused_where_they_matter(shop):
    source = shop.open()
    shop.execute("CREATE TABLE aside (id int PRIMARY KEY)")
    for statement in (
        "XA START 'one'", "INSERT INTO aside VALUES (1)", "XA END 'one'", "XA PREPARE 'one'", "XA COMMIT 'one'",
        "XA START 'two'", "INSERT INTO t VALUES (1, 1)", "XA END 'two'", "XA COMMIT 'two' ONE PHASE",
    ):  # fmt: skip
        shop.execute(statement)
    assert changes(source, 1)[0].new == ("1", "1")
    for statement in ("XA START 'three'", "INSERT INTO t VALUES (2, 'x')", "XA END 'three'", "XA PREPARE 'three'"):
        shop.execute(statement)
    try:
        with pytest.raises(SourceUnfit, match="prepared"):
            changes(source, 1)
    finally:
        shop.execute("XA ROLLBACK 'three'")
    source.close()


def test_messages_and_our_own_transactions(shop):
    source = shop.open()
    position = emit_message(shop.dsn, shop.stream, "strangler.barrier", b"\x00token")
    (message,) = changes(source, 1)
    assert isinstance(message, Message)
    assert (message.prefix, message.content) == ("strangler.barrier", b"\x00token")
    assert message.lsn <= position
    shop.execute("CREATE TABLE IF NOT EXISTS strangler.stream_position (stream varchar(100) PRIMARY KEY, p bigint)")
    other = shop.other(autocommit=False)
    other.cursor().execute("INSERT INTO t VALUES (1, 'ours')")
    other.cursor().execute("REPLACE INTO strangler.stream_position VALUES ('x', 1)")
    other.commit()
    shop.execute("INSERT INTO t VALUES (2, 'theirs')")
    assert changes(source, 1)[0].new == ("2", "theirs")
    source.close()
    shop.execute("DROP TABLE strangler.stream_position")


def test_O04_deprovisioning_leaves_nothing_and_may_be_repeated(shop):
    for _ in range(2):
        deprovision_mysql_source(shop.dsn, shop.stream)
    assert not shop.execute("SELECT * FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'strangler'") or (
        shop.stream not in {row["stream"] for row in shop.execute("SELECT stream FROM strangler.stream")}
    )


def test_O03_urls_and_their_errors_show_no_password(shop):
    with pytest.raises(BadInput):
        parse_url("mysql://root@localhost/db?nonsense=1")
    with pytest.raises(BadInput):
        parse_url("postgresql://localhost/db")
    dsn = shop.dsn.replace("root@", "nobody:s3cret@")
    with pytest.raises(SourceUnfit) as refused:
        provision_mysql_source(dsn, "x", [shop.t])
    assert "s3cret" not in str(refused.value) + repr(parse_url(dsn))
    with pytest.raises(DatabaseUnreachable) as gone:
        provision_mysql_source("mysql://root:s3cret@127.0.0.1:1/x", "x", [shop.t])
    assert "s3cret" not in str(gone.value)
