"""H13: what no event says of partitions is noticed and stops the table; daily upkeep that loses nothing does not."""

import psycopg
import pytest

from cdc.connections import open_database
from cdc.doctor import examine_source
from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.provision import deprovision_source, provision_source
from cdc.schema_changes.partition_guard import unguarded
from cdc.verify.run import verify_all
from sandbox.postgres import database_url
from strangler.clock import SystemClock
from tests.evolving_pair import EvolvingPair
from tests.stream_pair import identical

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

P = TableName(name="p")
PLAN = identical(("p", "id region v"))
PLAIN = "CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region))"
DDL = (
    f"{PLAIN} PARTITION BY LIST (region);"
    "CREATE TABLE p_de PARTITION OF p FOR VALUES IN ('de') PARTITION BY RANGE (id);"
    "CREATE TABLE p_de_1 PARTITION OF p_de FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE p_fr PARTITION OF p FOR VALUES IN ('fr');"
    "CREATE TABLE other (id int PRIMARY KEY)"
)
FILL = "INSERT INTO p VALUES (1, 'de', 'a'), (2, 'fr', 'b')"
WITH_ROWS = "CREATE TABLE p_it (LIKE p); INSERT INTO p_it VALUES (7, 'it', 'x'); "
ATTACH = "ALTER TABLE p ATTACH PARTITION p_it FOR VALUES IN ('it')"


@pytest.fixture
def pair(new_database, tmp_path):
    made = EvolvingPair(new_database, tmp_path, plan=PLAN, ddl=DDL, target_ddl=PLAIN)
    made.open()
    made.source.execute(FILL)
    made.sync()
    yield made
    made.close()


def look(pair):
    pair.evolution.look(pair.applier.position)


def differing(pair):
    verdict = verify_all(
        pair.source_dsn,
        pair.target_dsn,
        pair.mapping,
        move=pair.move,
        direction="forward",
        wait_caught_up=lambda: None,
        position=lambda: pair.applier.position,
        clock=SystemClock(),
    )
    return not verdict.equal


SILENT = {
    "attached": (WITH_ROWS + ATTACH, "p_it was attached with rows"),
    "attached in one transaction": (f"BEGIN; {WITH_ROWS}{ATTACH}; COMMIT", "p_it was attached with rows"),
    "detached": ("ALTER TABLE p DETACH PARTITION p_fr", "p_fr was detached with its rows"),
    "a branch detached": ("ALTER TABLE p DETACH PARTITION p_de", "p_de_1 was detached with its rows"),
    "dropped": ("DROP TABLE p_fr", "p_fr was dropped"),
    "truncated": ("TRUNCATE p_fr", "p_fr was truncated by itself"),
    "a branch truncated": ("TRUNCATE p_de", "p_de_1 was truncated by itself"),
    "after the root": ("BEGIN; TRUNCATE p; " + FILL + "; TRUNCATE p_fr; COMMIT", "p_fr was truncated by itself"),
}


@pytest.mark.parametrize(("ddl", "said"), SILENT.values(), ids=SILENT)
def test_H13_what_no_event_says_stops_the_table_and_verification_finds_it(pair, ddl, said):
    look(pair)
    pair.source.execute(ddl)
    with pytest.raises(SchemaChanged, match=said):
        pair.evolution.refuse_partition_changes()
    for check in (pair.evolution.refuse_partition_changes, pair.evolution.refuse_drift, lambda: look(pair)):
        with pytest.raises(SchemaChanged, match=said) as stopped:
            check()
    assert "cdc schema --accept p" in stopped.value.mend
    pair.renew()
    with pytest.raises(SchemaChanged, match=said):
        look(pair)
    pair.sync()
    assert differing(pair)
    make_good(pair)
    pair.schema.accept(P)
    look(pair)
    pair.evolution.refuse_drift()
    pair.sync()
    assert not differing(pair)


def make_good(pair):
    rows = pair.rows("SELECT * FROM p", "source")
    with pair.target.transaction():
        pair.target.execute("TRUNCATE p")
        for row in rows:
            pair.target.execute("INSERT INTO p VALUES (%s, %s, %s)", row)


