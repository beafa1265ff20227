"""The applier alone, on real databases: exact values, batches, idempotency, errors."""

import dataclasses

import pytest

from cdc.errors import ApplyFailed, ConflictingWrite
from tests.stream_pair import StreamPair, identical

TYPES = {
    "n": ("numeric", ["NaN", "Infinity", "-Infinity", "1e1000", "0.0000000000000000000000000000001", "1.00"]),
    "f8": ("float8", ["NaN", "-0", "4.9406564584124654e-324", "0.1", "Infinity"]),
    "ts": ("timestamptz", ["infinity", "2026-03-29 02:30:00.123456+02", "0044-03-15 12:00:00+00 BC"]),
    "d": ("date", ["infinity", "0001-01-01 BC", "2026-02-28"]),
    "tm": ("time", ["24:00:00", "00:00:00.000001"]),
    "i": ("interval", ["1 mon -1 day +00:00:01", "-3 days"]),
    "b": ("bytea", ["", "\\x00ff5c27", "\\\\"]),
    "t": ("text", ["", "null", "NULL", "a\"b\\c'd\n\te,{}", "😀\U0010ffff", "__debezium_unavailable_value"]),
    "c": ("char(3)", ["a", "abc", ""]),
    "v": ("varchar(5)", ["12345", " x "]),
    "a": ("text[]", ["{}", '{"a,b","c\\"d",NULL,"NULL",""}', "{{a,b},{c,d}}", "[2:3]={x,y}"]),
    "ia": ("int[]", ["{1,NULL,3}"]),
    "j": ("jsonb", ['{"a": 123456789012345678901234567890.10}', '"x\\"y"', "[]", "null"]),
    "js": ("json", ['{"a":1,  "a":2}', "null"]),
    "e": ("mood", ["sad", "so happy"]),
    "ea": ("mood[]", ['{sad,"so happy"}']),
    "u": ("uuid", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    "o": ("bool", ["t", "f"]),
    "r": ("int4range", ["[1,5)", "empty"]),
    "k": ("money", ["12.34"]),
    "bx": ("box", ["(1,2),(0,0)"]),
    "bt": ("bit(3)", ["101"]),
    "ip": ("inet", ["10.0.0.1/8"]),
    "cm": ("pair", ['(1,"a,b")']),
    "dm": ("short_text", ["abc"]),
    "ch": ('"char"', ["x"]),
}
TYPES_DDL = (
    "CREATE TYPE mood AS ENUM ('sad', 'so happy'); CREATE TYPE pair AS (a int, b text);"
    "CREATE DOMAIN short_text AS varchar(3); CREATE TABLE t (id int PRIMARY KEY, "
    + ", ".join(f"{name} {kind}" for name, (kind, _) in TYPES.items())
    + ")"
)


@pytest.fixture
def make_pair(new_database, tmp_path):
    pairs = []

    def make(mapping, source_ddl, target_ddl=None, **options):
        options.setdefault("follows_copy", False)
        pair = StreamPair(
            new_database, tmp_path, f"m{len(pairs)}{tmp_path.name[-8:].strip('_')}", mapping, source_ddl,
            target_ddl or source_ddl, **options,
        )  # fmt: skip
        pairs.append(pair)
        pair.provision()
        pair.open()
        return pair

    yield make
    for pair in pairs:
        pair.close()


def test_every_type_arrives_exactly_by_insert_and_by_update(make_pair):
    pair = make_pair(identical(("t", "id " + " ".join(TYPES))), TYPES_DDL)
    row = 0
    for name, (_, values) in TYPES.items():
        for value in values:
            row += 1
            pair.source.execute(f"INSERT INTO t (id, {name}) VALUES (%s, %s)", (row, value))
            pair.source.execute("INSERT INTO t (id) VALUES (%s)", (row + 1000,))
            pair.source.execute(f"UPDATE t SET {name} = %s WHERE id = %s", (value, row + 1000))
    pair.sync()
    everything = "SELECT t::text FROM t ORDER BY id"
    assert pair.rows(everything, "target") == pair.rows(everything, "source")


def test_too_long_a_value_is_refused_not_cut(make_pair):
    pair = make_pair(
        identical(("t", "id v c")),
        "CREATE TABLE t (id int PRIMARY KEY, v text, c text)",
        "CREATE TABLE t (id int PRIMARY KEY, v varchar(3), c char(3))",
        on_bad_row="stop",
    )
    pair.source.execute("INSERT INTO t VALUES (1, 'abc', 'abc')")
    pair.source.execute("INSERT INTO t VALUES (2, 'abcd', 'abcd')")
    with pytest.raises(ApplyFailed) as caught:
        pair.sync()
    assert "upsert of t row id=2" in caught.value.thing
    assert "22001" in caught.value.reason
    assert pair.rows("SELECT id FROM t") == [(1,)]


def test_names_that_need_quoting(make_pair):
    ddl = """CREATE TABLE "Or.der""s %s" ("Id%" int PRIMARY KEY, "select" text)"""
    pair = make_pair(identical(('Or.der"s %s', "Id% select")), ddl)
    pair.source.execute("""INSERT INTO "Or.der""s %s" VALUES (1, 'a'), (2, 'b')""")
    pair.source.execute("""UPDATE "Or.der""s %s" SET "select" = 'c' WHERE "Id%" = 2""")
    pair.source.execute("""DELETE FROM "Or.der""s %s" WHERE "Id%" = 1""")
    pair.sync()
    assert pair.rows("""SELECT * FROM "Or.der""s %s" """) == [(2, "c")]


def test_applying_again_changes_nothing_and_the_ledger_moves_with_the_rows(make_pair):
    pair = make_pair(identical(("t", "id n")), "CREATE TABLE t (id int PRIMARY KEY, n int)")
    pair.source.execute("INSERT INTO t VALUES (1, 1)")
    pair.source.execute("UPDATE t SET n = n + 1")
    transactions = pair.capture()
    pair.applier.apply(transactions[:1])
    first = pair.applier.position
    assert first == transactions[0].commit_lsn
    pair.applier.apply(transactions)
    pair.applier.apply(transactions)
    assert pair.rows("SELECT * FROM t") == [(1, 2)]
    ledger = "SELECT commit_lsn - '0/0', transactions FROM strangler.stream_position"
    assert pair.rows(ledger) == [(transactions[-1].commit_lsn, len(transactions))]


def test_an_update_or_delete_that_meets_no_row_stops_the_stream_just_before_it(make_pair):
    pair = make_pair(identical(("t", "id n")), "CREATE TABLE t (id int PRIMARY KEY, n int)", on_bad_row="stop")
    pair.source.execute("INSERT INTO t SELECT g, 0 FROM generate_series(1, 5) g")
    pair.sync()
    pair.target.execute("DELETE FROM t WHERE id = 3")
    pair.source.execute("UPDATE t SET n = 1 WHERE id = 1")
    before = pair.capture()
    pair.source.execute("UPDATE t SET n = 2 WHERE id IN (2, 3)")
    batch = before + pair.capture()
    with pytest.raises(ApplyFailed) as caught:
        pair.applier.apply(batch)
    assert caught.value.thing == "update of t row id=3"
    assert pair.rows("SELECT id, n FROM t ORDER BY id") == [(1, 1), (2, 0), (4, 0), (5, 0)]
    pair.target.execute("INSERT INTO t VALUES (3, 0)")
    pair.applier.apply(batch)
    assert pair.rows("SELECT id, n FROM t ORDER BY id") == [(1, 1), (2, 2), (3, 2), (4, 0), (5, 0)]


def test_T19_a_row_that_the_target_refuses_is_named_and_by_policy_never_passed(make_pair):
    pair = make_pair(
        identical(("t", "id n")),
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n < 10))",
        on_bad_row="stop",
    )
    pair.source.execute("INSERT INTO t VALUES (1, 1), (2, 99)")
    position = pair.applier.position
    batch = pair.capture()
    for _ in range(2):
        with pytest.raises(ApplyFailed) as caught:
            pair.applier.apply(batch)
        assert (caught.value.thing, "23514" in caught.value.reason) == ("upsert of t row id=2", True)
        assert pair.applier.position == position
    pair.target.execute("ALTER TABLE t DROP CONSTRAINT t_n_check")
    pair.applier.apply(batch)
    assert pair.rows("SELECT * FROM t ORDER BY id") == [(1, 1), (2, 99)]


