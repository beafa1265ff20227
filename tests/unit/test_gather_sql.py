"""Statements as PostgreSQL and MySQL log them, and what they do to tables."""

import pytest

from migration_plans.gather.sql import SqlReader, catalog_of
from migration_plans.gather.statement import Access, Catalog, ColumnName, Routine, View
from migration_plans.gather.statement_text import comment_tags, normalised, split_statements


def spelled(facts):
    return " ".join(f"{access.table}:{access.mode}" for access in facts.accesses)


def joined(facts):
    return {f"{a.table}.{a.column}={b.table}.{b.column}" for a, b in facts.joins}


@pytest.mark.parametrize(
    ("statement", "accesses"),
    [
        ("SELECT * FROM a, b WHERE a.x = b.y", "a:R b:R"),
        ("SELECT * FROM ONLY public.a", "a:R"),
        ("SELECT * FROM audit.a", "audit.a:R"),
        ('SELECT * FROM "Order" o', "Order:R"),
        ("SELECT 1 FROM A", "a:R"),
        ("INSERT INTO a (x) SELECT y FROM b RETURNING id", "b:R a:W"),
        ("INSERT INTO a (x) VALUES ((SELECT max(y) FROM b))", "b:R a:W"),
        ("INSERT INTO a DEFAULT VALUES", "a:W"),
        ("UPDATE a SET x = b.y FROM b JOIN c USING (z) WHERE a.i = b.i", "b:R c:R a:W"),
        ("UPDATE a SET (x, y) = (SELECT u, v FROM b WHERE b.id = a.id)", "b:R a:W"),
        ("DELETE FROM a USING b WHERE a.x = b.x", "b:R a:W"),
        ("DELETE FROM a WHERE x IN (SELECT y FROM b WHERE z NOT IN (SELECT 1 FROM c))", "b:R c:R a:W"),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE", "b:R a:W"),
        ("WITH n AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM n", "a:W b:W"),
        ("WITH a AS (SELECT * FROM b) SELECT * FROM a", "b:R"),
        ("WITH RECURSIVE t AS (SELECT id FROM c UNION ALL SELECT c.id FROM c JOIN t ON c.up = t.id) TABLE t", "c:R"),
        ("SELECT (SELECT count(*) FROM b WHERE b.i = a.i) FROM a UNION SELECT 1 FROM c", "a:R b:R c:R"),
        ("SELECT * FROM ((a x JOIN b y ON x.i = y.i) LEFT JOIN LATERAL (SELECT 1 FROM c) z ON true)", "a:R b:R c:R"),
        ("SELECT * FROM generate_series(1, 3) g, unnest(ARRAY[1]) u", ""),
        ("SELECT * FROM pg_class JOIN information_schema.tables ON true", ""),
        ("COPY a (x) FROM STDIN", "a:W"),
        ("COPY (SELECT * FROM a) TO STDOUT", "a:R"),
        ("TRUNCATE a, b CASCADE", "a:W b:W"),
        ("EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM a", "a:R"),
        ("DECLARE c NO SCROLL CURSOR WITHOUT HOLD FOR SELECT * FROM a", "a:R"),
        ("PREPARE p (int) AS UPDATE a SET x = $1", "a:W"),
        ("UPDATE a SET x = 1 WHERE CURRENT OF c", "a:W"),
        ("CREATE TEMP TABLE t AS SELECT * FROM a", "a:R"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", ""),
        ("SET search_path = x", ""),
        ("SELECT x FROM a WHERE y IN ($1 /*, ... */) AND z = ANY($2::int[])", "a:R"),
        ("insert into a (x,y,z) values ($1,$2,$3)", "a:W"),
        ("insert into a values ($1,'it''s $2,$3',$2)", "a:W"),
        ("UPDATE a SET x=$1,y=$2::text||$3 WHERE id=$4", "a:W"),
        ("SELECT $1,$2,$tag$ $1,$2 $tag$ FROM a JOIN b ON b.i=a.i LIMIT $3", "a:R b:R"),
        ("SELECT * FROM a WHERE x = ANY($1::oid[]) OR y = ANY($2 :: REGCLASS[])", "a:R"),
        ("INSERT INTO a (id) OVERRIDING SYSTEM VALUE VALUES (1)", "a:W"),
        ("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT * FROM a", "a:R"),
        ("SELECT 1 FROM a WHERE x = $2($2 AS REGCLASS) AND y IN ($4 /*, ... */) OR z = $3($3 AS jsonb)", "a:R"),
        ("", ""),
        ("-- nothing", ""),
    ],
)
def test_tables_of_postgresql_statements(statement, accesses):
    facts = SqlReader().read(statement)
    assert facts.not_understood is None
    assert spelled(facts) == accesses


@pytest.mark.parametrize(
    ("statement", "accesses"),
    [
        ("REPLACE INTO a (x) VALUES (1)", "a:W"),
        ("UPDATE a JOIN b ON a.x = b.x SET b.y = a.y", "b:R a:R b:W"),
        ("UPDATE a, b SET a.x = 1, b.x = 2 WHERE a.i = b.i", "b:R a:W b:W"),
        ("DELETE b FROM a JOIN b ON a.x = b.x", "b:R a:R b:W"),
        ("INSERT IGNORE INTO a SET x = 'it\\'s; --'", "a:W"),
        ("INSERT INTO a (x) VALUES (1) ON DUPLICATE KEY UPDATE x = VALUES(x)", "a:W"),
        ("SELECT SQL_CALC_FOUND_ROWS * FROM `a` FORCE INDEX (i) LIMIT 5, 10", "a:R"),
        ("LOAD DATA INFILE 'f' INTO TABLE a", "a:W"),
        ("SELECT * FROM Orders", "Orders:R"),
    ],
)
def test_tables_of_mysql_statements(statement, accesses):
    facts = SqlReader(dialect="mysql").read(statement)
    assert facts.not_understood is None
    assert spelled(facts) == accesses


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("INSERT INTO a (x) SELECT y FROM b", "insert a"),
        ("INSERT INTO a (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET y = 2", "insert a, update a"),
        ("INSERT INTO a (x) VALUES (1) ON CONFLICT DO NOTHING", "insert a"),
        ("UPDATE a SET x = 1", "update a"),
        ("DELETE FROM a USING b WHERE a.x = b.x", "delete a"),
        ("TRUNCATE a, b", "delete a, delete b"),
        ("COPY a FROM STDIN", "insert a"),
        ("COPY a TO STDOUT", ""),
        ("SELECT * FROM a FOR UPDATE", ""),
        ("WITH n AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM n", "delete a, insert b"),
        (
            "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED AND b.gone THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET x = b.x WHEN NOT MATCHED THEN INSERT (id) VALUES (b.id)",
            "delete a, update a, insert a",
        ),
    ],
)
def test_what_a_write_does_to_rows(statement, changes):
    facts = SqlReader().read(statement)
    assert ", ".join(f"{change.kind} {change.table}" for change in facts.changes) == changes
    assert {change.table for change in facts.changes} == {one.table for one in facts.accesses if one.mode == "W"}


