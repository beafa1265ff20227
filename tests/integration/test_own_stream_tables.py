"""A stream of its own follows the tables that it was begun with: another would be copied and never followed."""

import contextlib
import json
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

import cli
from cdc.copy_requests import copy_progress
from cdc.errors import MappingInvalid, RowsParked, SchemaChanged, SourceUnfit
from cdc.lag import read_lag
from cdc.lsn import ZERO
from cdc.positions import emit_barrier, wait_applied
from cdc.provision import find_leftovers
from cdc.worker import StreamWorker
from commands.own_stream import OwnStream
from sandbox.mariadb import create_mysql_database
from strangler.errors import BadInput
from tests.mariadb_pair import Mysql
from tests.sql_pair import until

pytestmark = pytest.mark.integration

DDL = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); CREATE SCHEMA s; CREATE TABLE s.w ()"


def stream_of_t(new_database, tmp_path):
    """Between two empty databases."""
    return OwnStream(
        name=f"o{tmp_path.name[-6:].replace('-', '_').lower()}",
        source_dsn=new_database("source"),
        target_dsn=new_database("target"),
        tables=("t",),
        state=tmp_path,
    )


@pytest.fixture
def stream(new_database, tmp_path):
    ends = {"source_dsn": new_database("source"), "target_dsn": new_database("target"), "state": tmp_path}
    for dsn in (ends["source_dsn"], ends["target_dsn"]):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(DDL)
            connection.execute("ALTER TABLE s.w ADD id int PRIMARY KEY")

    def make(*tables, **options):
        return OwnStream(name=f"o{tmp_path.name[-6:].replace('-', '_').lower()}", tables=tables, **ends, **options)

    yield make
    make("t").remove()


@pytest.mark.parametrize("copies", [True, False])
def test_other_tables_than_it_was_begun_with_are_refused(stream, copies):
    stream("t", "s.w=s.w", copies=copies).provision()
    stream("s.w=s.w", "t", copies=copies).provision()
    for tables, other in ((("t", "s.w=s.w", "u"), "u"), (("t",), "s.w"), (("u",), "s.w, t, u")):
        with pytest.raises(BadInput, match=f"begun with tables s.w, t; {other} would not be followed") as refused:
            stream(*tables, copies=copies).provision()
        assert "--remove" in refused.value.mend
    stream("t").remove()
    stream("t", "u", copies=copies).provision()


def test_a_source_that_is_refused_leaves_nothing_in_the_target(new_database, tmp_path):
    own = OwnStream(
        name="refused",
        source_dsn=new_database("source"),
        target_dsn=new_database("target"),
        tables=("t",),
        state=tmp_path,
    )
    for dsn, ddl in ((own.source_dsn, "CREATE UNLOGGED TABLE"), (own.target_dsn, "CREATE TABLE")):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"{ddl} t (id int PRIMARY KEY)")
    others = find_leftovers(own.target_dsn)  # an origin belongs to the whole server
    with pytest.raises(SourceUnfit, match="unlogged"):
        own.provision()
    assert find_leftovers(own.target_dsn) == others
    with psycopg.connect(own.target_dsn, autocommit=True) as target:
        assert target.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_made(new_database, tmp_path):
    (tmp_path / "file").touch()
    own = OwnStream(
        name="folder",
        source_dsn=new_database("source"),
        target_dsn=new_database("target"),
        tables=("t",),
        state=tmp_path / "file",
    )
    others = find_leftovers(own.source_dsn)
    with pytest.raises(BadInput, match="cannot be made") as refused:
        own.provision()
    assert "--state" in refused.value.mend
    assert find_leftovers(own.source_dsn) == find_leftovers(own.target_dsn) == others