UPKEEP = {
    "new": "CREATE TABLE p_it PARTITION OF p FOR VALUES IN ('it'); INSERT INTO p VALUES (3, 'it', 'c')",
    "empty one attached": f"CREATE TABLE p_it (LIKE p); {ATTACH}; INSERT INTO p VALUES (3, 'it', 'c')",
    "empty one detached": "DELETE FROM p WHERE region = 'fr'; TRUNCATE p; ALTER TABLE p DETACH PARTITION p_fr",
    "emptied one detached and dropped": "DELETE FROM p WHERE region = 'fr'; ALTER TABLE p DETACH PARTITION p_fr;"
    " DROP TABLE p_fr",
    "emptied one truncated": "DELETE FROM p WHERE region = 'fr'; TRUNCATE p_fr",
    "root truncated": "TRUNCATE p",
    "root truncated with others": "TRUNCATE other, p; INSERT INTO p VALUES (4, 'fr', 'd')",
    "rolled back": f"BEGIN; {WITH_ROWS}{ATTACH}; TRUNCATE p_fr; ROLLBACK",
    "unrelated": "CREATE TEMP TABLE x (a int); ALTER TABLE other ADD COLUMN b int; DROP TABLE other; TRUNCATE x",
    "an index": "CREATE INDEX ON p (v); ALTER TABLE p_fr SET (fillfactor = 70)",
    "rewritten": "VACUUM FULL p_fr",
}


@pytest.mark.parametrize("ddl", UPKEEP.values(), ids=UPKEEP)
def test_H13_upkeep_that_loses_nothing_stops_nothing(pair, ddl):
    look(pair)
    for statement in ddl.split("; "):
        pair.source.execute(statement)
    look(pair)
    pair.evolution.refuse_drift()
    pair.sync()
    pair.both("SELECT * FROM p ORDER BY 1, 2")
    assert not differing(pair)


def test_H13_a_partition_that_came_later_is_watched_too(pair):
    pair.source.execute("CREATE TABLE p_it PARTITION OF p FOR VALUES IN ('it')")
    pair.source.execute("INSERT INTO p VALUES (3, 'it', 'c')")
    pair.source.execute("SET session_replication_role = replica")
    pair.source.execute("TRUNCATE p_it")
    with pytest.raises(SchemaChanged, match="p_it was truncated"):
        look(pair)


UNLOGGED = {
    "made": "CREATE UNLOGGED TABLE p_it PARTITION OF p FOR VALUES IN ('it')",
    "attached": f"CREATE UNLOGGED TABLE p_it (LIKE p); {ATTACH}",
    "later": "CREATE TABLE p_it PARTITION OF p FOR VALUES IN ('it'); ALTER TABLE p_it SET UNLOGGED",
}


@pytest.mark.parametrize("ddl", UNLOGGED.values(), ids=UNLOGGED)
def test_H13_a_partition_whose_changes_are_not_logged_stops_the_table(pair, ddl):
    look(pair)
    pair.source.execute(ddl)
    pair.source.execute("INSERT INTO p VALUES (7, 'it', 'x')")
    if ddl == UNLOGGED["later"]:
        pair.source.execute("ALTER TABLE p_it SET LOGGED")
    pair.sync()
    assert differing(pair)
    with pytest.raises(SchemaChanged, match="p_it is unlogged or foreign"):
        pair.evolution.refuse_partition_changes()
    pair.source.execute("ALTER TABLE p_it SET LOGGED")
    make_good(pair)
    pair.schema.accept(P)
    look(pair)
    pair.source.execute("INSERT INTO p VALUES (8, 'it', 'y')")
    pair.sync()
    assert not differing(pair)


@pytest.mark.parametrize("look_first", [False, True], ids=["event trigger", "look"])
def test_D30_a_new_partition_of_a_table_without_a_key_logs_whole_rows_too(new_database, tmp_path, look_first):
    """Otherwise the server refuses the application's updates of it, because it is published."""
    ddl = "CREATE TABLE k (a int, b text) PARTITION BY LIST (a); CREATE TABLE k_1 PARTITION OF k FOR VALUES IN (1);"
    full = "ALTER TABLE k REPLICA IDENTITY FULL; ALTER TABLE k_1 REPLICA IDENTITY FULL"
    made = EvolvingPair(
        new_database,
        tmp_path,
        plan=identical(("k", "a b")),
        ddl=ddl + full,
        target_ddl="CREATE TABLE k (a int, b text)",
    )
    try:
        made.open()
        if look_first:
            made.source.execute("DROP EVENT TRIGGER strangler_partitions")
        made.source.execute("CREATE TABLE k_2 PARTITION OF k FOR VALUES IN (2)")
        if look_first:
            look(made)
        made.source.execute("INSERT INTO k VALUES (1, 'x'), (2, 'x')")
        made.source.execute("UPDATE k SET b = 'y'")
        made.source.execute("DELETE FROM k WHERE a = 1")
        made.sync()
        assert made.both("SELECT * FROM k") == [(2, "y")]
        look(made)
    finally:
        made.close()


def test_H13_a_partition_that_came_and_went_with_rows_between_two_looks_is_noticed(pair):
    look(pair)
    pair.source.execute(WITH_ROWS + ATTACH)
    pair.source.execute("ALTER TABLE p DETACH PARTITION p_it")
    pair.source.execute("DROP TABLE p_it")
    with pytest.raises(SchemaChanged, match=r"p_it was attached with rows; partition .*p_it was detached"):
        look(pair)


