"""Schemas of real servers: what only a catalog knows, and keys that nobody declared held against the data."""

import psycopg
import pytest
from sqlalchemy import create_engine, text

from migration_plans.assess.facts_file import load_facts
from migration_plans.errors import FactsInvalid, SourceUnreadable
from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.schema import read_schema, reading
from migration_plans.gather.statement import Access
from strangler.errors import BadInput

pytestmark = pytest.mark.integration

DDL = """
CREATE TABLE customers (id bigserial PRIMARY KEY, email text UNIQUE, "Odd Name" text);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint REFERENCES customers ON DELETE CASCADE,
    sales_id bigint, code text
);
CREATE INDEX orders_code ON orders (lower(code));
CREATE TABLE events (at date NOT NULL, order_id bigint) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE totals (day date PRIMARY KEY, n int);
CREATE TABLE trail (what text);
CREATE SCHEMA audit;
CREATE TABLE audit.trail (id int PRIMARY KEY, order_id bigint REFERENCES orders (id));
CREATE VIEW big AS SELECT o.id AS order_id, c.email FROM orders o JOIN customers c ON c.id = o.customer_id;
CREATE VIEW aaa_over AS SELECT b.order_id, t.n FROM big b, totals t;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM aaa_over;
CREATE FUNCTION note(what text) RETURNS void LANGUAGE sql AS $$ INSERT INTO trail VALUES ($1); SELECT 1 $$;
CREATE FUNCTION atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM totals; END;
CREATE FUNCTION on_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    known int;
    one record;
BEGIN
    -- a comment; with a semicolon
    SELECT n INTO STRICT known FROM totals WHERE day = current_date;
    IF known IS NULL AND NOT EXISTS (SELECT 1 FROM customers WHERE id = NEW.customer_id) THEN
        INSERT INTO totals (day, n) VALUES (current_date, 1) RETURNING n INTO known;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE totals SET n = n + 1;
    END IF;
    FOR one IN SELECT * FROM audit.trail LOOP
        PERFORM note(one.id::text);
    END LOOP;
    known := (SELECT count(*) FROM events);
    EXECUTE 'DELETE FROM ' || TG_TABLE_NAME;
    RETURN NEW;
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END $$;
CREATE TRIGGER placed AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION on_order();
INSERT INTO customers (email) SELECT 'c' || n FROM generate_series(1, 50) n;
ALTER TABLE orders DISABLE TRIGGER placed;
INSERT INTO orders (customer_id, sales_id, code) SELECT n, n, 'c' || n FROM generate_series(1, 50) n;
UPDATE orders SET sales_id = sales_id + 40;
INSERT INTO events SELECT '2026-01-01', n FROM generate_series(1, 50) n;
ANALYZE;
"""
LOG = """\
2026-01-01 00:00:00.000 UTC [7] LOG:  statement: SELECT 1 FROM events_2026 e JOIN orders o ON e.order_id = o.id
2026-01-01 00:00:00.001 UTC [7] LOG:  statement: SELECT 1 FROM orders JOIN customers c ON c.id = sales_id
2026-01-01 00:00:00.001 UTC [7] LOG:  statement: SELECT 1 FROM orders o JOIN customers c ON c.email = o.code
2026-01-01 00:00:00.001 UTC [7] LOG:  statement: SELECT 1 FROM orders o JOIN customers c ON c.id = o.customer_id
2026-01-01 00:00:00.001 UTC [7] LOG:  statement: SELECT 1 FROM orders o JOIN trail t ON o.code = t.what
2026-01-01 00:00:00.001 UTC [7] LOG:  statement: SELECT 1 FROM trail t JOIN customers c ON c.id = t.what
2026-01-01 00:00:00.002 UTC [7] LOG:  statement: CREATE TEMP TABLE scratch AS SELECT * FROM aaa_over
2026-01-01 00:00:00.003 UTC [7] LOG:  statement: SELECT * FROM scratch JOIN totals USING (n)
2026-01-01 00:00:00.004 UTC [7] LOG:  statement: SELECT note('x'), FROM WHERE
2026-01-01 00:00:00.005 UTC [7] LOG:  statement: SELECT note('x')
"""


@pytest.fixture(scope="module")
def shop(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE gathered")
    url = postgres_url.rsplit("/", 1)[0] + "/gathered"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DDL)
    return url


def test_catalogs_of_postgresql(shop):
    with reading(shop) as connection:
        schema = read_schema(connection)
        with pytest.raises(SourceUnreadable, match="read-only"), reading(shop) as other:
            other.execute(text("DELETE FROM orders"))
    assert set(schema.tables) == {"customers", "orders", "events", "totals", "trail", "audit.trail"}
    assert schema.tables["customers"].columns == ("id", "email", "Odd Name")
    assert schema.tables["customers"].rows == 50
    assert schema.tables["events"].rows == 50
    assert schema.tables["customers"].is_unique("email")
    assert not schema.tables["orders"].is_unique("customer_id")
    assert {(key.table, key.target, key.on_delete) for key in schema.foreign_keys} == {
        ("orders", "customers", "CASCADE"),
        ("audit.trail", "orders", "NO ACTION"),
    }
    assert schema.views["aaa_over"].tables == ("customers", "orders", "totals")
    assert schema.views["aaa_over"].columns["order_id"] == ("orders", "id")
    assert schema.views["counted"].tables == ("customers", "orders", "totals")
    assert schema.partitions == {"events_2026": "events"}
    assert {(one.name, one.table) for one in schema.sequences} >= {("customers_id_seq", "customers")}
    assert set(schema.routines) == {"note", "atomic", "on_order"}
    assert schema.routines["atomic"].accesses == (Access("totals", "R"),)
    (trigger,) = schema.triggers
    assert set(trigger.accesses) == {
        ("totals", "R"),
        ("customers", "R"),
        ("totals", "W"),
        ("audit.trail", "R"),
        ("trail", "W"),
        ("events", "R"),
    }
    assert schema.not_understood == (("routine on_order", "makes statements at run time"),)


