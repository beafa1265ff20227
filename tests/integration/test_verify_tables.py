"""Verification of two real databases at rest: what it finds, what it renders alike, what it refuses to call equal."""

import psycopg
import pytest

from cdc.errors import DatabaseUnreachable, MappingInvalid
from cdc.events import TableName
from cdc.mapping.model import ColumnRule, MoveMapping, TableMapping, TargetMapping
from cdc.verify import ChangedKeys, verify_all, verify_keys
from cdc.verify.errors import ReadFailed
from sandbox.postgres import create_database
from strangler.clock import ManualClock
from tests.catalog_mapping import CATALOG, fill, name, same

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def urls(postgres_url):
    return [create_database(postgres_url, f"verify_{side}") for side in ("legacy", "service")]


@pytest.fixture
def sides(urls):
    with (
        psycopg.connect(urls[0], autocommit=True) as legacy,
        psycopg.connect(urls[1], autocommit=True) as service,
    ):
        for connection in (legacy, service):
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield legacy, service


@pytest.fixture
def catalog(sides):
    fill(*sides, 300)
    return sides


def verify(urls, mapping=CATALOG, **options):
    return verify_all(
        *urls,
        mapping,
        **{
            "move": "catalog",
            "direction": "forward",
            "wait_caught_up": lambda: None,
            "clock": ManualClock(),
            "position": lambda: 0x1_0000_00FF,
            "chunk_rows": 64,
            **options,
        },
    )


def verify_changed(urls, keys, mapping=CATALOG):
    return verify_keys(
        *urls, mapping, keys, move="catalog", direction="forward", clock=ManualClock(), position=lambda: 1
    )


def found(verdict):
    return [(t.table, d.kind, d.key, d.columns) for t in verdict.tables for d in t.differences]


def one_table(source_ddl, target_ddl, sides, *rules, source="a", target="b"):
    sides[0].execute(source_ddl)
    sides[1].execute(target_ddl)
    return MoveMapping(
        tables=(TableMapping(source=name(source), targets=(TargetMapping(table=name(target), columns=rules),)),)
    )


def test_equal_sides_are_equal(urls, catalog):
    seen = []
    verdict = verify(urls, progress=lambda table, rows: seen.append((table.name, rows)))
    assert verdict.equal
    assert verdict.rows == 300 * 4 + 10
    assert verdict.position == "1/FF"
    assert [t.table for t in verdict.tables] == [
        "categories",
        "products",
        "product_descriptions",
        "prices",
        "product_categories",
    ]
    assert ("products", 64) in seen
    assert ("products", 300) in seen


def test_the_checksum_does_not_depend_on_the_chunks_and_is_the_same_both_ways(urls, catalog):
    chunked, whole = verify(urls), verify(urls, chunk_rows=10_000)
    assert [t.checksum for t in chunked.tables] == [t.checksum for t in whole.tables]


def test_every_kind_of_difference_is_found_with_its_columns(urls, catalog):
    _, service = catalog
    service.execute("""
        UPDATE products SET title = 'other', weight_grams = NULL WHERE product_id = 123;
        DELETE FROM product_descriptions WHERE product_id = 7;
        UPDATE prices SET amount_minor = amount_minor + 1 WHERE price_id = 300;
        INSERT INTO prices VALUES (999, 1, 'EUR', 1, NULL, now(), NULL);
    """)
    verdict = verify(urls)
    assert not verdict.equal
    assert found(verdict) == [
        ("products", "different", ("123",), ("title", "weight_grams")),
        ("product_descriptions", "missing", ("7",), ()),
        ("prices", "different", ("300",), ("amount_minor",)),
        ("prices", "extra", ("999",), ()),
    ]


def test_far_more_rows_on_one_side_are_halved_and_all_found(urls, sides):
    mapping = one_table(
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 10)",
        "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b SELECT generate_series(1, 3000)",
        sides,
        *same("id"),
    )
    verdict = verify(urls, mapping, chunk_rows=50)
    assert verdict.tables[0].difference_count == 2990
    assert len(verdict.tables[0].differences) == 100
    assert verdict.tables[0].complete


