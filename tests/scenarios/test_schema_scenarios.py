"""S1–S11, D22, H12: schema changes while the stream runs, on real servers."""

from contextlib import ExitStack

import psycopg
import pytest

from cdc.errors import SchemaChanged
from cdc.events import TableName
from cdc.schema import reflect
from cdc.schema_changes.policy import policy_of
from cdc.schema_changes.store import load_met
from cdc.schema_changes.watch import WatchedSchema
from cdc.tables import schema_hash
from sandbox.postgres import create_database
from tests.evolving_pair import DDL, EvolvingPair, stream_schema
from tests.stream_pair import identical

pytestmark = pytest.mark.scenario


@pytest.fixture
def make(new_database, tmp_path):
    """Opens pairs; closes them whatever the test does."""
    with ExitStack() as stack:

        def opened(**options):
            made = EvolvingPair(new_database, tmp_path, **options)
            stack.callback(made.close)
            made.open()
            return made

        yield opened


@pytest.fixture
def pair(make):
    return make()


def parked(pair):
    return pair.rows("SELECT source_table, reason, mend FROM strangler.parked_row ORDER BY id")


def test_S1_a_nullable_column_follows_in_log_order(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x jsonb")
    pair.source.execute("INSERT INTO t VALUES (2, 'new', 0, '{\"k\": 1}')")
    pair.sync()
    assert pair.both("SELECT id, a, x FROM t ORDER BY id") == [(1, "old", None), (2, "new", {"k": 1})]


def test_S1_rows_that_were_there_get_the_constant_that_the_source_gives_them(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.sync()
    pair.source.execute("ALTER TABLE t ADD COLUMN x varchar(20) NOT NULL DEFAULT 'it''s \\ 5'")
    pair.source.execute("ALTER TABLE t ALTER x SET DEFAULT 'later'")
    pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.sync()
    assert pair.both("SELECT id, x FROM t ORDER BY id") == [(1, "it's \\ 5"), (2, "later")]


def test_S1_a_default_that_was_dropped_again_still_fills_the_old_rows(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t SELECT g, 'same transaction', 0 FROM generate_series(2, 400) g")
        pair.source.execute("ALTER TABLE t ADD COLUMN x int[] NOT NULL DEFAULT '{1,2}'")
        pair.source.execute("ALTER TABLE t ALTER x DROP DEFAULT")
        pair.source.execute("INSERT INTO t SELECT g, 'new', 0, '{3}' FROM generate_series(401, 800) g")
    pair.sync()
    assert pair.both("SELECT x, count(*) FROM t GROUP BY x ORDER BY x") == [([1, 2], 400), ([3], 400)]


def test_S1_a_volatile_default_stops_the_table_with_what_to_do(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()")
    pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.sync()
    [(table, reason, mend)] = parked(pair)
    assert table == "t"
    assert "x: – → x uuid (the table was rewritten meanwhile)" in reason
    assert "op.add_column('t', sa.Column('x', sa.Uuid()))" in mend
    assert pair.rows("SELECT id FROM t") == [(1,)]


def test_S4_a_wider_type_follows(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 7)")
    pair.source.execute("ALTER TABLE t ALTER n TYPE bigint")
    pair.source.execute("INSERT INTO t VALUES (2, 'new', 5000000000)")
    pair.sync()
    assert pair.both("SELECT id, n FROM t ORDER BY id") == [(1, 7), (2, 5000000000)]


def test_S4_widenings_follow_with_the_same_values(make):
    widened = {
        "a": ("varchar(10)", "text"),
        "b": ("varchar(10)", "varchar(20)"),
        "c": ("numeric(6,2)", "numeric(12,4)"),
        "d": ("int", "numeric(12,2)"),
        "e": ("timestamp(3)", "timestamp(6)"),
        "f": ("int[]", "bigint[]"),
    }
    columns = ", ".join(f"{name} {old}" for name, (old, _) in widened.items())
    pair = make(
        ddl=f"CREATE TABLE t (id bigint PRIMARY KEY, {columns})", plan=identical(("t", f"id {' '.join(widened)}"))
    )
    old = "'short', 'short', 1.5, 7, '2024-01-01 00:00:00.123', '{1}'"
    pair.source.execute(f"INSERT INTO t VALUES (1, {old})")
    with pair.source.transaction():
        pair.source.execute(f"INSERT INTO t VALUES (2, {old})")
        pair.source.execute(
            "ALTER TABLE t " + ", ".join(f"ALTER {name} TYPE {new}" for name, (_, new) in widened.items())
        )
        pair.source.execute(
            "INSERT INTO t VALUES (3, 'twelve chars', 'twelve chars', 12345678.1234, 1234567890.25,"
            " '2024-01-01 00:00:00.123456', '{5000000000}')"
        )
    pair.sync()
    assert parked(pair) == []
    assert len(pair.both("SELECT t::text FROM t ORDER BY id")) == 3


@pytest.mark.parametrize(
    ("ddl", "said", "mend"),
    [
        ("ALTER TABLE t ALTER n TYPE smallint", "n integer NOT NULL → n smallint", "type_=sa.SmallInteger()"),
        (
            "ALTER TABLE t ALTER n TYPE text",
            "n integer NOT NULL → n text",
            "op.alter_column('t', 'n', type_=sa.Text())",
        ),
        ("ALTER TABLE t DROP COLUMN a", "a: a text → –", "op.drop_column('t', 'a'); take 'a' out of t in the plan"),
        ("ALTER TABLE t RENAME a TO b", "a: a text → b text", "say 'b' for 'a'"),
        ('ALTER TABLE t ADD COLUMN "A" text', "differs from another column by case only", "cdc schema --accept t"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, n)", "primary key (id) → (id, n)", "copy"),
    ],
)
def test_S2_S3_S4_S11_what_may_not_be_followed_stops_the_table_only(make, ddl, said, mend):
    both = (
        "CREATE TABLE t (id bigint PRIMARY KEY, a text, n int NOT NULL DEFAULT 0); CREATE TABLE u (id int PRIMARY KEY)"
    )
    pair = make(ddl=both, plan=identical(("t", "id a n"), ("u", "id")))
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute(ddl)
    pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.source.execute("INSERT INTO u VALUES (1)")
    pair.sync()
    [(table, reason, told)] = parked(pair)
    assert (table, said in reason, mend in told) == ("t", True, True), (reason, told)
    assert pair.rows("SELECT id FROM t") == [(1,)]
    assert pair.both("SELECT id FROM u") == [(1,)]
    assert [m.state for m in load_met(pair.target_dsn, pair.link.stream) if m.table == "t"] == ["met", "stopped"]


def test_S2_a_dropped_column_is_passed_over_by_policy_and_older_events_keep_it(make):
    pair = make(policy=policy_of({"dropped": "ignore"}))
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t VALUES (1, 'kept', 0)")
        pair.source.execute("ALTER TABLE t DROP COLUMN a")
        pair.source.execute("INSERT INTO t (id) VALUES (2)")
    pair.sync()
    assert pair.rows("SELECT id, a FROM t ORDER BY id") == [(1, None), (2, None)]
    assert pair.schema.mapping().tables[0].targets[0].rule("a") is None


def test_S3_a_rename_is_one_and_not_a_drop_and_an_addition(make):
    pair = make(policy=policy_of({"renamed": "follow"}))
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t VALUES (1, 'before', 0)")
        pair.source.execute("ALTER TABLE t RENAME a TO b")
        pair.source.execute("INSERT INTO t VALUES (2, 'after', 0)")
        pair.source.execute("UPDATE t SET b = 'changed' WHERE id = 1")
    pair.sync()
    assert pair.rows("SELECT id, a FROM t ORDER BY id") == [(1, "changed"), (2, "after")]
    pair.source.execute("ALTER TABLE t RENAME b TO c")
    pair.source.execute("ALTER TABLE t ADD COLUMN d int DEFAULT 4")
    pair.source.execute("INSERT INTO t VALUES (3, 'c', 0, 5)")
    pair.renew(policy_of({"renamed": "follow"})).reopen()
    pair.sync()
    assert pair.rows("SELECT id, a, d FROM t ORDER BY id") == [(1, "changed", 4), (2, "after", 4), (3, "c", 5)]


def test_S6_ddl_dml_ddl_in_one_transaction(make):
    pair = make(ddl=DDL.replace("a text", "a varchar(8)"))
    pair.source.execute("INSERT INTO t VALUES (0, 'before', 0)")
    with pair.source.transaction():
        pair.source.execute("INSERT INTO t VALUES (1, 'first', 0)")
        pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 7")
        pair.source.execute("INSERT INTO t VALUES (2, 'second', 0, 8)")
        pair.source.execute("ALTER TABLE t ADD COLUMN y text, ALTER a TYPE varchar(80)")
        pair.source.execute("INSERT INTO t VALUES (3, 'longer than eight', 0, 9, 'y')")
        pair.source.execute("UPDATE t SET a = 'changed, too' WHERE id = 1")
    pair.sync()
    assert pair.both("SELECT * FROM t ORDER BY id") == [
        (0, "before", 0, 7, None),
        (1, "changed, too", 0, 7, None),
        (2, "second", 0, 8, None),
        (3, "longer than eight", 0, 9, "y"),
    ]


def test_S1_a_rewrite_that_left_one_value_in_every_row_is_no_obstacle(pair):
    pair.source.execute("INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 9) g")
    pair.source.execute("ALTER TABLE t ADD COLUMN x int NOT NULL DEFAULT 7, ADD COLUMN y text, ALTER n TYPE bigint")
    pair.source.execute("UPDATE t SET n = 5000000000 WHERE id = 1")
    pair.sync()
    assert len(pair.both("SELECT * FROM t ORDER BY id")) == 9


def test_S6_a_form_that_came_and_went_before_it_was_read(pair):
    with pair.source.transaction():
        pair.source.execute("ALTER TABLE t ADD COLUMN x int")
        pair.source.execute("INSERT INTO t VALUES (1, 'with x', 0, 5)")
        pair.source.execute("ALTER TABLE t DROP COLUMN x")
        pair.source.execute("INSERT INTO t VALUES (2, 'without', 0)")
    pair.sync()
    assert pair.both("SELECT id, a FROM t ORDER BY id") == [(1, "with x"), (2, "without")]
    assert parked(pair) == []


def test_S6_a_worker_that_starts_anew_reads_the_old_forms_that_are_still_in_the_log(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old form', 0)")
    before = pair.capture()
    pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 3")
    pair.source.execute("INSERT INTO t VALUES (2, 'new form', 0, 4)")
    after = pair.capture()
    pair.schema = None
    pair.renew().reopen()
    pair.applier.apply([*before, *after])
    assert pair.both("SELECT id, x FROM t ORDER BY id") == [(1, 3), (2, 4)]
    pair.renew().reopen()
    pair.source.execute("UPDATE t SET x = 5 WHERE id = 1")
    pair.sync()
    assert pair.both("SELECT id, x FROM t ORDER BY id") == [(1, 5), (2, 4)]


def test_S8_S10_ddl_elsewhere_and_maintenance_change_nothing(pair):
    pair.source.execute("INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 100) g")
    pair.source.execute("CREATE TABLE other (id int PRIMARY KEY)")
    pair.source.execute("ALTER TABLE other ADD COLUMN x int, ALTER id TYPE bigint")
    pair.source.execute("INSERT INTO other VALUES (1)")
    pair.source.execute("DROP TABLE other")
    pair.source.execute("CREATE INDEX CONCURRENTLY t_a ON t (a)")
    pair.source.execute("VACUUM FULL t")
    pair.source.execute("CLUSTER t USING t_pkey")
    pair.source.execute("REINDEX TABLE CONCURRENTLY t")
    pair.source.execute("ALTER TABLE t SET (fillfactor = 50), ALTER a SET STATISTICS 10, ALTER a SET STORAGE EXTERNAL")
    pair.source.execute("UPDATE t SET a = 'changed' WHERE id % 2 = 0")
    pair.sync()
    assert len(pair.both("SELECT id, a FROM t ORDER BY id")) == 100
    pair.evolution.look(pair.applier.position)
    pair.source.execute("ALTER TABLE t ADD COLUMN x text")
    pair.source.execute("UPDATE t SET x = 'x' WHERE id = 1")
    pair.sync()
    assert pair.both("SELECT x FROM t WHERE id = 1") == [("x",)]
    assert parked(pair) == []


def test_D22_a_new_enum_label_follows_where_the_target_has_the_enum(make):
    ddl = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id bigint PRIMARY KEY, a mood, n int)"
    pair = make(ddl=ddl)
    pair.source.execute("INSERT INTO t VALUES (1, 'ok', 0)")
    for number, (label, where) in enumerate([("happy", ""), ("so-so", "BEFORE 'ok'"), ("it's", "AFTER 'sad'")], 2):
        pair.source.execute(f"ALTER TYPE mood ADD VALUE {label!r} {where}".replace('"it\'s"', "'it''s'"))
        pair.source.execute(
            "INSERT INTO t SELECT g, %s::mood, 0 FROM generate_series(%s::int, %s::int) g",
            [label, number * 1000, number * 1000 + 300],
        )
        pair.sync()
    assert len(pair.both("SELECT a::text, count(*) FROM t GROUP BY a ORDER BY a")) == 4


def test_D22_a_new_label_without_a_place_in_the_target_stops_by_name(make):
    ddl = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id bigint PRIMARY KEY, a mood, n int)"
    pair = make(ddl=ddl, policy=policy_of({"label_added": "stop"}))
    pair.source.execute("ALTER TYPE mood ADD VALUE 'happy'")
    pair.source.execute("INSERT INTO t VALUES (1, 'happy', 0)")
    pair.sync()
    [(_, reason, mend)] = parked(pair)
    assert "'happy'" in reason
    assert "ADD VALUE IF NOT EXISTS 'happy'" in mend


@pytest.mark.parametrize(
    ("ddl", "said"),
    [
        ("DROP TABLE t", "was dropped"),
        ("ALTER TABLE t RENAME TO s", "was renamed to s"),
        ("ALTER PUBLICATION strangler_m_forward DROP TABLE t", "taken out of the publication"),
        ("ALTER PUBLICATION strangler_m_forward SET (publish = 'insert')", "without some of its inserts"),
        ("ALTER PUBLICATION strangler_m_forward SET TABLE t WHERE (id > 5)", "row filter"),
        ("ALTER TABLE t REPLICA IDENTITY NOTHING", "no replica identity"),
    ],
)
def test_S7_H12_a_table_that_is_not_heard_of_any_more_is_a_hard_stop(pair, ddl, said):
    pair.evolution.look(pair.applier.position)
    if said == "row filter" and pair.source.info.server_version < 150_000:
        pytest.skip("publications have row filters from PostgreSQL 15 on")
    pair.source.execute(ddl)
    for _ in range(2):
        with pytest.raises(SchemaChanged, match=said):
            pair.evolution.look(pair.applier.position)
    if "IDENTITY" not in ddl:
        with pytest.raises(SchemaChanged):
            pair.evolution.refuse_drift()


def test_S7_H12_taken_out_of_the_publication_and_put_back_between_two_looks(pair):
    pair.evolution.look(pair.applier.position)
    pair.source.execute("ALTER PUBLICATION strangler_m_forward DROP TABLE t")
    pair.source.execute("INSERT INTO t VALUES (1, 'lost', 0)")
    pair.source.execute("ALTER PUBLICATION strangler_m_forward ADD TABLE t")
    for _ in range(2):
        with pytest.raises(SchemaChanged, match="publication for a time"):
            pair.evolution.look(pair.applier.position)
    pair.schema.accept(TableName(name="t"))
    pair.evolution.look(pair.applier.position)
    pair.source.execute("ALTER PUBLICATION strangler_m_forward DROP TABLE t")
    with pytest.raises(SchemaChanged, match="not sent any more"):
        pair.evolution.look(pair.applier.position)
    pair.source.execute("ALTER PUBLICATION strangler_m_forward ADD TABLE t")
    pair.schema.accept(TableName(name="t"))
    pair.evolution.look(pair.applier.position)


def test_S7_a_table_that_came_back_stays_stopped_until_a_person_says_so(pair):
    pair.source.execute("ALTER TABLE t RENAME TO s")
    with pytest.raises(SchemaChanged, match="renamed to s"):
        pair.evolution.look(pair.applier.position)
    pair.source.execute("ALTER TABLE s RENAME TO t")
    pair.source.execute("ALTER TABLE t ADD COLUMN x int")
    pair.source.execute("INSERT INTO t VALUES (1, 'a', 0, 1)")
    pair.sync()
    assert "renamed to s" in parked(pair)[0][1]
    with pytest.raises(SchemaChanged, match="--accept t"):
        pair.evolution.look(pair.applier.position)
    pair.target.execute("ALTER TABLE t ADD COLUMN x int")
    pair.schema.accept(TableName(name="t"))
    pair.evolution.look(pair.applier.position)


def test_S7_changes_under_another_name_leave_a_mark_even_when_the_name_is_back(pair):
    with pair.source.transaction():
        pair.source.execute("ALTER TABLE t RENAME TO s")
        pair.source.execute("INSERT INTO s VALUES (1, 'lost', 0)")
        pair.source.execute("ALTER TABLE s RENAME TO t")
    pair.sync()
    with pytest.raises(SchemaChanged, match="changes came under that name"):
        pair.evolution.look(pair.applier.position)
    with pytest.raises(SchemaChanged, match="cdc schema --accept t"):
        pair.evolution.refuse_drift()


def test_a_volatile_default_goes_on_once_target_and_plan_have_the_column_and_it_was_accepted(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0), (2, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()")
    pair.source.execute("INSERT INTO t (id) VALUES (3)")
    pair.sync()
    assert len(parked(pair)) == 1
    pair.target.execute("ALTER TABLE t ADD COLUMN x uuid")
    pair.schema.accept(TableName(name="t"))
    for (key,) in pair.rows("SELECT id FROM strangler.parked_row"):
        pair.target.execute("UPDATE strangler.parked_row SET request = 'retry' WHERE id = %s", [key])
    pair.renew().reopen()
    pair.applier.serve_requests()
    pair.source.execute("UPDATE t SET n = 1")
    pair.sync()
    assert len(pair.both("SELECT * FROM t ORDER BY id")) == 3


def test_a_column_that_may_be_null_now_follows_before_the_first_null(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'a', 1)")
    pair.source.execute("ALTER TABLE t ALTER n DROP NOT NULL")
    pair.source.execute("INSERT INTO t SELECT g, 'many', NULL FROM generate_series(2, 400) g")
    pair.source.execute("UPDATE t SET n = NULL WHERE id = 1")
    pair.sync()
    assert parked(pair) == []
    assert pair.both("SELECT count(*), count(n) FROM t") == [(400, 0)]


def test_S12_a_trigger_of_the_target_does_not_fire_on_apply(pair):
    pair.target.execute("""
        CREATE TABLE audit (id bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; END';
        CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()
    """)
    pair.source.execute("INSERT INTO t VALUES (1, 'a', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 1")
    pair.source.execute("UPDATE t SET x = 2")
    pair.sync()
    assert pair.both("SELECT id, x FROM t") == [(1, 2)]
    assert pair.rows("SELECT count(*) FROM audit") == [(0,)]


def test_S1_a_column_that_nobody_writes_to_follows_once_the_stream_has_passed_it(pair):
    pair.source.execute("INSERT INTO t VALUES (1, 'old', 0)")
    pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 5")
    with pytest.raises(SchemaChanged, match="does not follow"):
        pair.evolution.refuse_drift()
    pair.evolution.look(pair.applier.position)
    assert pair.rows("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'x'") == [(0,)]
    pair.sync()
    pair.evolution.look(pair.applier.position)
    pair.evolution.refuse_drift()
    assert pair.both("SELECT id, x FROM t") == [(1, 5)]
    pair.source.execute("UPDATE t SET x = 6")
    pair.sync()
    assert pair.both("SELECT id, x FROM t") == [(1, 6)]


def test_T20_tables_that_the_service_owns_are_not_altered_behind_legacy(pair):
    pair.target.execute("CREATE TABLE strangler.ownership (move text PRIMARY KEY, owner text)")
    pair.target.execute("INSERT INTO strangler.ownership VALUES (%s, 'service')", (pair.move,))
    pair.source.execute("ALTER TABLE t ADD COLUMN late int DEFAULT 3")
    pair.evolution.look(pair.applier.position)
    pair.sync()
    with pytest.raises(SchemaChanged, match="owned by service now"):
        pair.evolution.look(pair.applier.position)
    late = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'late'"
    assert pair.rows(late) == [(0,)]
    pair.target.execute("UPDATE strangler.ownership SET owner = 'legacy'")
    pair.evolution.look(pair.applier.position)
    assert pair.rows(late) == [(1,)]


def test_S9_ddl_in_the_service_says_that_the_way_back_is_not_safe(pair):
    back = pair.make_link("reverse")
    pair.provision(back)
    schema = stream_schema(pair, "reverse", forward=pair.schema)
    watched = WatchedSchema(schema)
    schema.remember()
    pair.source.execute("ALTER TABLE t ADD COLUMN x int")
    pair.source.execute("INSERT INTO t VALUES (1, 'a', 0, 1)")
    pair.sync()
    watched.look(before(pair.target))
    watched.look(before(pair.target))
    watched.refuse_drift()
    pair.target.execute("ALTER TABLE t ADD COLUMN of_the_service int")
    watched.look(before(pair.target))
    with pytest.raises(SchemaChanged, match=r"rolling back is not safe any more.*of_the_service"):
        watched.look(before(pair.target))


def before(connection):
    return connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0]


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE t ADD COLUMN x int",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN a text",
        "ALTER TABLE t ALTER a TYPE text USING upper(a)",
        "ALTER TABLE t ALTER a SET NOT NULL",
        "ALTER TABLE t ALTER n SET DEFAULT 5",
        "ALTER TABLE t REPLICA IDENTITY FULL",
    ],
)
def test_C11_ddl_of_a_moved_table_ends_every_proof(one_database, ddl):
    dsn, connection = one_database
    before_ddl = schema_hash(reflect(dsn, [TableName(name="t")]))
    connection.execute("VACUUM FULL t")
    assert schema_hash(reflect(dsn, [TableName(name="t")])) == before_ddl
    with connection.transaction(force_rollback=True):
        connection.execute(ddl)
        assert schema_hash(reflect(connection, [TableName(name="t")])) != before_ddl


@pytest.fixture(scope="module")
def one_database(postgres_url):
    dsn = create_database(postgres_url, "proofs")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(DDL)
        yield dsn, connection


def test_S1_H13_a_partitioned_table_follows_as_one(make):
    ddl = """
        CREATE TABLE t (id bigint PRIMARY KEY, a text, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
        CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);
        CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200)
    """
    pair = make(ddl=ddl, target_ddl=DDL)
    pair.source.execute("INSERT INTO t SELECT g, 'row', 0 FROM generate_series(1, 150) g")
    pair.source.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 5")
    pair.source.execute("CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (200) TO (300)")
    pair.source.execute("INSERT INTO t (id) VALUES (190), (250)")
    pair.sync()
    pair.source.execute("ALTER TABLE t ADD COLUMN y text")
    pair.source.execute("UPDATE t SET y = 'y' WHERE id > 140")
    pair.sync()
    assert len(pair.both("SELECT * FROM t ORDER BY id")) == 152
    pair.evolution.look(pair.applier.position)
    assert parked(pair) == []
