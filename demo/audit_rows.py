"""The rows of both databases in one form, by SQL written for this check alone: the columns of the ledger.

Timestamps are text as in the API, amounts text with two decimals; tags and attributes are what JSON reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import psycopg
from psycopg.rows import TupleRow, dict_row

from demo.audit_ledger import NATURAL_KEYS, Key

Side = Literal["legacy", "service"]
SIDES: tuple[Side, Side] = ("legacy", "service")
Connection = psycopg.Connection[TupleRow]
Row = Mapping[str, Any]

_BATCH_ROWS = 1000


def _time(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


_ROWS: Mapping[tuple[Side, str], str] = {
    ("legacy", "category"): "SELECT id, parent_id, name, slug, position FROM category",
    ("service", "category"): "SELECT category_id AS id, parent_id, title AS name, slug, sort_order AS position "
    "FROM categories",
    ("legacy", "product"): "SELECT id, sku, name, descr, category_id, status::text AS status, tags, attrs, "
    f"weight_grams, version, {_time('created_at')} AS created_at, {_time('updated_at')} AS updated_at FROM product",
    ("service", "product"): "SELECT p.product_id AS id, p.sku, p.title AS name, d.body AS descr, p.category_id, "
    "CASE p.lifecycle WHEN 'live' THEN 'active' ELSE p.lifecycle END AS status, p.tags, p.attributes AS attrs, "
    f"p.weight_grams, p.revision AS version, {_time('p.created_at')} AS created_at, "
    f"{_time('p.updated_at')} AS updated_at "
    "FROM products p LEFT JOIN product_descriptions d ON d.product_id = p.product_id",
    ("legacy", "price"): "SELECT id, product_id, currency, amount::text AS amount, reference, "
    f"{_time('valid_from')} AS valid_from, {_time('valid_to')} AS valid_to FROM price",
    ("service", "price"): "SELECT price_id AS id, product_id, currency, "
    "(amount_minor::numeric / 100)::numeric(14, 2)::text AS amount, reference, "
    f"{_time('effective_from')} AS valid_from, {_time('effective_to')} AS valid_to FROM prices",
    ("legacy", "product_category"): "SELECT product_id, category_id, rank FROM product_category",
    ("service", "product_category"): "SELECT product_id, category_id, sort_order AS rank FROM product_categories",
}
_KEYS: Mapping[tuple[Side, str], str] = {
    ("legacy", "category"): "id",
    ("service", "category"): "category_id",
    ("legacy", "product"): "id",
    ("service", "product"): "p.product_id",
    ("legacy", "price"): "id",
    ("service", "price"): "price_id",
}
_NEWER: Mapping[tuple[Side, str], str] = {
    ("legacy", "product"): "SELECT id, sku FROM product WHERE created_at >= to_timestamp(%s)",
    ("service", "product"): "SELECT product_id, sku FROM products WHERE created_at >= to_timestamp(%s)",
    ("legacy", "price"): "SELECT id, reference FROM price WHERE valid_from >= to_timestamp(%s)",
    ("service", "price"): "SELECT price_id, reference FROM prices WHERE effective_from >= to_timestamp(%s)",
}
_TWINS: Mapping[Side, str] = {
    "legacy": "SELECT EXISTS (SELECT 1 FROM price a JOIN price b ON b.product_id = a.product_id AND b.id <> a.id "
    "AND (b.currency, b.amount, b.valid_from) = (a.currency, a.amount, a.valid_from) WHERE a.id = %s)",
    "service": "SELECT EXISTS (SELECT 1 FROM prices a JOIN prices b ON b.product_id = a.product_id "
    "AND b.price_id <> a.price_id AND (b.currency, b.amount_minor, b.effective_from) = "
    "(a.currency, a.amount_minor, a.effective_from) WHERE a.price_id = %s)",
}


def rows_by_key(connection: Connection, side: Side, entity: str, keys: Sequence[Key]) -> dict[Key, Row]:
    """The rows with these primary keys; those that do not exist are absent."""
    names: tuple[str, ...]
    if entity == "product_category":
        condition = "(product_id, category_id) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))"
        parameters: list[Any] = [[key[0] for key in keys], [key[1] for key in keys]]
        names = ("product_id", "category_id")
    else:
        condition, parameters, names = f"{_KEYS[side, entity]} = ANY(%s)", [[key[0] for key in keys]], ("id",)
    rows = _fetch(connection, f"{_ROWS[side, entity]} WHERE {condition}", parameters)
    return {tuple(row[name] for name in names): row for row in rows}


def rows_by_natural_key(connection: Connection, side: Side, entity: str, keys: Sequence[str]) -> dict[str, Row]:
    """The rows whose sku, reference or slug is one of these."""
    name = NATURAL_KEYS[entity]
    rows = _fetch(connection, f"{_ROWS[side, entity]} WHERE {name} = ANY(%s)", [list(keys)])
    return {row[name]: row for row in rows}


def rows_made_since(
    connection: Connection, side: Side, entity: str, epoch_s: float
) -> Iterator[tuple[int, str | None]]:
    """(id, natural key) of each product or price that the database dates at or after this moment."""
    with connection.cursor(name=f"newer_{entity}") as cursor:
        cursor.itersize = _BATCH_ROWS
        cursor.execute(_NEWER[side, entity], (epoch_s,))
        for row in cursor:
            yield row[0], row[1]


def has_twin(connection: Connection, side: Side, price_id: int) -> bool:
    """Whether another price says the same of the same product from the same moment on."""
    row = connection.execute(_TWINS[side], (price_id,)).fetchone()
    return bool(row and row[0])


def _fetch(connection: Connection, statement: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()