def test_H13_somebody_who_may_do_nothing_else_goes_on_and_is_noticed(pair):
    """What is ours runs inside other people's statements: it needs no right of theirs, and refuses nothing."""
    role = f"app_{pair.source.info.dbname}"
    pair.source.execute(f"CREATE ROLE {role} LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    pair.source.execute(f"GRANT TRUNCATE, INSERT ON p, p_fr TO {role}")
    with psycopg.connect(pair.source_dsn.replace("postgres@", f"{role}@"), autocommit=True) as app:
        app.execute("CREATE TABLE mine (id int); ALTER TABLE mine ADD COLUMN v int; DROP TABLE mine")
        app.execute("CREATE TABLE own (id int) PARTITION BY LIST (id); CREATE TABLE own_1 PARTITION OF own DEFAULT")
        app.execute("BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TEMP TABLE x (); COMMIT")
        app.execute("TRUNCATE p; INSERT INTO p VALUES (5, 'fr', 'e')")
        look(pair)
        app.execute("TRUNCATE p_fr")
    with pytest.raises(SchemaChanged, match="p_fr was truncated by itself"):
        look(pair)
    pair.source.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_H13_rows_that_the_one_who_empties_does_not_see_count(pair):
    pair.source.execute("DELETE FROM p_fr")
    with psycopg.connect(pair.source_dsn) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert old.execute("SELECT count(*) FROM p").fetchone() == (1,)
        pair.source.execute("INSERT INTO p VALUES (9, 'fr', 'new')")
        old.execute("TRUNCATE p_fr")
    with pytest.raises(SchemaChanged, match="p_fr was truncated by itself"):
        look(pair)


@pytest.fixture
def plain_role(pair):
    """A role that may replicate and owns the tables, and may make no event trigger."""
    role = f"mover_{pair.source.info.dbname}"
    pair.source.execute(f"CREATE ROLE {role} LOGIN REPLICATION")
    pair.source.execute(f"GRANT CREATE ON DATABASE {pair.source.info.dbname} TO {role}")
    for table in ("p", "p_de", "p_de_1", "p_fr"):
        pair.source.execute(f"ALTER TABLE {table} OWNER TO {role}")
    deprovision(pair)
    url = pair.source_dsn.replace("postgres@", f"{role}@")
    provision_source(url, pair.link.stream, [P])
    pair.schema.source_dsn = url
    yield url
    deprovision(pair)
    pair.source.execute(f"DROP OWNED BY {role}")
    pair.source.execute(f"DROP ROLE {role}")


def deprovision(pair):
    pair._source.close()
    while pair.rows(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{pair.link.stream}'", "source") == [
        (True,)
    ]:
        pass
    deprovision_source(pair.source_dsn, pair.link.stream)


@pytest.mark.parametrize("name", ["attached", "detached", "dropped", "truncated"])
def test_H13_without_an_event_trigger_the_next_look_finds_it(pair, plain_role, name):
    assert pair.rows("SELECT FROM pg_event_trigger", "source") == []
    (finding,) = [one for one in examine_source(plain_role, [P]) if one.check == "partitions"]
    assert "may not make an event trigger" in finding.reason
    look(pair)
    ddl, said = SILENT[name]
    pair.source.execute(ddl)
    with pytest.raises(SchemaChanged, match=said):
        look(pair)


def test_H13_a_partition_in_use_is_not_waited_for_and_guarded_later(pair):
    pair.source.execute("DROP TRIGGER strangler_part_emptied ON p_fr")
    with psycopg.connect(pair.source_dsn) as writer, open_database(pair.source_dsn) as source:
        writer.execute("INSERT INTO p VALUES (9, 'fr', 'new')")
        look(pair)
        assert unguarded(source, pair.link.stream) == ["public.p_fr"]
        (finding,) = [
            one for one in examine_source(pair.source_dsn, [P], stream=pair.link.stream) if one.check == "partitions"
        ]
        assert "public.p_fr" in finding.reason
        writer.rollback()
        look(pair)
        assert unguarded(source, pair.link.stream) == []


def test_H13_nothing_is_left_behind(pair):
    (finding,) = [one for one in examine_source(pair.source_dsn, [P]) if one.check == "partitions"]
    assert "at once" in finding.reason
    deprovision(pair)
    assert pair.rows("SELECT evtname FROM pg_event_trigger", "source") == []
    assert pair.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal", "source") == []
    assert pair.rows("SELECT nspname FROM pg_namespace WHERE nspname = 'strangler'", "source") == []
    with psycopg.connect(database_url(pair.source_dsn, "postgres")) as elsewhere:
        assert elsewhere.execute("SELECT count(*) FROM pg_event_trigger").fetchone() == (0,)
