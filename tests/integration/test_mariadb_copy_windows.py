"""A chunk out of MariaDB meets the stream. The copier's steps are taken by hand: every interleaving is exact."""

import psycopg
import pytest

from cdc.applier import Applier
from cdc.chunk_handover import ChunkHandover
from cdc.copy_tracker import CopyCursor, Watermark, cursor_from_json
from cdc.mysql.copy_reader import open_mysql_copy
from cdc.mysql.provision import emit_message
from cdc.mysql.source import BinlogSource
from sandbox.mariadb import create_mysql_database, mariadb_server
from sandbox.postgres import create_database
from strangler.clock import SystemClock
from tests.mariadb_pair import Mysql, as_texts, mariadb_link, need_mariadb, provision

pytestmark = pytest.mark.integration
BOUNDS = {"most_bytes": 1 << 20, "most_together": 100}
DDL = "CREATE TABLE {} (id varchar(10) COLLATE {} PRIMARY KEY, v text)"


@pytest.fixture(scope="module")
def server():
    need_mariadb()
    with mariadb_server({"sync-binlog": "0", "innodb-flush-log-at-trx-commit": "0"}) as url:
        yield url


CHANGES = {
    "update": ["UPDATE t SET v = 'second' WHERE id = 'b'"],
    "update twice": ["UPDATE t SET v = 'second' WHERE id = 'b'", "UPDATE t SET v = 'third' WHERE id = 'b'"],
    "delete": ["DELETE FROM t WHERE id = 'b'"],
    "delete and insert": ["DELETE FROM t WHERE id = 'b'", "INSERT INTO t VALUES ('b', 'second')"],
    "insert inside": ["INSERT INTO t VALUES ('bb', 'new')"],
    "insert and delete": ["INSERT INTO t VALUES ('bb', 'new')", "DELETE FROM t WHERE id = 'bb'"],
    "insert behind": ["INSERT INTO t VALUES ('z', 'new')"],
    "key out of the chunk": ["UPDATE t SET id = 'e1' WHERE id = 'b'"],
    "key into the chunk": ["UPDATE t SET id = 'b1', v = 'moved' WHERE id = 'e'"],
    "key to the front": ["UPDATE t SET id = '0' WHERE id = 'f'"],
    "key that the collation takes for equal": ["UPDATE t SET id = 'B' WHERE id = 'b'"],
    "keys around": ["UPDATE t SET id = 'x' WHERE id = 'a'", "UPDATE t SET id = 'a' WHERE id = 'b'",
                    "UPDATE t SET id = 'b' WHERE id = 'x'"],
    "everything": ["DELETE FROM t "],
    "truncate": ["TRUNCATE t ", "INSERT INTO t VALUES ('c', 'new')"],
}  # fmt: skip

CASES = {
    **{f"{name}, {seen} read": (name, seen) for name, made in CHANGES.items() for seen in range(len(made) + 1)},
    **{f"{name}, late": (name, None) for name in CHANGES if name != "truncate"},
}  # fmt: skip


class HandCopies:
    """One stream with a table t0, t1 … for each case: rows a…f, chunks of three."""

    def __init__(self, server, target_dsn, folder):
        self.source = Mysql(create_mysql_database(server, "windows"))
        self.target_dsn = target_dsn
        tables = [f"t{number}" for number in range(len(CASES))]
        with psycopg.connect(target_dsn, autocommit=True) as target:
            for name in tables:
                self.source.execute(DDL.format(name, "utf8mb4_general_ci"))
                self.source.execute(
                    f"INSERT INTO {name} VALUES " + ", ".join(f"('{one}', 'first')" for one in "abcdef")
                )
                target.execute(DDL.format(name, '"C"'))
        self.link = mariadb_link(self.source.dsn, target_dsn, folder, dict.fromkeys(tables, "id v"), follows_copy=True)
        position = provision(self.link)
        self.handover = ChunkHandover(in_flight=10)
        self.applier = Applier(self.link, clock=SystemClock(), handover=self.handover)
        self.stream = BinlogSource(
            self.source.dsn, stream=self.link.stream, tables=list(self.link.source_keys), position=position
        )
        self.stream.open()
        self.reading = open_mysql_copy(self.source.dsn, self.link.stream)
        self.copy = self.reading.__enter__()
        self.runs = self.number = 0

    def begin(self, name):
        self.table = self.source.table(name)
        self.runs += 1
        self.run = f"run-{self.runs}"
        self.handover.start(self.run)
        (relation,) = self.copy.tables([self.table])
        self.handover.announce(relation)

    def mark(self, kind):
        self.copy.mark(Watermark(run=self.run, number=self.number, mark=kind, table=self.table))

    @property
    def progress(self):
        found = as_texts(
            self.target_dsn,
            f"SELECT last_key, state FROM strangler.copy_progress WHERE source_table = '{self.table}'",
        )
        return (cursor_from_json(found[0][0]), found[0][1]) if found else (CopyCursor(), "waiting")

    def chunk(self, *, before=(), after=()):
        """`before` and `after`: what happens in the source on either side of the read, between the marks."""
        self.number += 1
        self.mark("low")
        self.many(before)
        cursor, _ = self.progress
        self.handover.put(self.run, self.number, self.copy.read_range(self.table, cursor, 3, **BOUNDS))
        self.many(after)
        self.mark("high")
        self.follow()

    def many(self, statements):
        for statement in statements:
            self.source.execute(statement)

    def follow(self):
        """Apply everything that is committed."""
        end = emit_message(self.source.dsn, self.link.stream, "strangler.barrier", b"")
        while self.applier.position < end:
            self.applier.apply(self.stream.poll(0.5))

    def finish(self):
        while self.progress[1] != "done":
            self.chunk()

    def rows(self):
        return as_texts(self.target_dsn, f"SELECT id, v FROM {self.table.name} ORDER BY id")

    def expected(self):
        return sorted((row["id"], row["v"]) for row in self.source.execute(f"SELECT * FROM {self.table.name}"))

    def close(self):
        self.applier.close()
        self.stream.close()
        self.reading.__exit__(None, None, None)
        self.source.close()


@pytest.fixture(scope="module")
def copies(server, postgres_url, tmp_path_factory):
    made = HandCopies(server, create_database(postgres_url, "windows"), tmp_path_factory.mktemp("windows"))
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES)
def test_H4_changes_between_the_marks_win_over_the_chunk(copies, case):
    """`seen`: how many of the statements the chunk contains; None: they are one transaction, older than the second
    chunk, that commits after it was read."""
    change, seen = CASES[case]
    name = f"t{list(CASES).index(case)}"
    statements = [statement.replace(" t ", f" {name} ") for statement in CHANGES[change]]
    copies.begin(name)
    if seen is None:
        copies.chunk()
        other = copies.source.other(autocommit=False)
        for statement in statements:
            other.cursor().execute(_of_second_chunk(statement))
        copies.number += 1
        copies.mark("low")
        read = copies.copy.read_range(copies.table, copies.progress[0], 3, **BOUNDS)
        copies.handover.put(copies.run, copies.number, read)
        other.commit()
        other.close()
        copies.mark("high")
        copies.follow()
    else:
        copies.chunk(before=statements[:seen], after=statements[seen:])
    copies.finish()
    assert copies.rows() == copies.expected()


def _of_second_chunk(statement):
    for first, second in ("be", "BE", "fd"):
        statement = statement.replace(f"'{first}'", f"'{second}'")
    return statement