@pytest.mark.parametrize("call", ["pg_advisory_xact_lock(7)", "pg_try_advisory_lock($1, $2)"])
def test_an_advisory_lock_is_a_lock_of_no_table(call):
    facts = SqlReader().read(f"SELECT {call}")
    assert [tuple(lock) for lock in facts.locks] == [("", "ADVISORY")]
    assert facts.accesses == ()


def test_columns_joins_predicates_and_locks():
    reader = SqlReader(catalog=catalog_of({"a": ["id", "x", "z"], "b": ["a_id", "y"]}))
    facts = reader.read("SELECT z FROM a JOIN b ON a_id = a.id::bigint WHERE y > $1 AND x LIKE 'q%' FOR UPDATE OF a")
    assert facts.columns["a"].read == ("id", "x", "z")
    assert facts.columns["b"].read == ("a_id", "y")
    assert joined(facts) == {"a.id=b.a_id"}
    assert {(p.column.table, p.column.column, p.operator) for p in facts.predicates} == {
        ("b", "y", ">"),
        ("a", "x", "LIKE"),
    }
    assert [tuple(lock) for lock in facts.locks] == [("a", "UPDATE")]


def test_a_bare_column_of_two_tables_without_a_schema_is_nobodys():
    facts = SqlReader().read("SELECT x FROM a, b")
    assert facts.columns == {}


def test_joins_are_followed_through_with_and_in():
    reader = SqlReader(catalog=catalog_of({"a": ["id"], "b": ["a_id", "v"]}))
    assert joined(reader.read("WITH s (k) AS (SELECT a_id FROM b) SELECT 1 FROM a JOIN s ON s.k = a.id")) == {
        "a.id=b.a_id"
    }
    assert joined(reader.read("DELETE FROM a WHERE id IN (SELECT a_id FROM b)")) == {"a.id=b.a_id"}
    assert joined(reader.read("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a_id = id)")) == {"a.id=b.a_id"}