def test_a_hopeless_table_ends_early_and_says_so(urls, sides):
    mapping = one_table(
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 60000)",
        "CREATE TABLE b (id int PRIMARY KEY)",
        sides,
        *same("id"),
    )
    (table,) = verify(urls, mapping, chunk_rows=5_000).tables
    assert not table.complete
    assert table.difference_count >= 10_000


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", "'a', 'B', 'ä', '', 'Z', 'z', 'a b', U&'\\+01F600'"),
        ("uuid", "gen_random_uuid(), gen_random_uuid()"),
        ("numeric", "1, 1.5, 1e30, -7, 'NaN'"),
        ("timestamptz", "now(), '-infinity', '2026-10-25 01:30+00'"),
        ("mood", "'sad', 'ok'"),
        ("character(4)", "'a', 'ab'"),
        ("bytea", "'\\x00', '\\xff'"),
    ],
)
def test_H09_keys_of_many_types(urls, sides, kind, values):
    ddl = "CREATE TYPE mood AS ENUM ({}); CREATE TABLE {} (k {} PRIMARY KEY, v int)"
    mapping = one_table(
        ddl.format("'sad', 'ok'", "a", kind), ddl.format("'ok', 'sad'", "b", kind), sides, *same("k", "v")
    )
    sides[0].execute(f"INSERT INTO a SELECT unnest(ARRAY[{values}]::{kind}[]), 1")
    copied = [row[0] for row in sides[0].execute("SELECT concat(k) FROM a")]
    for key in copied:
        sides[1].execute(f"INSERT INTO b VALUES (%s::text::{kind}, 1)", (key,))
    assert verify(urls, mapping, chunk_rows=1).equal
    sides[1].execute("UPDATE b SET v = NULL WHERE k = (SELECT k FROM b ORDER BY k::text LIMIT 1)")
    verdict = verify(urls, mapping, chunk_rows=2)
    assert [d.kind for d in verdict.tables[0].differences] == ["different"]
    assert verify_changed(urls, {name("a"): [(key,) for key in copied]}, mapping).difference_count == 1


def test_composite_keys_with_a_constant(urls, sides):
    mapping = one_table(
        "CREATE TABLE a (x int, y text, PRIMARY KEY (x, y)); INSERT INTO a VALUES (1, 'p'), (1, 'q'), (2, 'p')",
        "CREATE TABLE b (kind text, y text, x bigint, PRIMARY KEY (kind, y, x));"
        "INSERT INTO b VALUES ('k', 'p', 1), ('k', 'q', 1), ('l', 'p', 2)",
        sides,
        *same("x", "y"),
        ColumnRule(target="kind", constant="k"),
    )
    expected = [("b", "missing", ("k", "p", "2"), ()), ("b", "extra", ("l", "p", "2"), ())]
    assert found(verify(urls, mapping, chunk_rows=1)) == expected
    assert found(verify_changed(urls, {name("a"): {("2", "p"), ("1", "q")}}, mapping)) == expected[:1]


def test_D33_quoted_names(urls, sides):
    mapping = one_table(
        'CREATE TABLE "a.""%s$1" ("K 1" int PRIMARY KEY, "select" text); INSERT INTO "a.""%s$1" VALUES (1, \'x\')',
        'CREATE TABLE "B" ("k\'" int PRIMARY KEY, "V" text); INSERT INTO "B" VALUES (1, \'x\')',
        sides,
        *same("K 1>k'"),
        ColumnRule(source="select", target="V", lookup={"x": "x", "it's %s \\": "$1"}),
        source='a."%s$1',
        target="B",
    )
    assert verify(urls, mapping).equal


def test_numbers_of_another_scale_are_compared_by_value_and_the_same_type_by_text(urls, sides):
    mapping = one_table(
        "CREATE TABLE a (id int PRIMARY KEY, n numeric(6,2), u numeric, s numeric(12,2));"
        "INSERT INTO a VALUES (1, 1.50, 1.0, 0.07), (2, NULL, NULL, -3)",
        "CREATE TABLE b (id int PRIMARY KEY, n numeric(8,4), u numeric, s numeric);"
        "INSERT INTO b VALUES (1, 1.5, 1.00, 7), (2, NULL, NULL, -300.0)",
        sides,
        *same("id", "n", "u"),
        ColumnRule(source="s", target="s", scale=100),
    )
    assert found(verify(urls, mapping)) == [("b", "different", ("1",), ("u",))]
    assert found(verify(urls[::-1], mapping.inverse(), direction="reverse")) == [("a", "different", ("1",), ("u",))]