def test_keys_from_joins_are_held_against_the_data(shop, tmp_path):
    log = tmp_path / "postgresql.log"
    log.write_text(LOG)
    document = gather(GatherSettings(source=shop, logs=(log,)))
    inferred = {
        (key.source, key.columns, key.target, key.to_columns): (key.sampled, key.not_matching)
        for key in document.foreign_keys
        if key.inferred
    }
    assert inferred == {
        ("events", ("order_id",), "orders", ("id",)): (50, 0),
        ("orders", ("code",), "customers", ("email",)): (50, 0),
    }
    refuted = {(one.source, one.columns, one.not_matching) for one in document.gathering.refuted_keys}
    # 40 of 50 have no customer; text cannot be compared with bigint.
    assert refuted == {("orders", ("sales_id",), 40), ("trail", ("what",), 1)}
    assert document.functionalities["write trail"].transactions == ((("trail", "W"),),)
    assert document.functionalities["read customers, orders, totals"].calls == 1
    assert document.gathering.left_out == ("scratch",)
    (problem,) = document.gathering.not_understood[1:]
    assert problem.what == "SELECT note('?'), FROM WHERE"
    out = tmp_path / "facts.json"
    out.write_text(document.as_json())
    assert set(load_facts(out).tables) == set(document.tables)


def test_a_key_whose_tables_may_not_be_read_is_unproven_not_refuted(shop, tmp_path):
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE ROLE onlooker LOGIN")
    log = tmp_path / "postgresql.log"
    log.write_text(LOG.splitlines(keepends=True)[0])
    document = gather(GatherSettings(source=shop.replace("//postgres@", "//onlooker@"), logs=(log,)))
    (key,) = (key for key in document.foreign_keys if key.inferred)
    assert (key.source, key.target, key.sampled, key.not_matching) == ("events", "orders", None, None)


def test_mariadb(mariadb_url):
    base = mariadb_url.rsplit("/", 1)[0]
    engine = create_engine(base.replace("mysql://", "mysql+pymysql://").replace("mariadb://", "mysql+pymysql://") + "/")
    with engine.begin() as connection:
        for statement in (
            "CREATE DATABASE gathered",
            "CREATE TABLE gathered.Customers (id int PRIMARY KEY, name text)",
            "CREATE TABLE gathered.orders (id int PRIMARY KEY, customer_id int,"
            " FOREIGN KEY (customer_id) REFERENCES gathered.Customers (id) ON DELETE SET NULL)",
            "CREATE VIEW gathered.named AS SELECT o.id, c.name FROM gathered.orders o"
            " JOIN gathered.Customers c ON c.id = o.customer_id",
            "INSERT INTO gathered.Customers VALUES (1, 'a')",
        ):
            connection.execute(text(statement))
    engine.dispose()
    with reading(f"{base}/gathered") as connection:
        schema = read_schema(connection)
    assert set(schema.tables) == {"Customers", "orders"}
    assert schema.tables["Customers"].bytes > 0
    assert [(key.table, key.target, key.on_delete) for key in schema.foreign_keys] == [
        ("orders", "Customers", "SET NULL")
    ]
    assert schema.views["named"].tables == ("Customers", "orders")


def test_sqlite_and_what_is_no_database(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE a (id int PRIMARY KEY)"))
        connection.execute(text("CREATE VIEW v AS SELECT * FROM a"))
    engine.dispose()
    document = gather(GatherSettings(source=url))
    assert set(document.tables) == {"a"}
    assert document.views["v"].tables == ("a",)
    # pg_stat_statements is nothing that another server could have.
    assert document.gathering.notices == ()
    with pytest.raises(BadInput, match="no database that can be read"):
        gather(GatherSettings(source="nonsense"))
    with pytest.raises(SourceUnreadable) as refused:
        gather(GatherSettings(source="postgresql://u:secret@127.0.0.1:1/x"))
    assert "secret" not in str(refused.value)
    with pytest.raises(FactsInvalid, match="nothing is given"):
        gather(GatherSettings())


def test_pg_stat_statements_that_the_server_has_not_loaded_is_a_notice(new_database):
    url = new_database("restored")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE a (id int PRIMARY KEY)")
    document = gather(GatherSettings(source=url))
    assert set(document.tables) == {"a"}
    assert "not in shared_preload_libraries" in document.gathering.notices[0]