def test_a_table_that_would_be_followed_into_itself_is_refused(new_database, mariadb_url, tmp_path):
    """Else the stream would ask to empty its target, which is the source."""
    ddl = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)"
    postgres, other = new_database("one"), new_database("other")
    for dsn in (postgres, other):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(ddl)
    mysql = create_mysql_database(mariadb_url, f"one_{uuid.uuid4().hex[:8]}")
    with contextlib.closing(Mysql(mysql)) as connection:
        for statement in ddl.split(";"):
            connection.execute(statement)

    def link(source, target, table):
        return OwnStream(name="o", source_dsn=source, target_dsn=target, tables=(table,), state=tmp_path).link()

    for dsn in (postgres, mysql):
        with pytest.raises(BadInput, match="same in source and target"):
            link(dsn, dsn, "t")
        link(dsn, dsn, "t=u")
    link(postgres, other, "t")


def test_a_column_that_only_the_target_has_keeps_what_the_target_gives_it(new_database, tmp_path):
    own = stream_of_t(new_database, tmp_path)
    with (
        psycopg.connect(own.source_dsn, autocommit=True) as source,
        psycopg.connect(own.target_dsn, autocommit=True) as target,
    ):
        source.execute("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'copied')")
        target.execute("CREATE TABLE t (more int NOT NULL DEFAULT 7, id int PRIMARY KEY, v text, maybe text)")
        own.provision()
        with working(own) as settle:
            until(lambda: all(each.state == "done" for each in copy_progress(own.target_dsn, own.stream)))
            target.execute("UPDATE t SET maybe = 'mine'")
            source.execute("INSERT INTO t SELECT g, 'new' FROM generate_series(2, 4) g; UPDATE t SET v = 'changed'")
            settle()
            assert target.execute("SELECT * FROM t ORDER BY id").fetchall() == [
                (7, 1, "changed", "mine"), *((7, id, "changed", None) for id in (2, 3, 4)),
            ]  # fmt: skip
        target.execute("ALTER TABLE t ALTER more DROP DEFAULT")
        with pytest.raises(MappingInvalid, match="NOT NULL and has no default"):
            own.link()
    own.remove()


@pytest.mark.parametrize("tables", [("t", "t"), ("t=t", "public.t=u"), ("t", "u=t"), ("=t",), ("a.",)])
def test_tables_that_are_named_twice_or_not_at_all_are_refused(tmp_path, tables):
    own = OwnStream(name="o", source_dsn="host=h", target_dsn="host=h", tables=tables, state=tmp_path)
    with pytest.raises(BadInput, match=r"named twice|is no name of a table"):
        own.link()


LOSSES = {
    "taken out": ("ALTER PUBLICATION {slot} DROP TABLE t", "t: was taken out of the publication"),
    "out and in again": (
        "ALTER PUBLICATION {slot} DROP TABLE t; INSERT INTO t VALUES (1); ALTER PUBLICATION {slot} ADD TABLE t",
        "t: was taken out of the publication for a time",
    ),
    "without deletes": ("ALTER PUBLICATION {slot} SET (publish = 'insert')", "[tp]: is published without some"),
    "some rows": ("ALTER PUBLICATION {slot} SET TABLE t WHERE (id > 5), p", "t: .*row filter"),
    "no publication": ("DROP PUBLICATION {slot}", "[tp]: has lost its publication"),
    "renamed": ("ALTER TABLE t RENAME TO t2", "t: was renamed to t2"),
    "dropped and made anew": ("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY)", "t: was dropped"),
    "attached with rows": (
        "CREATE TABLE p2 (id int PRIMARY KEY); INSERT INTO p2 VALUES (150);"
        " ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (100) TO (200)",
        "p: partition public.p2 was attached with rows",
    ),
    "without identity": ("ALTER TABLE t REPLICA IDENTITY NOTHING", "t: has no replica identity any more"),
}


