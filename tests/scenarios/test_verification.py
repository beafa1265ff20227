"""V1–V7 and V9 against two real databases, with a stand-in stream that applies late."""

import threading
from datetime import timedelta

import psycopg
import pytest

from cdc.errors import DatabaseUnreachable
from cdc.mapping.check import check_mapping
from cdc.mapping.model import MoveMapping, TableMapping, TargetMapping
from cdc.schema import reflect, schema_hash
from cdc.verify import verify_all
from sandbox.postgres import create_database, postgres_server
from strangler.clock import ManualClock
from tests.catalog_mapping import CATALOG, fill, name, same

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

ROWS = 2_000


@pytest.fixture(scope="module")
def urls(postgres_url):
    return [create_database(postgres_url, f"verification_{side}") for side in ("legacy", "service")]


@pytest.fixture
def sides(urls):
    with (
        psycopg.connect(urls[0], autocommit=True) as legacy,
        psycopg.connect(urls[1], autocommit=True) as service,
    ):
        for connection in (legacy, service):
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        fill(legacy, service, ROWS)
        yield legacy, service


def verify(urls, mapping=CATALOG, wait_caught_up=lambda: None, **options):
    options = {"move": "catalog", "direction": "forward", "chunk_rows": 256, **options}
    return verify_all(*urls, mapping, wait_caught_up=wait_caught_up, clock=ManualClock(), position=lambda: 1, **options)


def found(verdict):
    return [(t.table, d.kind, d.key, d.columns) for t in verdict.tables for d in t.differences]


def test_V01_one_flipped_bit_is_found_and_its_key_told(urls, sides):
    sides[1].execute("UPDATE product_descriptions SET body = 'ddddde' WHERE product_id = 1237")
    assert found(verify(urls)) == [("product_descriptions", "different", ("1237",), ("body",))]


def test_V02_missing_extra_and_exchanged_values(urls, sides):
    sides[1].execute("""
        DELETE FROM prices WHERE price_id = 4;
        INSERT INTO prices VALUES (5000, 1, 'EUR', 1, NULL, now(), NULL);
        UPDATE products SET weight_grams = 2 WHERE product_id = 1; UPDATE products SET weight_grams = 1
         WHERE product_id = 2;
        UPDATE product_categories SET sort_order = 11 WHERE product_id = 10;
        UPDATE product_categories SET sort_order = 10 WHERE product_id = 11;
    """)
    assert found(verify(urls)) == [
        ("products", "different", ("1",), ("weight_grams",)),
        ("products", "different", ("2",), ("weight_grams",)),
        ("prices", "missing", ("4",), ()),
        ("prices", "extra", ("5000",), ()),
        ("product_categories", "different", ("10", "1"), ("sort_order",)),
        ("product_categories", "different", ("11", "2"), ("sort_order",)),
    ]


@pytest.mark.parametrize(
    ("source", "target", "columns"),
    [
        ("('ab', 'c')", "('a', 'bc')", ("x", "y")),
        ("(NULL, 'a')", "('', 'a')", ("x",)),
        ("(NULL, NULL)", "('NULL', NULL)", ("x",)),
        ("('a', NULL)", "(NULL, 'a')", ("x", "y")),
        ("('a,b', 'c')", "('a', 'b,c')", ("x", "y")),
        ("('a\",\"b', '')", "('a', 'b')", ("x", "y")),
    ],
)
def test_V02_separators_and_nulls_do_not_blur(urls, sides, source, target, columns):
    sides[0].execute(f"CREATE TABLE a (id int PRIMARY KEY, x text, y text); INSERT INTO a VALUES (1, {source[1:]}")
    sides[1].execute(f"CREATE TABLE b (id int PRIMARY KEY, x text, y text); INSERT INTO b VALUES (1, {target[1:]}")
    targets = (TargetMapping(table=name("b"), columns=same("id", "x", "y")),)
    mapping = MoveMapping(tables=(TableMapping(source=name("a"), targets=targets),))
    assert found(verify(urls, mapping)) == [("b", "different", ("1",), columns)]