def test_identity_always_and_generated_columns(make_pair):
    ddl = """CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text UNIQUE,
        twice text GENERATED ALWAYS AS (a || a) STORED)"""
    pair = make_pair(identical(("t", "id a")), ddl)
    pair.source.execute("INSERT INTO t (a) VALUES ('x'), ('y')")
    pair.source.execute("UPDATE t SET a = 'z' WHERE id = 1")
    pair.source.execute("UPDATE t SET id = DEFAULT WHERE id = 1")
    pair.sync()
    assert pair.rows("SELECT * FROM t ORDER BY id") == [(2, "y", "yy"), (3, "z", "zz")]


def test_the_apps_triggers_and_foreign_keys_do_not_fire_on_apply(make_pair):
    pair = make_pair(
        identical(("c", "id p")),
        "CREATE TABLE c (id int PRIMARY KEY, p int)",
        """CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON c FOR EACH STATEMENT EXECUTE FUNCTION refuse()""",
    )
    pair.source.execute("INSERT INTO c VALUES (1, 7)")
    pair.sync()
    assert pair.rows("SELECT * FROM c") == [(1, 7)]


@pytest.mark.parametrize(("direction", "owner"), [("forward", "service"), ("reverse", "legacy")])
def test_a_data_change_from_the_side_that_does_not_own_is_a_conflict(make_pair, direction, owner):
    pair = make_pair(identical(("t", "id")), "CREATE TABLE t (id int PRIMARY KEY)")
    pair.target.execute("CREATE TABLE strangler.ownership (move text PRIMARY KEY, owner text)")
    pair.target.execute("INSERT INTO strangler.ownership VALUES (%s, %s)", (pair.move, owner))
    pair.source.execute("INSERT INTO t VALUES (1)")
    transactions = pair.capture()
    # The same session under another direction's rule.
    pair.applier._link = dataclasses.replace(pair.link, direction=direction)
    position = pair.applier.position
    with pytest.raises(ConflictingWrite):
        pair.applier.apply(transactions)
    assert pair.rows("SELECT * FROM t") == []
    assert pair.applier.position == position


