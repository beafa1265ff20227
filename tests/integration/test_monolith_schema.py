"""The store's schema: its history ends where its models are, and the catalog tables are as agreed."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from legacy_monolith.database import sqlalchemy_url
from legacy_monolith.migrate import migrate
from legacy_monolith.models import METADATA
from legacy_monolith.seed.load import AlreadySeeded, seed_store
from tests.integration.monolith_store import running_store
from tests.integration.monolith_store import store as store

pytestmark = pytest.mark.integration

CATALOG_COLUMNS = {
    "category": "id bigint NO, parent_id bigint YES, name character varying NO, slug character varying NO, "
    "position integer NO",
    "product": "id bigint NO, sku character varying NO, name character varying NO, descr text YES, "
    "category_id bigint NO, status USER-DEFINED NO, tags ARRAY NO, attrs jsonb NO, weight_grams integer YES, "
    "version integer NO, created_at timestamp with time zone NO, updated_at timestamp with time zone NO",
    "price": "id bigint NO, product_id bigint NO, currency character NO, amount numeric NO, "
    "reference character varying YES, valid_from timestamp with time zone NO, valid_to timestamp with time zone YES",
    "product_category": "product_id bigint NO, category_id bigint NO, rank integer NO",
}


def test_models_equal_migrations(store):
    engine = create_engine(sqlalchemy_url(store.url))
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    engine.dispose()


def test_history_goes_down_and_up_again(new_database):
    url = new_database("history")
    migrate(url)
    migrate(url, "base")
    migrate(url)


@pytest.mark.parametrize("table", CATALOG_COLUMNS)
def test_catalog_columns_are_as_agreed(store, table):
    rows = store.rows(
        "SELECT column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        table,
    )
    assert ", ".join(row[0] for row in rows) == CATALOG_COLUMNS[table]


def test_the_quirks_of_an_old_schema_are_there(store):
    tables = store.value(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    assert tables == 22
    assert store.rows("SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY 1") == [
        ("product_listing",),
        ("revenue_by_day",),
    ]
    assert store.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 'product'::regclass AND NOT tgisinternal") == [
        ("product_touch",)
    ]
    assert store.value("SELECT enum_range(NULL::product_status)::text") == "{draft,active,retired}"
    assert store.value("SELECT pg_get_serial_sequence('product', 'id')") == "public.product_id_seq"
    assert (
        store.value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'audit_log'::regclass AND contype = 'f'") == 0
    )


def test_seeding_sets_sequences_and_refuses_to_run_twice(new_database):
    with running_store(new_database("seeded")) as seeded:
        counts = seed_store(seeded.url, scale=0.01, seed=7)
        for table, count in counts.items():
            assert seeded.value(f"SELECT count(*) FROM {table}") == count
        category = seeded.client.get("/api/categories").json()["items"][0]["id"]
        made = seeded.client.post("/api/products", json={"sku": "next", "name": "next", "category_id": category})
        assert made.json()["id"] == counts["product"] + 1
        priced = seeded.client.post(
            f"/api/products/{made.json()['id']}/prices", json={"currency": "EUR", "amount": "1.00"}
        )
        assert priced.json()["id"] == counts["price"] + 1
        listed = seeded.client.get("/api/admin/products", params={"limit": 5}).json()["items"]
        assert [product["id"] for product in listed] == [1, 2, 3, 4, 5]
        revenue = seeded.client.get("/api/reports/revenue", params={"from": "2000-01-01", "to": "2100-01-01"}).json()
        assert revenue["items"]
        with pytest.raises(AlreadySeeded):
            seed_store(seeded.url, scale=0.01, seed=7)