def test_V03_rows_in_flight_are_no_differences_and_real_ones_among_them_are(urls, sides):
    legacy, service = sides
    late = [
        "UPDATE products SET title = 'new' WHERE product_id <= 20",
        "DELETE FROM prices WHERE price_id = 30",
        "INSERT INTO prices VALUES (9000, 1, 'EUR', 100, NULL, '2026-01-01+00', NULL)",
    ]
    legacy.execute("""
        UPDATE product SET name = 'new' WHERE id <= 20; DELETE FROM price WHERE id = 30;
        INSERT INTO price VALUES (9000, 1, 'EUR', 1.00, NULL, '2026-01-01+00', NULL);
    """)
    service.execute("UPDATE products SET revision = 0 WHERE product_id = 20")

    def stream_catches_up():
        while late:
            service.execute(late.pop(0))

    assert found(verify(urls, wait_caught_up=stream_catches_up)) == [("products", "different", ("20",), ("revision",))]


def test_V04_a_row_that_never_rests_ends_as_unsettled_and_hides_nothing(urls, sides):
    legacy, service = sides
    service.execute("UPDATE products SET title = 'wrong' WHERE product_id = 8")
    ticks = iter(range(10_000))

    def never_the_same():
        value = 3 * next(ticks)
        service.execute("UPDATE products SET revision = %s WHERE product_id = 7", (value,))
        legacy.execute("UPDATE product SET version = %s WHERE id = 7", (value + 1,))

    never_the_same()
    verdict = verify(urls, wait_caught_up=never_the_same)
    assert found(verdict) == [("products", "different", ("8",), ("title",))]
    assert [t.unsettled for t in verdict.tables] == [0, 1, 0, 0, 0]


def test_V04_a_row_that_toggles_between_two_values_is_not_taken_for_a_difference(urls, sides):
    legacy, service = sides

    def away_and_back():
        legacy.execute("UPDATE product SET version = -1 WHERE id = 7; UPDATE product SET version = 7 WHERE id = 7")
        service.execute("UPDATE products SET revision = -1 WHERE product_id = 7")

    away_and_back()
    assert verify(urls, wait_caught_up=away_and_back).equal


def test_V04_verification_under_a_writer_that_never_stops_terminates(urls, sides):
    stop = threading.Event()

    def write():
        with psycopg.connect(urls[0], autocommit=True) as legacy, psycopg.connect(urls[1], autocommit=True) as service:
            version = 0
            while not stop.is_set():
                version += 1
                legacy.execute("UPDATE product SET version = %s WHERE id = 7", (version,))
                service.execute("UPDATE products SET revision = %s WHERE product_id = 7", (version,))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        verdict = verify(urls)
    finally:
        stop.set()
        writer.join()
    assert {key for _, _, key, _ in found(verdict)} <= {("7",)}
    assert verdict.rows == 10 + 4 * ROWS


@pytest.mark.parametrize("side", [0, 1])
def test_V05_a_reader_that_dies_midway_is_an_error_never_equal(urls, sides, side):
    def kill(table, rows):
        if table.name == "products" and rows == 512:
            sides[side].execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'strangler verify' AND datname = current_database()"
            )

    with pytest.raises(DatabaseUnreachable):
        verify(urls, progress=kill)


