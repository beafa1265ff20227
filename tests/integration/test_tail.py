"""`strangler cdc tail` and what is under it, against a real server."""

import json
import threading
import uuid
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from cdc.changelog.local import LocalChangeLog
from cdc.debezium.lossless import LosslessReader
from cdc.errors import LogNotFound, SourceUnfit
from cdc.events import Message, RowChange, TableName
from cdc.provision import find_leftovers
from cdc.tail import tail_database, tail_log
from cli import strangler
from sandbox.postgres import create_database
from strangler.errors import StranglerError
from tests.capture import EMPTY, capturing
from tests.postgres_majors import need_major

pytestmark = pytest.mark.integration

T = TableName(name="t")
DDL = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, v text, m mood, b bool, c char(5))"


@pytest.fixture(scope="module")
def url(postgres_url):
    return create_database(postgres_url, f"tail_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def database(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DDL)
        yield connection
        connection.execute(EMPTY)


def new_name():
    return f"strangler_tail_{uuid.uuid4().hex[:8]}"


def ops(transactions):
    return ["m" if isinstance(change, Message) else change.op for each in transactions for change in each.changes]


def run(*arguments):
    return CliRunner().invoke(strangler, ["cdc", "tail", *arguments])


def test_tail_of_a_change_log(url, tmp_path):
    need_major(url, 14, "messages are decoded")
    with capturing(url, "CREATE TABLE t (id int PRIMARY KEY, v text)", "t") as source:
        source.execute(
            "INSERT INTO t VALUES (1, 'a')", "SELECT pg_logical_emit_message(true, 'p', 'x')", "DELETE FROM t"
        )
        captured = source.captured()
    log = LocalChangeLog(tmp_path / "log")
    log.append(captured)
    folder = tmp_path / "log"
    assert ops(tail_log(folder, until_now=True)) == ["c", "m", "d"]
    assert ops(tail_log(folder, tables=[T], until_now=True)) == ["c", "d"]
    assert ops(tail_log(folder, tables=[TableName(name="other")], until_now=True)) == []
    assert ops(tail_log(folder, after=captured[1].commit_lsn, until_now=True)) == ["d"]
    following = tail_log(folder, after=captured[-2].commit_lsn)
    assert ops([next(following)]) == ["d"]
    following.close()
    log.close()
    with pytest.raises(LogNotFound):
        next(tail_log(tmp_path / "absent", until_now=True))


def test_tail_of_a_database_misses_nothing_between_snapshot_and_stream(url, database):
    database.execute("INSERT INTO t SELECT g, 'there' FROM generate_series(-1500, 0) g")
    name, stop = new_name(), threading.Event()

    def write():
        with psycopg.connect(url, autocommit=True) as writer:
            number = 1
            while not stop.wait(0.005):
                writer.execute("INSERT INTO t VALUES (%s)", [number])
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    transactions = tail_database(url, [T], name=name, snapshot=True)
    rows = []
    while not rows or rows[-1][0] != "c":
        rows += [(change.op, int(change.new[0])) for change in next(transactions).changes]
    for _ in range(20):
        rows += [(change.op, int(change.new[0])) for change in next(transactions).changes]
    stop.set()
    writer.join()
    transactions.close()
    numbers = [number for _, number in rows]
    assert sorted(numbers) == list(range(-1500, max(numbers) + 1))
    assert [op for op, _ in rows] == sorted((op for op, _ in rows), reverse=True)
    assert [each.name for each in find_leftovers(url) if each.name == name] == []


def test_a_snapshot_has_the_text_forms_of_the_stream(url, database):
    database.execute("INSERT INTO t VALUES (1, NULL, 'ok', true, 'ab')")
    (transaction,) = tail_database(url, [T], name=new_name(), snapshot=True, until_now=True)
    (change,) = transaction.changes
    assert isinstance(change, RowChange)
    assert (change.op, change.new) == ("r", ("1", None, "ok", "t", "ab   "))
    assert [column.in_key for column in change.relation.columns] == [True, False, False, False, False]


def test_the_command_prints_debezium_records_and_exits(url, database):
    database.execute("INSERT INTO t VALUES (1, 'a', 'ok', true, 'ab'), (2, NULL, NULL, NULL, NULL)")
    done = run("--source", url, "--table", "t", "--until-now", "--format", "debezium")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line) for line in lines] == [["topic", "key", "value"]] * 2
    assert (lines[0]["topic"], lines[0]["key"]) == ("strangler.public.t", {"id": 1})
    assert lines[0]["value"]["after"] == {"id": 1, "v": "a", "m": "ok", "b": True, "c": "ab   "}
    assert lines[0]["value"]["source"]["db"] == url.rpartition("/")[2].partition("?")[0]
    assert (lines[0]["value"]["op"], lines[0]["value"]["source"]["snapshot"]) == ("r", "true")
    assert run("--source", url, "--table", "t", "--until-now", "--no-snapshot").stdout == ""