def test_written_columns():
    reader = SqlReader(catalog=catalog_of({"a": ["id", "x", "y"], "b": ["x"]}))
    assert reader.read("INSERT INTO a VALUES (1, 2, 3)").columns["a"].written == ("id", "x", "y")
    upsert = reader.read("INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET y = EXCLUDED.y, x = a.x + 1")
    assert upsert.columns["a"].written == ("id", "x", "y")
    assert upsert.columns["a"].read == ("x",)


def test_views_routines_partitions_and_unknown_names():
    catalog = Catalog(
        columns={"a": ("id",), "b": ("id",), "log": ("id",)},
        views={"v": View(tables=("a", "b"), columns={"key": ColumnName("a", "id")})},
        routines={"touch": Routine(accesses=(Access("log", "W"),))},
        partitions={"log_2026": "log"},
    )
    reader = SqlReader(catalog=catalog)
    through = reader.read("SELECT touch(key) FROM v WHERE key = 1")
    assert spelled(through) == "a:R b:R log:W"
    assert through.views == ("v",)
    assert through.columns["a"].read == ("id",)
    assert spelled(reader.read("INSERT INTO log_2026 VALUES (1)")) == "log:W"
    lost = reader.read("INSERT INTO tmp_x SELECT id FROM a")
    assert spelled(lost) == "a:R"
    assert lost.unknown_tables == ("tmp_x",)
    assert spelled(reader.read("CALL touch()")) == "log:W"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM WHERE",
        "SELECT * FROM a WHERE (((",
        "UPDATE",
        "WITH x AS",
        "SELEKT 1",
        "\x00\x01",
        "'",
        "SELECT '" + "x" * 30_000,
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT 1 FROM a WHERE " + " OR ".join(f"x = {n}" for n in range(5_000)),
        "MERGE INTO a",
        "/* never closed SELECT 1",
        "$$ never closed",
    ],
)
def test_what_is_not_understood_is_said_and_never_raised(statement):
    facts = SqlReader().read(statement)
    assert facts.not_understood or not facts.accesses or spelled(facts) == "a:R"


def test_a_gap_is_reported_with_the_statement():
    for broken in ("SELECT FROM WHERE x = 's3cr3t'", "SELECT 's3cr3t", "SELECT 1 FROM a WHERE 's3cr3t' = ) 's3cr3t'"):
        facts = SqlReader().read(broken)
        assert facts.text
        assert "s3cr3t" not in facts.text + str(facts.not_understood)


def test_statements_that_differ_in_values_are_read_once():
    reader = SqlReader()
    first = reader.read("SELECT x FROM a WHERE y = 'one' AND z IN (1, 2, 3) -- by hand")
    assert reader.read("SELECT x FROM a WHERE y = 'it''s two' AND z IN (4) /*route='x'*/") is first
    assert reader.read("SELECT x FROM a WHERE y = 'one' OR z IN (1, 2, 3)") is not first


def test_a_very_long_insert_is_read_by_its_form():
    rows = ", ".join(f"({n}, 'name {n}')" for n in range(20_000))
    assert spelled(SqlReader().read(f"INSERT INTO a (id, name) VALUES {rows}")) == "a:W"


def test_normalised_form():
    text = "SELECT /* c /* nested */ */ a, 'it''s', E'\\'', $$ body; $$ FROM t WHERE x IN (1,2) AND y = $12 ;"
    assert normalised(text) == "SELECT a, '?' FROM t WHERE x IN (0) AND y = $1"
    assert normalised("INSERT INTO t VALUES (1,'a'), (2,'b')") == "INSERT INTO t VALUES (0)"


def test_statements_are_split_outside_of_strings_and_bodies():
    assert split_statements("BEGIN; UPDATE a SET x = ';' -- ;\n; COMMIT;") == [
        "BEGIN",
        "UPDATE a SET x = ';' -- ;",
        "COMMIT",
    ]
    assert len(split_statements("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3")) == 2


def test_comment_tags():
    sqlcommenter = "SELECT 1 /*route='%2Fapi%2Fa%2F%3Cint%3Aid%3E',traceparent='00-ab-cd-01'*/"
    assert comment_tags(sqlcommenter) == {"route": "/api/a/<int:id>", "traceparent": "00-ab-cd-01"}
    assert comment_tags("/*application:Shop,controller:orders,action:show*/ SELECT 1")["action"] == "show"
    assert comment_tags("SELECT /*+ IndexScan(a) */ '/*route=''x''*/'") == {}
    assert comment_tags("SELECT 1 /* see ticket: 12 */") == {}