def test_V06_servers_and_databases_with_other_settings_give_the_same_text(sides, urls):
    odd = {
        "timezone": "America/Caracas",
        "datestyle": "German",
        "intervalstyle": "sql_standard",
        "extra_float_digits": "-4",
        "bytea_output": "escape",
    }
    columns = "id text PRIMARY KEY, at timestamptz, d date, i interval, f float8, b bytea, j jsonb, a text[]"
    ddl = f"CREATE TABLE {{}} ({columns})"
    rows = [
        (
            "a",
            "2026-03-29 01:30+00",
            "2026-02-01",
            "1 mon -1 day",
            "0.1",
            "\\x00ff",
            '{"b":1,"a":[null]}',
            '{"x,y",NULL}',
        ),
        ("B", "infinity", "0044-03-15 BC", "-00:00:01", "-0", "\\x", "{}", "{}"),
        ("ä", None, None, None, "NaN", None, None, None),
        ("Z", "294276-01-01+00", "infinity", "1 year", "5e-324", "\\x61", "1", '{"",NULL}'),
    ]
    with (
        postgres_server(odd) as other_server,
        psycopg.connect(other_server, autocommit=True) as server,
    ):
        locale = "LOCALE 'C'"
        if server.info.server_version >= 170_000:
            locale = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
        server.execute(f"CREATE DATABASE odd TEMPLATE template0 {locale}")
        other = other_server.rsplit("/", 1)[0] + "/odd"
        with psycopg.connect(other, autocommit=True) as service:
            sides[0].execute(ddl.format("a"))
            service.execute(ddl.format("b"))
            for connection, table in ((sides[0], "a"), (service, "b")):
                with connection.cursor() as cursor:
                    cursor.executemany(f"INSERT INTO {table} VALUES (%s,%s,%s,%s,%s,%s::text::bytea,%s,%s)", rows)
            columns = same("id", "at", "d", "i", "f", "b", "j", "a")
            targets = (TargetMapping(table=name("b"), columns=columns),)
            mapping = MoveMapping(tables=(TableMapping(source=name("a"), targets=targets),))
            assert verify([urls[0], other], mapping, chunk_rows=1).equal
            service.execute("UPDATE b SET f = 0 WHERE id = 'B'")
            assert found(verify([urls[0], other], mapping, chunk_rows=1)) == [("b", "different", ("B",), ("f",))]


def test_V07_the_way_back_is_verified_alike(urls, sides):
    legacy, _ = sides
    back = [urls[1], urls[0]]
    assert verify(back, CATALOG.inverse(), direction="reverse").equal
    legacy.execute("UPDATE product SET descr = 'x' WHERE id = 3; UPDATE price SET amount = 0.41 WHERE id = 40")
    legacy.execute("INSERT INTO product VALUES (7000, 's', 'n', NULL, 1)")
    assert found(verify(back, CATALOG.inverse(), direction="reverse")) == [
        ("product", "extra", ("7000",), ()),
        ("product", "different", ("3",), ("descr",)),
        ("product", "extra", ("7000",), ()),
        ("price", "different", ("40",), ("amount",)),
    ]


def test_V09_a_table_without_a_primary_key_blocks_the_plan(urls, sides):
    sides[0].execute("CREATE TABLE a (id int)")
    sides[1].execute("CREATE TABLE b (id int PRIMARY KEY)")
    targets = (TargetMapping(table=name("b"), columns=same("id")),)
    mapping = MoveMapping(tables=(TableMapping(source=name("a"), targets=targets),))
    problems = check_mapping(mapping, reflect(urls[0], [name("a")]), reflect(urls[1], [name("b")]))
    assert "has no primary key" in problems[0].reason


def test_the_reference_mapping_fits_the_reference_schemas(urls, sides):
    source, target = reflect(urls[0], CATALOG.source_tables), reflect(urls[1], CATALOG.target_tables)
    assert check_mapping(CATALOG, source, target) == []


def test_C11_a_verdict_expires_by_age_and_with_any_ddl(urls, sides):
    verdict = verify(urls)
    now = verdict.at + timedelta(minutes=5)

    def structure():
        return schema_hash(reflect(urls[0], CATALOG.source_tables), reflect(urls[1], CATALOG.target_tables))

    assert verdict.refusal(now, 600, structure()) is None
    assert "older than 60 s" in verdict.refusal(now, 60, structure())
    sides[1].execute("ALTER TABLE prices ADD vat int")
    assert "structure changed" in verdict.refusal(now, 600, structure())
