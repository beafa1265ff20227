"""Capture and the whole forward link on each major version of PostgreSQL, 13 to 18 (D11 to D25, T1, T10, H13…)."""

import contextlib
import random
import uuid

import psycopg
import pytest

from cdc.assembly import Assembler
from cdc.connections import canonical_conninfo
from cdc.doctor import examine_source
from cdc.errors import DecodeError
from cdc.events import Message, RowChange
from cdc.markers import emit_marker
from cdc.pgoutput import decode
from cdc.replication_connection import ReplicationConnection, WalData
from cdc.server_versions import STREAMING, decoding_options
from sandbox.postgres import create_database
from tests.builtin_types import EXTENSIONS, NOT_FOR_COLUMNS, OWN_TYPES, SAME_AS_REGTYPE, types_of
from tests.capture import capturing
from tests.postgres_majors import every_major, server_of
from tests.stream_pair import StreamPair, identical

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

SETTINGS = {"fsync": "off", "max_prepared_transactions": "5", "logical_decoding_work_mem": "64kB"}


@pytest.fixture(scope="module", params=every_major())
def server(request):
    """(URL, major version). The target has the same version."""
    with server_of(request.param, SETTINGS) as url:
        yield url, request.param


@pytest.fixture
def pair(server, tmp_path):
    """`pair(mapping, ddl)`: a provisioned stream between two databases of the server, open."""
    made = []

    def make(mapping, ddl, target_ddl=None):
        def new_database(label):
            return create_database(server[0], f"{label}_{uuid.uuid4().hex[:8]}")

        move = f"m{uuid.uuid4().hex[:8]}"
        found = StreamPair(new_database, tmp_path, move, mapping, ddl, target_ddl or ddl, follows_copy=False)
        made.append(found)
        found.provision()
        found.open()
        return found

    yield make
    for found in made:
        found.close()


def text_rows(dsn, table):
    """Every value as the server writes it, under the settings that make it exact."""
    query = f"COPY (SELECT * FROM {table} ORDER BY 1) TO STDOUT"
    with psycopg.connect(canonical_conninfo(dsn)) as connection, connection.cursor().copy(query) as copy:
        return b"".join(bytes(data) for data in copy)


def test_D11_to_D25_the_table_of_types_is_complete(server):
    with psycopg.connect(server[0]) as connection:
        rows = connection.execute(
            "SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')"
            " AND NOT (typelem <> 0 AND typlen = -1 AND typname LIKE '\\_%')"
        ).fetchall()
    spelled = {name.partition("(")[0].strip('"') for name in types_of(server[1])} | {"bit", "varchar", "char"}
    missing = {name for (name,) in rows} - spelled - NOT_FOR_COLUMNS - SAME_AS_REGTYPE
    assert missing == set()


