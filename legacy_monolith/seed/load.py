"""Put the rows into the database: COPY in one transaction, sequences set, statistics taken."""

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import psycopg
from psycopg import sql

from legacy_monolith.seed.catalog_rows import Row, catalog_rows
from legacy_monolith.seed.shop_rows import REGIONS, shop_rows
from legacy_monolith.seed.sizes import sizes_of

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
"""The moment at which the seeded history ends, whatever today is."""

_COLUMNS: dict[str, str] = {
    "regions": "code name currency",
    "category": "id parent_id name slug position",
    "product": (
        "id sku name descr category_id status tags attrs weight_grams version created_at updated_at"
    ),
    "price": "id product_id currency amount reference valid_from valid_to",
    "product_category": "product_id category_id rank",
    "customers": "id email name region_code credit_limit labels created_at",
    "addresses": "id customer_id kind line1 city postcode country",
    "users": "id login role_name customer_id",
    "stock": "product_id on_hand reserved reorder_level",
    "orders": "id customer_id address_id status currency total placed_at paid_at",
    "order_lines": "order_id line_no product_id product_name quantity unit_price",
    "reservations": "id order_id product_id quantity released_at",
    "invoices": "id order_id status total issued_on lines created_at",
    "ledger_entries": "id invoice_id customer_id account debit credit booked_at",
    "shipments": "id order_id status carrier tracking shipped_at",
    "pick_items": "shipment_id order_id line_no quantity picked_by",
    "reviews": "id product_id customer_id rating body",
    "promotions": "id code category_id percent region_codes valid_from",
}  # fmt: skip
"""Columns per table, in an order that foreign keys allow."""


class AlreadySeeded(Exception):
    """The store has products; seeding it again would clash with them."""


def seed_store(database_url: str, *, scale: float, seed: int) -> dict[str, int]:
    """Fill an empty, migrated store; returns the number of rows per table."""
    sizes, random = sizes_of(scale), Random(seed)
    catalog = catalog_rows(sizes, random, AS_OF)
    shop = shop_rows(sizes, catalog, random, AS_OF)
    rows: dict[str, Sequence[Row]] = {"regions": REGIONS}
    for made in (catalog, shop):
        rows |= {table: getattr(made, table) for table in _COLUMNS if hasattr(made, table)}
    with psycopg.connect(database_url) as connection:
        if connection.execute("SELECT 1 FROM product LIMIT 1").fetchone() is not None:
            raise AlreadySeeded
        for table in _COLUMNS:
            _copy(connection, table, rows[table])
        _set_sequences(connection)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return {table: len(made) for table, made in rows.items()}


def _copy(connection: psycopg.Connection, table: str, rows: Sequence[Row]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[table].split()))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _set_sequences(connection: psycopg.Connection) -> None:
    """Every sequence goes on after the greatest id of its column."""
    statement = "SELECT setval(pg_get_serial_sequence({name}, 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) FROM {}"
    for table, columns in _COLUMNS.items():
        if columns.startswith("id "):
            connection.execute(sql.SQL(statement).format(sql.Identifier(table), name=sql.Literal(table)))
