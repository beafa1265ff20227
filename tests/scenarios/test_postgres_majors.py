"""Capture and the whole forward link on each major version of PostgreSQL that is here (D11 to D25, T1, T10, H13…)."""

import uuid

import psycopg
import pytest

from cdc.connections import canonical_conninfo
from sandbox.postgres import create_database, postgres_server
from sandbox.postgres_binaries import VARIABLE
from tests.builtin_types import EXTENSIONS, NOT_FOR_COLUMNS, OWN_TYPES, SAME_AS_REGTYPE, types_of
from tests.postgres_majors import servers
from tests.stream_pair import StreamPair, identical

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

SETTINGS = {"fsync": "off", "max_prepared_transactions": "5", "logical_decoding_work_mem": "64kB"}


@pytest.fixture(scope="module", params=servers().items(), ids=lambda server: f"PostgreSQL {server[0]}")
def server(request):
    """(URL, major version). The target has the same version."""
    major, folder = request.param
    with pytest.MonkeyPatch.context() as patch:
        if folder is None:
            patch.delenv(VARIABLE, raising=False)
        else:
            patch.setenv(VARIABLE, folder)
        with postgres_server(SETTINGS) as url:
            yield url, major


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