def test_verify_keys_reads_only_these_keys(urls, catalog):
    _, service = catalog
    service.execute("UPDATE products SET title = 'x' WHERE product_id IN (5, 6); DELETE FROM prices WHERE price_id = 9")
    keys = {name("product"): {("5",), ("7",), ("4711",)}, name("price"): {("9",)}}
    verdict = verify_changed(urls, keys)
    assert verdict.method == "changed"
    assert [t.table for t in verdict.tables] == ["products", "product_descriptions", "prices"]
    assert found(verdict) == [("products", "different", ("5",), ("title",)), ("prices", "missing", ("9",), ())]
    assert verify_changed(urls, {}).equal


def test_a_truncated_table_is_read_whole(urls, catalog):
    legacy, _ = catalog
    legacy.execute("TRUNCATE price")
    verdict = verify_changed(urls, ChangedKeys(keys={}, truncated=frozenset({name("price")})))
    assert verdict.difference_count == 300


def test_databases_of_different_encodings(urls, sides, postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE DATABASE verify_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    latin1 = urls[1].rsplit("/", 1)[0] + "/verify_latin1"
    with psycopg.connect(latin1, autocommit=True, client_encoding="utf8") as other:
        mapping = one_table(
            "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a VALUES (1, 'größer')",
            "CREATE TABLE b (id int PRIMARY KEY, t text); INSERT INTO b VALUES (1, 'größer')",
            (sides[0], other),
            *same("id", "t"),
        )
        assert verify([urls[0], latin1], mapping).equal
        other.execute("UPDATE b SET t = 'kleiner'")
        assert not verify([urls[0], latin1], mapping).equal


def test_V09_a_table_without_a_key_is_refused_not_passed(urls, sides):
    mapping = one_table("CREATE TABLE a (id int)", "CREATE TABLE b (id int PRIMARY KEY)", sides, *same("id"))
    with pytest.raises(MappingInvalid, match="no primary key"):
        verify(urls, mapping)


@pytest.fixture
def reader(sides):
    sides[0].execute("CREATE ROLE reader LOGIN")
    yield
    sides[0].execute("DROP OWNED BY reader; DROP ROLE reader")


def test_V05_a_side_that_cannot_be_read_is_an_error(urls, catalog, reader):
    _, service = catalog
    service.execute("DROP TABLE prices")
    with pytest.raises(MappingInvalid, match="prices"):
        verify(urls)
    with pytest.raises(DatabaseUnreachable):
        verify([urls[0], "postgresql://x:secret@127.0.0.1:1/x"])
    with pytest.raises(ReadFailed, match="permission denied"):
        verify([urls[0].replace("postgres@", "reader@"), urls[1]], MoveMapping(tables=CATALOG.tables[:2]))


def test_ddl_while_reading_is_no_verdict(urls, catalog):
    _, service = catalog

    def alter(table, rows):
        service.execute("ALTER TABLE categories ADD IF NOT EXISTS colour text")

    with pytest.raises(ReadFailed, match="structure changed"):
        verify(urls, progress=alter)


def test_V05_rows_that_a_policy_hides_are_an_error_not_a_smaller_table(urls, sides, reader):
    mapping = one_table(
        "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2); ALTER TABLE a ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON a USING (id = 1); GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON a TO reader",
        "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)",
        sides,
        *same("id"),
    )
    with pytest.raises(ReadFailed, match="row-level security"):
        verify([urls[0].replace("postgres@", "reader@"), urls[1]], mapping)


def test_a_source_table_of_another_schema(urls, sides):
    sides[0].execute("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; CREATE TABLE shop.a (id int PRIMARY KEY)")
    sides[1].execute("CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1)")
    mapping = MoveMapping(
        tables=(
            TableMapping(
                source=TableName(schema="shop", name="a"),
                targets=(TargetMapping(table=name("b"), columns=same("id")),),
            ),
        )
    )
    assert found(verify(urls, mapping)) == [("b", "extra", ("1",), ())]