@pytest.fixture
def standing(new_database, tmp_path):
    """A stream of t and of p, which is partitioned, into a file; a connection to its source."""
    name = f"o{tmp_path.name[-6:].replace('-', '_').lower()}"
    source, path = new_database("source"), tmp_path / "target.db"
    with sqlite3.connect(path) as target:
        target.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE p (id INTEGER PRIMARY KEY)")
    target.close()
    stream = OwnStream(
        name=name, source_dsn=source, target_dsn=f"sqlite:///{path}", tables=("t=t", "p=p"), state=tmp_path / "state"
    )
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY) PARTITION BY"
            " RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)"
        )
        stream.provision()
        yield stream, connection
    stream.remove()


@pytest.mark.parametrize("what", LOSSES)
def test_H12_H13_S07_what_no_event_says_is_found_and_stays_said(standing, what):
    stream, source = standing
    link = stream.link()
    assert link.evolution is not None
    link.evolution.look(ZERO)
    statements, said = LOSSES[what]
    if what == "some rows" and source.info.server_version < 150_000:
        pytest.skip("publications have row filters from PostgreSQL 15 on")
    source.execute(statements.format(slot=stream.stream))
    for _ in range(2):
        with pytest.raises(SchemaChanged, match=f"table {said}"):
            link.evolution.look(ZERO)


def test_H13_upkeep_of_partitions_stops_nothing(standing):
    stream, source = standing
    source.execute("CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (300) TO (400)")
    source.execute("VACUUM FULL t")
    source.execute("ALTER TABLE p DETACH PARTITION p1")
    stream.link().evolution.look(ZERO)


def test_S07_changes_under_another_name_are_said_though_the_name_is_back(standing):
    stream, source = standing
    with working(stream) as settle:
        with source.transaction():
            source.execute("ALTER TABLE t RENAME TO t9; INSERT INTO t9 VALUES (1); ALTER TABLE t9 RENAME TO t")
        source.execute("INSERT INTO p VALUES (1)")
        settle()
        until(lambda: read_lag(stream.source_dsn, stream.target_dsn, stream.stream).state == "stopped")
        said = read_lag(stream.source_dsn, stream.target_dsn, stream.stream).error
        assert "was renamed to t9" in said["reason"]
        assert "--remove" in said["mend"]
    with pytest.raises(SchemaChanged, match="renamed to t9"):
        stream.link().evolution.look(ZERO)


@contextlib.contextmanager
def working(stream):
    """A worker, as a start of the command makes it; yields what waits until all that was written is applied."""
    stop, worker = threading.Event(), StreamWorker([stream.link()])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(worker.run, stop)
        try:
            yield lambda: wait_applied(
                stream.target_dsn, stream.stream, emit_barrier(stream.source_dsn, stream.stream, "x"), timeout_s=120
            )
        finally:
            stop.set()
            running.result(120)


def parked(stream, *arguments):
    ends = ["--source", stream.source_dsn, "--target", stream.target_dsn, "--name", stream.name]
    done = CliRunner().invoke(cli.strangler, ["parked", *arguments, *ends])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_T19_S01_rows_and_tables_of_a_stream_of_its_own_are_parked_and_come_back(new_database, tmp_path):
    stream = stream_of_t(new_database, tmp_path)
    with (
        psycopg.connect(stream.source_dsn, autocommit=True) as source,
        psycopg.connect(stream.target_dsn, autocommit=True) as target,
    ):
        source.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        target.execute("CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v <> 'bad'))")
        stream.provision()
        stream.link().evolution.look(ZERO)
        with working(stream) as settle:
            until(lambda: all(each.state == "done" for each in copy_progress(stream.target_dsn, stream.stream)))
            source.execute("INSERT INTO t VALUES (1, 'bad'), (2, 'ok'), (3, 'bad')")
            settle()
            (first, second) = json.loads(parked(stream, "list", "--json"))
            assert (first["id"][0], first["key"], second["key"]) == ("f", {"id": "1"}, {"id": "3"})
            assert json.loads(parked(stream, "show", first["id"], "--json"))["events"][0]["after"]["v"] == "bad"
            with pytest.raises(RowsParked):
                parked(stream, "retry", first["id"])
            parked(stream, "skip", first["id"], "--reason", "test", "--by", "ann")
            target.execute("ALTER TABLE t DROP CONSTRAINT t_v_check")
            parked(stream, "retry", "--all")
            assert json.loads(parked(stream, "list", "--json")) == []
            source.execute("ALTER TABLE t ADD w int; UPDATE t SET w = 5 WHERE id = 2")
            settle()
            (table,) = json.loads(parked(stream, "list", "--json"))
            assert table["whole_table"]
            assert "strangler parked retry --all" in table["mend"]
            with pytest.raises(BadInput):
                parked(stream, "show", "r1")
        target.execute("ALTER TABLE t ADD w int")
        with working(stream) as settle:
            parked(stream, "retry", "--all")
            source.execute("INSERT INTO t VALUES (4, 'ok', 6)")
            settle()
        assert target.execute("SELECT * FROM t ORDER BY id").fetchall() == [
            (2, "ok", 5),
            (3, "bad", None),
            (4, "ok", 6),
        ]
    stream.remove()


