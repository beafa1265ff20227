"""`strangler cdc tail --source mysql://…` on a real MariaDB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.mariadb import create_mysql_database, mariadb_server
from tests.mariadb_pair import Mysql, need_mariadb

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url():
    need_mariadb()
    with mariadb_server() as made:
        yield made


def tail(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "cli.py", "cdc", "tail", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if code == 0 else done.stderr


def test_debezium_events_with_the_connectors_source_block(url):
    source = Mysql(create_mysql_database(url, "store"))
    source.execute("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20), price decimal(10,2), at datetime(6))")
    source.execute("INSERT INTO t VALUES (1, 'a', 1.25, '2024-01-01 00:00:00.5'), (2, NULL, -3.00, NULL)")
    source.execute("UPDATE t SET id = 3 WHERE id = 2")
    source.execute("TRUNCATE TABLE t")
    events = tail("--source", source.dsn, "--table", "t", "--until-now")
    topic = f"strangler.{source.database}.t"
    assert {event["topic"] for event in events} == {topic}
    values = [event["value"] for event in events]
    assert [value and value["op"] for value in values] == ["c", "c", "d", None, "c", "t"]
    assert [event["key"] for event in events[:5]] == [{"id": 1}, {"id": 2}, {"id": 2}, {"id": 2}, {"id": 3}]
    assert values[0]["after"]["name"] == "a"
    assert values[0]["after"]["at"] == 1_704_067_200_500_000
    block = values[1]["source"]
    assert block["connector"] == "mariadb"
    assert (block["db"], block["table"], block["row"], block["snapshot"]) == (source.database, "t", 1, "false")
    assert block["file"].startswith("binlog.")
    assert block["gtid"].startswith("0-1-")
    assert block["query"].startswith("INSERT INTO t VALUES")
    assert block["server_id"] == 1
    assert 4 < block["pos"] == values[0]["source"]["pos"]


def test_lossless_and_schemas(url):
    source = Mysql(create_mysql_database(url, "store"))
    source.execute("CREATE TABLE t (id bigint unsigned PRIMARY KEY, d double)")
    source.execute("INSERT INTO t VALUES (18446744073709551615, 0.1)")
    lossless = tail("--source", source.dsn, "--table", "t", "--until-now", "--format", "lossless")
    assert "18446744073709551615" in json.dumps(lossless)
    (event,) = tail("--source", source.dsn, "--table", "t", "--until-now", "--schemas")
    fields = {field["field"]: field for field in event["value"]["schema"]["fields"]}
    assert fields["source"]["name"] == "io.debezium.connector.mariadb.Source"
    names = [field["field"] for field in fields["source"]["fields"]]
    assert sorted(names) == sorted(event["value"]["payload"]["source"])


def test_a_table_that_does_not_exist_is_refused(url):
    source = Mysql(create_mysql_database(url, "store"))
    assert "nothing_here" in tail("--source", source.dsn, "--table", "nothing_here", "--until-now", code=3)


def test_what_is_wrong_with_a_url_is_said_by_name(url):
    server = create_mysql_database(url, "named")
    wrong = server.replace("root@", "root:hidden@")
    for source, code, said in (
        (wrong, 3, "correct user and password"),
        (f"{server}?ssl_mode=verify_ca&ssl_ca=/nowhere/ca.pem", 2, "ssl_ca=/nowhere/ca.pem"),
    ):
        error = tail("--source", source, "--table", "t", "--until-now", code=code)
        assert said in " ".join(error.split()), source
        assert "hidden" not in error
