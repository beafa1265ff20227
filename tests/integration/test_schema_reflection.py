import psycopg
import pytest

from cdc.boundary import dependents, foreign_keys_across
from cdc.errors import DatabaseUnreachable
from cdc.events import TableName
from cdc.schema import reflect, schema_hash
from tests.catalog_mapping import LEGACY_DDL, name

pytestmark = pytest.mark.integration

MOVED = [name(each) for each in ("category", "product", "price", "product_category")]


@pytest.fixture
def legacy(new_database):
    url = new_database("schema")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEGACY_DDL)
        yield url, connection


def test_reflects_columns_keys_sequences_and_foreign_keys(legacy):
    url, connection = legacy
    connection.execute(
        'CREATE TABLE "We.ird" ("K" int PRIMARY KEY, g int GENERATED ALWAYS AS ("K" + 1) STORED,'
        " a int GENERATED ALWAYS AS IDENTITY)"
    )
    schema = reflect(url, [*MOVED, name("We.ird"), name("nothing")])
    product = schema.tables[name("product")]
    assert product.primary_key == ("id",)
    assert product.column("status").enum_labels == ("draft", "active", "retired")
    assert product.column("sku").type == "character varying(40)"
    assert product.column("id").sequence == "public.product_id_seq"
    assert schema.tables[name("category")].column("id").identity == "d"
    assert schema.tables[name("category")].column("id").sequence == "public.category_id_seq"
    assert schema.tables[name("product_category")].primary_key == ("product_id", "category_id")
    assert [key.ref_table.name for key in product.foreign_keys_out] == ["category"]
    assert sorted(key.table.name for key in product.foreign_keys_in) == ["price", "product_category"]
    weird = schema.tables[name("We.ird")]
    assert weird.column("g").generated
    assert weird.column("g").default is None
    assert weird.column("a").identity == "a"
    assert name("nothing") not in schema.tables
    assert reflect(connection, MOVED).tables[name("product")] == product


def test_the_hash_changes_with_any_ddl_and_with_nothing_else(legacy):
    url, connection = legacy
    before = schema_hash(reflect(url, MOVED))
    connection.execute("CREATE TABLE unrelated (id int)")
    assert schema_hash(reflect(url, MOVED)) == before
    for ddl in ("ALTER TABLE price ADD vat int", "ALTER TABLE price DROP vat"):
        connection.execute(ddl)
    assert schema_hash(reflect(url, MOVED)) == before
    connection.execute("ALTER TYPE product_status ADD VALUE 'sold'")
    assert schema_hash(reflect(url, MOVED)) != before


def test_C16_S13_what_crosses_the_border_is_listed(legacy):
    url, connection = legacy
    connection.execute("""
        CREATE TABLE line (id int PRIMARY KEY, product_id bigint CONSTRAINT line_product REFERENCES product);
        CREATE TABLE tax (id int PRIMARY KEY);
        ALTER TABLE price ADD tax_id int CONSTRAINT price_tax REFERENCES tax;
        CREATE VIEW shop AS SELECT p.id FROM product p JOIN line l ON l.product_id = p.id;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        CREATE FUNCTION cheapest() RETURNS numeric LANGUAGE plpgsql AS
            $$ BEGIN RETURN (SELECT min(amount) FROM price); END $$;
        CREATE FUNCTION prices_of() RETURNS numeric LANGUAGE sql AS $$ SELECT 1.0 $$;
        CREATE TRIGGER product_touch BEFORE UPDATE ON product FOR EACH ROW EXECUTE FUNCTION touch();
        CREATE TRIGGER strangler_fence BEFORE UPDATE ON product FOR EACH STATEMENT EXECUTE FUNCTION touch();
    """)
    assert [(c.direction, c.key.name) for c in foreign_keys_across(url, MOVED)] == [
        ("in", "line_product"),
        ("out", "price_tax"),
    ]
    assert [(d.kind, d.name, str(d.table)) for d in dependents(url, MOVED)] == [
        ("function", "cheapest", "price"),
        ("trigger", "product_touch", "product"),
        ("view", "shop", "product"),
    ]


def test_C16_S13_partitions_move_with_their_table_and_what_uses_one_of_them_is_listed(new_database):
    url = new_database("parts")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE rental (id int PRIMARY KEY);
            CREATE TABLE customer (id int PRIMARY KEY);
            CREATE TABLE payment (id int, at date, rental_id int, customer_id int) PARTITION BY RANGE (at);
            CREATE SCHEMA parts;
            CREATE TABLE parts.payment_1 PARTITION OF payment FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
            ALTER TABLE parts.payment_1
              ADD CONSTRAINT inner_key FOREIGN KEY (rental_id) REFERENCES rental,
              ADD CONSTRAINT outward_key FOREIGN KEY (customer_id) REFERENCES customer ON DELETE CASCADE;
            CREATE VIEW of_2024 AS SELECT id FROM parts.payment_1;
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
            CREATE TRIGGER on_part BEFORE UPDATE ON parts.payment_1 FOR EACH ROW EXECUTE FUNCTION touch();
            CREATE TRIGGER on_whole AFTER UPDATE ON payment FOR EACH ROW EXECUTE FUNCTION touch();
        """)
    moved = [name("payment"), name("rental")]
    assert [(c.direction, c.key.name) for c in foreign_keys_across(url, moved)] == [("out", "outward_key")]
    assert [(d.kind, d.name, str(d.table)) for d in dependents(url, moved)] == [
        ("trigger", "on_part", "parts.payment_1"),
        ("trigger", "on_whole", "payment"),
        ("view", "of_2024", "parts.payment_1"),
    ]


def test_an_unreachable_database_is_named_without_its_password():
    with pytest.raises(DatabaseUnreachable) as caught:
        reflect("postgresql://u:secret@127.0.0.1:1/x", [TableName(name="t")])
    assert "secret" not in str(caught.value)