def test_schemas_and_modes(url, database):
    database.execute("INSERT INTO t VALUES (1, 'a', 'ok')")
    done = run("--source", url, "--table", "t", "--until-now", "--schemas", "--topic-prefix", "shop")
    (line,) = done.stdout.splitlines()
    record = json.loads(line)
    assert record["key"]["payload"] == {"id": 1}
    assert record["key"]["schema"]["name"] == "shop.public.t.Key"
    fields = {each["field"]: each for each in record["value"]["schema"]["fields"][1]["fields"]}
    assert fields["m"]["parameters"] == {"allowed": "sad,ok"}


def test_the_lossless_format_comes_back_exactly(url, database):
    database.execute("INSERT INTO t VALUES (1, NULL, 'ok', true, 'ab')")
    done = run("--source", url, "--table", "t", "--until-now", "--format", "lossless")
    reader = LosslessReader()
    (transaction,) = [each for line in done.stdout.splitlines() if (each := reader.feed(line))]
    (change,) = transaction.changes
    assert (change.op, change.new) == ("r", ("1", None, "ok", "t", "ab   "))


def test_refusals_name_the_thing_and_the_mend(url, database):
    for arguments, exit_code, said in (
        (["--source", url], 2, "no table is named"),
        (["--source", url, "--table", "absent"], 3, "absent"),
        (["--source", "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2", "--table", "t"], 4, "127.0.0.1:1"),
        (["--source", "nonsense", "--table", "t"], 4, "not a PostgreSQL URL"),
        (["--source", "", "--table", "t"], 4, "is empty"),
        (["--source", "postgresql://u:hidden@[::1/x", "--table", "t"], 4, "not a PostgreSQL URL"),
        (["--source", "postgresql://u:top@hidden@127.0.0.1:1/x", "--table", "t"], 4, "%40"),
        (["--source", "mysql://u:hidden@[::1/x", "--table", "x.t"], 2, "host or port"),
        (["--source", "mysql://u:hidden@h:port/x", "--table", "t"], 2, "host or port"),
        (["--source", url, "--table", ""], 2, "is no name of a table"),
        (["--source", url, "--table", "t\udcff"], 2, "is no name of a table"),
        (["shop", "--source", url, "--table", "t"], 2, "not service shop"),
    ):
        done = run(*arguments, "--until-now")
        assert isinstance(done.exception, StranglerError), arguments
        assert said in str(done.exception), arguments
        assert "hidden" not in str(done.exception)
        assert done.exception.exit_code == exit_code, arguments
    database.execute("CREATE TABLE keyless (v text)")
    with pytest.raises(SourceUnfit, match="keyless"):
        list(tail_database(url, [TableName(name="keyless")], name=new_name(), until_now=True))


def test_D33_a_name_with_a_dot_is_written_in_quotes_and_a_table_named_twice_is_there_once(url, database):
    database.execute('CREATE TABLE "a.b""c" (id int PRIMARY KEY); INSERT INTO "a.b""c" VALUES (1)')
    for typed in ('"a.b""c"', 'public."a.b""c"'):
        done = run("--source", url, "--table", typed, "--table", '"a.b""c"', "--until-now", "--format", "lossless")
        assert [json.loads(line)["kind"] for line in done.stdout.splitlines()].count("row") == 1


UNHEARD = {
    "left out": "ALTER PUBLICATION {} DROP TABLE t",
    "for a time": "ALTER PUBLICATION {0} DROP TABLE t; ALTER PUBLICATION {0} ADD TABLE t",
    "in part": "ALTER PUBLICATION {} SET (publish = 'insert')",
    "publication gone": "DROP PUBLICATION {}",
    "renamed": "ALTER TABLE t RENAME TO t2",
    "made anew": "ALTER TABLE t RENAME TO t2; CREATE TABLE t (id int PRIMARY KEY)",
}


@pytest.mark.parametrize("how", UNHEARD)
def test_S07_H12_who_follows_is_told_when_a_table_is_not_heard_of_any_more(url, database, how):
    database.execute("INSERT INTO t VALUES (1, 'a', 'ok')")
    name = new_name()
    with closing(tail_database(url, [T], name=name, snapshot=True)) as found:
        assert ops([next(found)]) == ["r"]
        database.execute("UPDATE t SET v = 'b'")
        assert ops([next(found)]) == ["u"]  # the snapshot is over, with its locks
        database.execute(UNHEARD[how].format(name))
        with pytest.raises(SourceUnfit, match=r"table t: .*events end"):
            next(found)
    assert [each for each in find_leftovers(url) if each.kind != "origin"] == []  # those are of the whole server


def test_the_document_of_the_command_is_there():
    assert "--time-precision-mode" in (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