def test_canaries_and_barriers_pass_whoever_owns(make_pair):
    pair = make_pair(identical(("t", "id")), "CREATE TABLE t (id int PRIMARY KEY)")
    pair.target.execute("CREATE TABLE strangler.ownership (move text PRIMARY KEY, owner text)")
    pair.target.execute("INSERT INTO strangler.ownership VALUES (%s, 'service')", (pair.move,))
    for token in ("a", "b"):
        pair.source.execute(
            "INSERT INTO strangler.canary (stream, token) VALUES (%s, %s), ('another', 'x')"
            " ON CONFLICT (stream) DO UPDATE SET token = EXCLUDED.token",
            (pair.link.stream, token),
        )
    pair.sync()
    assert pair.rows("SELECT stream, token FROM strangler.canary") == [(pair.link.stream, "b")]


def test_truncate_empties_in_order(make_pair):
    ddl = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p)"
    pair = make_pair(identical(("p", "id"), ("c", "id p")), ddl)
    pair.target.execute("CREATE TABLE elsewhere (p int REFERENCES p)")
    pair.source.execute("INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1)")
    pair.source.execute("TRUNCATE p CASCADE")
    pair.source.execute("INSERT INTO p VALUES (2)")
    pair.sync()
    assert pair.rows("SELECT * FROM p") == [(2,)]
    assert pair.rows("SELECT * FROM c") == []