def test_D11_to_D25_every_type_is_exact_from_source_to_target(server, pair):
    """One table a type: inserted, updated, its value moved to another row by an update, deleted."""
    types = types_of(server[1])
    ddl = OWN_TYPES
    with psycopg.connect(server[0], autocommit=True) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions")}
    for extension, (name, literals) in EXTENSIONS.items():
        if extension in there:
            ddl += f"CREATE EXTENSION {extension};"
            types[name] = literals
    try:
        with psycopg.connect(server[0]) as connection:
            connection.execute("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        del types["xml"]
    tables = {f"t{number}": (kind, types[kind]) for number, kind in enumerate(types)}
    ddl += "".join(f"CREATE TABLE {name} (n int PRIMARY KEY, v {kind});" for name, (kind, _) in tables.items())
    link = pair(identical(*((name, "n v") for name in tables)), ddl)
    for name, (_, literals) in tables.items():
        for number, literal in enumerate(literals):
            link.source.execute(f"INSERT INTO {name} VALUES ({number}, {literal}), (-{number} - 1, NULL)")
        link.source.execute(f"INSERT INTO {name} VALUES (1000, NULL), (1001, {literals[0]})")
        link.source.execute(f"UPDATE {name} SET v = {literals[-1]} WHERE n = 1000")
        link.source.execute(f"DELETE FROM {name} WHERE n = 1001")
    link.sync()
    for name, (kind, literals) in tables.items():
        written = text_rows(link.source_dsn, name)
        assert text_rows(link.target_dsn, name) == written, kind
        assert written.count(b"\n") == 2 * len(literals) + 1


def test_T01_T03_T04_T10_huge_interleaved_rolled_back_and_prepared_ones(server, pair):
    link = pair(identical(("t", "id v")), "CREATE TABLE t (id int PRIMARY KEY, v text)")
    fill = "INSERT INTO t SELECT {} + g, repeat('x', 100) FROM generate_series(1, 3000) g"
    with psycopg.connect(link.source_dsn) as other:
        link.source.execute("BEGIN")
        link.source.execute(fill.format(0))
        other.execute(fill.format(10_000))
        link.source.execute("SAVEPOINT s")
        link.source.execute(fill.format(20_000))
        link.source.execute("ROLLBACK TO s")
        other.commit()
        other.execute(fill.format(30_000))
        other.rollback()
        link.source.execute("COMMIT")
    for name, first in (("kept", 40_000), ("dropped", 50_000)):
        link.source.execute("BEGIN")
        link.source.execute(fill.format(first))
        link.source.execute(f"PREPARE TRANSACTION '{name}'")
    link.source.execute("COMMIT PREPARED 'kept'")
    link.source.execute("ROLLBACK PREPARED 'dropped'")
    link.sync()
    counted = "SELECT id / 10000, count(*) FROM t GROUP BY 1 ORDER BY 1"
    assert link.rows(counted) == link.rows(counted, "source") == [(0, 3000), (1, 3000), (4, 3000)]


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_T03_subtransactions_of_a_large_one_that_was_over_before_it_was_read(server, pair, end):
    """PostgreSQL 18 tells of their rollback even when it sent nothing of the transaction."""
    link = pair(identical(("t", "id v")), "CREATE TABLE t (id int PRIMARY KEY, v text)")
    link.source.execute("BEGIN")
    for first, after in ((0, "ROLLBACK TO s"), (1000, "RELEASE s"), (2000, "ROLLBACK TO s")):
        link.source.execute("SAVEPOINT s")
        link.source.execute(f"INSERT INTO t SELECT {first} + g, repeat('x', 100) FROM generate_series(1, 800) g")
        link.source.execute(after)
    link.source.execute(end)
    link.source.execute("INSERT INTO t VALUES (-1, 'last')")
    link.sync()
    counted = "SELECT count(*), sum(id) FROM t"
    assert link.rows(counted) == link.rows(counted, "source")


def recorded(url, major, stream, start, *, streaming):
    """Every logical message that the server sends for what is in its log."""
    options = decoding_options(major, stream, streaming=streaming)
    connection = ReplicationConnection(url)
    with contextlib.closing(connection):
        connection.start_logical(stream, start, options)
        payloads, tags = [], (b"C", b"c")
        while not payloads or payloads[-1][:1] not in tags or b"last" not in payloads[-2] + payloads[-3]:
            message = connection.receive()
            if message is None:
                connection.wait(0.5)
            elif isinstance(message, WalData):
                payloads.append(bytes(message.payload))
    return payloads


def only_transactions_or_a_decode_error(payloads):
    with contextlib.suppress(DecodeError):
        assembler = Assembler()
        for payload in payloads:
            found = assembler.feed(payload, sent_at_us=0)
            if found is not None:
                list(found.changes)


@pytest.mark.parametrize("streaming", [False, True], ids=["at commit", "streamed"])
def test_fuzz_what_a_server_really_sends_damaged_gives_a_decode_error_and_nothing_else(server, streaming):
    url = create_database(server[0], f"fuzz_{uuid.uuid4().hex[:8]}")
    ddl = "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, v text, m mood, n numeric[])"
    with capturing(url, ddl, "t", stream=f"strangler_f{uuid.uuid4().hex[:8]}_forward") as source:
        source.execute(
            "INSERT INTO t VALUES (-1, 'é😀', 'ok', '{NaN,NULL}')",
            "BEGIN",
            "INSERT INTO t SELECT g, repeat('x', 100), NULL, '{1}' FROM generate_series(1, 1500) g",
            "SAVEPOINT s",
            "UPDATE t SET id = id + 10000 WHERE id < 20",
            "ROLLBACK TO s",
            "UPDATE t SET id = id + 20000, v = NULL WHERE id < 10",
            "DELETE FROM t WHERE id < 15",
            "TRUNCATE t",
            "INSERT INTO t VALUES (0, 'last')",
            "COMMIT",
        )
        payloads = recorded(url, server[1], source.stream, source.start, streaming=streaming)
    assert any(payload[:1] == b"S" for payload in payloads) is (streaming and server[1] >= STREAMING)
    only_transactions_or_a_decode_error(payloads)
    rare = [number for number, payload in enumerate(payloads) if payload[:1] != b"I" or number < 20]
    chance = random.Random(7)
    for turn in range(1500):
        is_in_run = turn % 3 == 0
        number = chance.randrange(100, 1000) if is_in_run else chance.choice(rare)
        changed = bytearray(payloads[number])
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        damaged = bytes(changed[: chance.choice((len(changed), chance.randrange(len(changed) + 1)))])
        for streamed in (False, True):
            with contextlib.suppress(DecodeError):
                decode(damaged, streamed=streamed)
        around = 100 if is_in_run else 20
        near = [*payloads[max(0, number - around) : number], damaged, *payloads[number + 1 : number + around]]
        only_transactions_or_a_decode_error(near)
        only_transactions_or_a_decode_error([*payloads[:20], *near, *payloads[-3:]])


def test_H14_a_table_that_inherits_is_captured_as_itself(server, pair):
    """The parent would be refused (D30); the heir's rows arrive once, under the heir's name."""
    ddl = (
        "CREATE TABLE parent (id int PRIMARY KEY, v text);"
        "CREATE TABLE heir (extra int, PRIMARY KEY (id)) INHERITS (parent)"
    )
    link = pair(identical(("heir", "id v extra")), ddl)
    link.source.execute("INSERT INTO parent VALUES (1, 'parent')")
    link.source.execute("INSERT INTO heir VALUES (2, 'heir', 3), (3, 'heir', 4)")
    link.source.execute("UPDATE parent SET v = 'both'")
    link.source.execute("DELETE FROM parent WHERE id = 3")
    link.sync()
    assert (link.rows("SELECT * FROM heir"), link.rows("SELECT * FROM ONLY parent")) == ([(2, "both", 3)], [])


def test_D26_D27_generated_and_identity_columns(server, pair):
    virtual = ", w int GENERATED ALWAYS AS (n + 1) VIRTUAL" if server[1] >= 18 else ""
    ddl = (
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int,"
        f" d int GENERATED BY DEFAULT AS IDENTITY, s int GENERATED ALWAYS AS (n * 2) STORED{virtual})"
    )
    link = pair(identical(("t", "id n d")), ddl)
    link.source.execute("INSERT INTO t (n) VALUES (1), (2), (3)")
    link.source.execute("UPDATE t SET n = 20 WHERE n = 2")
    link.source.execute("UPDATE t SET id = DEFAULT WHERE n = 3")
    link.source.execute("DELETE FROM t WHERE n = 1")
    link.sync()
    rows = link.rows("SELECT * FROM t ORDER BY id")
    assert rows == link.rows("SELECT * FROM t ORDER BY id", "source")
    assert [row[:4] for row in rows] == [(2, 20, 2, 40), (4, 3, 3, 6)]


def test_H13_partitions_come_and_go_and_the_root_goes_on(server, pair):
    ddl = (
        "CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);"
        "CREATE TABLE p_de PARTITION OF p FOR VALUES IN ('de') PARTITION BY RANGE (id);"
        "CREATE TABLE p_de_1 PARTITION OF p_de FOR VALUES FROM (0) TO (100);"
        "CREATE TABLE p_fr PARTITION OF p FOR VALUES IN ('fr')"
    )
    plain = "CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region))"
    link = pair(identical(("p", "id region v")), ddl, plain)
    for statement in (
        "INSERT INTO p VALUES (1, 'de', 'a'), (1, 'fr', 'b')",
        "CREATE TABLE p_it PARTITION OF p FOR VALUES IN ('it')",  # added
        "INSERT INTO p VALUES (2, 'it', 'c')",
        "UPDATE p SET region = 'it' WHERE region = 'fr'",  # moves between partitions
        "CREATE TABLE p_es (v text, dropped int, region text NOT NULL, id int NOT NULL, PRIMARY KEY (id, region))",
        "ALTER TABLE p_es DROP COLUMN dropped",
        "INSERT INTO p_es VALUES ('not captured', 'es', 9)",
        "ALTER TABLE p ATTACH PARTITION p_es FOR VALUES IN ('es')",  # its columns in another order
        "INSERT INTO p VALUES (3, 'es', 'd')",
        "INSERT INTO p_es VALUES ('e', 'es', 4)",
        "ALTER TABLE p DETACH PARTITION p_it",  # its rows leave the table, and no event says so
        "INSERT INTO p_it VALUES (5, 'it', 'no longer')",
        "UPDATE p SET v = 'z' WHERE id = 1",
    ):
        link.source.execute(statement)
    link.sync()
    # What no event says: rows that came with an attached table, and those that left with a detached one.
    assert sorted(link.rows("SELECT * FROM p", "source")) == [
        *((1, "de", "z"), (3, "es", "d"), (4, "es", "e"), (9, "es", "not captured")),
    ]
    assert sorted(link.rows("SELECT * FROM p")) == [
        *((1, "de", "z"), (1, "it", "b"), (2, "it", "c"), (3, "es", "d"), (4, "es", "e")),
    ]


def mark(connection, content):
    return emit_marker(connection, "strangler.barrier", content)


def test_T09_markers_are_messages_wherever_they_come_from(server, pair):
    """By a row on 13, and for a role that may not emit messages; both are the same behind the wire."""
    link = pair(identical(("t", "id v")), "CREATE TABLE t (id int PRIMARY KEY, v text)")
    role = f"mute_{uuid.uuid4().hex[:8]}"
    (function,) = link.source.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message' AND 'text'::regtype = "
        "proargtypes[2]"
    ).fetchone()
    link.source.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    link.source.execute(f"CREATE ROLE {role} LOGIN")
    link.source.execute(f"GRANT USAGE ON SCHEMA strangler TO {role}")
    link.source.execute(f"GRANT SELECT, INSERT, UPDATE ON strangler.message TO {role}")
    long = "ß'\\ \n" * 3000
    with psycopg.connect(link.source_dsn.replace("postgres@", f"{role}@"), autocommit=True) as mute:
        link.source.execute("INSERT INTO t VALUES (1, 'a')")
        written = [mark(mute, long), mark(mute, long), mark(link.source, "own"), mark(mute, "")]
    link.source.execute("INSERT INTO t VALUES (2, 'b')")
    last = mark(link.source, "end")
    found = link.capture(last)
    told = [(one.commit_lsn, each) for one in found for each in one.changes if isinstance(each, Message)]
    assert [(each.prefix, each.content.decode(), each.transactional) for _, each in told] == [
        ("strangler.barrier", content, True) for content in (long, long, "own", "", "end")
    ]
    for position, (commit_lsn, _) in zip([*written, last], told, strict=True):
        assert position <= commit_lsn
    assert written == sorted(written)
    rows = [one for one in found if any(isinstance(each, RowChange) for each in one.changes)]
    assert [len(one.changes) for one in rows] == [1, 1]
    assert rows[0].commit_lsn < written[0] <= told[0][0] < rows[1].commit_lsn < last
    link.applier.apply(found)
    assert link.rows("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]


def test_the_doctor_says_what_is_second_best_here(server):
    findings = {one.check: one for one in examine_source(server[0], [])}
    assert findings["version"].ok
    assert ("rows of strangler.message" in findings["decoding"].reason) is (server[1] < 14)
    assert ("second-best" in findings["decoding"].reason) is (server[1] >= 17)