ODD = ("select", "Mixed", "with space", "a.b", 'quo"te', "ünï", "x" * 63, "%s", "{0}", ":name", "\\n", "$1", "?",
       "old", "new", "excluded", "t", "lsn", "op", "batch", "ord", "changed", "it's")  # fmt: skip


def test_D32_D33_odd_names_and_truncates_from_the_source_to_the_target(new_database, tmp_path):
    """Columns and tables that are named like what our statements name, with every character that a template reads."""
    own = OwnStream(
        name=f"o{tmp_path.name[-6:].replace('-', '_').lower()}",
        source_dsn=new_database("source"),
        target_dsn=new_database("target"),
        tables=('"S %s"."order ""by.x"="S %s"."order ""by.x"', "child"),
        state=tmp_path,
    )
    table = sql.Identifier("S %s", 'order "by.x')
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in ODD)
    ddl = sql.SQL(
        'CREATE SCHEMA "S %s"; CREATE TABLE {0} ("key" int, {1}, PRIMARY KEY ("key", "a.b"), UNIQUE ("key"));'
        'CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES {0} ("key") ON DELETE CASCADE)'
    ).format(table, columns)
    with (
        psycopg.connect(own.source_dsn, autocommit=True) as source,
        psycopg.connect(own.target_dsn, autocommit=True) as target,
    ):
        source.execute(ddl)
        target.execute(ddl)

        def insert(*keys):
            for key in keys:
                values = sql.SQL(", ").join(sql.Literal(f"{name} of {key}") for name in ODD)
                source.execute(sql.SQL("INSERT INTO {} VALUES ({}, {})").format(table, sql.Literal(key), values))

        def assert_same():
            for query in (
                sql.SQL("SELECT x::text FROM {} x ORDER BY 1").format(table),
                "SELECT * FROM child ORDER BY id",
            ):
                assert target.execute(query).fetchall() == source.execute(query).fetchall()

        insert(1, 2)
        own.provision()
        with working(own) as settle:
            until(lambda: all(each.state == "done" for each in copy_progress(own.target_dsn, own.stream)))
            insert(3, 4, 5)
            source.execute("INSERT INTO child VALUES (1, 1), (2, 2), (3, 3)")
            for change in ('"%s" = NULL', '"a.b" = \'moved\' || "key"', '"key" = 40, "?" = \':name %s\' '):
                source.execute(sql.SQL('UPDATE {} SET {} WHERE "key" = 4').format(table, sql.SQL(change)))
            source.execute(sql.SQL('DELETE FROM {} WHERE "key" = 2').format(table))
            settle()
            assert_same()
            with source.transaction():
                insert(6)
                source.execute(sql.SQL("TRUNCATE {} CASCADE").format(table))
                insert(7)
                source.execute("INSERT INTO child VALUES (7, 7)")
            settle()
            assert_same()
            assert target.execute("SELECT * FROM child").fetchall() == [(7, 7)]
    own.remove()
