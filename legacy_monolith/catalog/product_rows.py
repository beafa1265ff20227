"""The product as the API shows it: the columns to select and their JSON."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text

from legacy_monolith.answers import money, timestamp

_SHOWN = """
SELECT p.id, p.sku, p.name, p.descr, p.category_id, p.status, p.tags, p.attrs, p.weight_grams, p.version,
       p.created_at, p.updated_at, o.id, o.currency, o.amount, o.reference, o.valid_from,
       ARRAY(SELECT a.category_id FROM product_category a WHERE a.product_id = p.id ORDER BY a.rank, a.category_id)
FROM {source} p
LEFT JOIN LATERAL (
    SELECT r.id, r.currency, r.amount, r.reference, r.valid_from
    FROM price r
    WHERE r.product_id = p.id AND r.valid_to IS NULL
    ORDER BY r.valid_from DESC, r.id DESC
    LIMIT 1
) o ON true
"""
_RETURNED = "id, sku, name, descr, category_id, status, tags, attrs, weight_grams, version, created_at, updated_at"


@lru_cache(maxsize=256)
def select_products(rest: str) -> TextClause:
    """Products `p` with their open price and categories; `rest` is joins, conditions and order."""
    return text(_SHOWN.format(source="product") + rest)


@lru_cache(maxsize=256)
def write_products(statement: str) -> TextClause:
    """An INSERT or UPDATE of product that answers with the products as shown, in the same round trip."""
    return text(f"WITH written AS ({statement} RETURNING {_RETURNED})" + _SHOWN.format(source="written"))


def product_json(row: Sequence[Any]) -> dict[str, Any]:
    """The Product of the API."""
    (
        key, sku, name, descr, category_id, status, tags, attrs, weight_grams, version, created_at, updated_at,
        price_id, currency, amount, reference, valid_from, category_ids,
    ) = row  # fmt: skip
    price = None
    if price_id is not None:
        price = {
            "id": price_id,
            "currency": currency,
            "amount": money(amount),
            "reference": reference,
            "valid_from": timestamp(valid_from),
        }
    return {
        "id": key,
        "sku": sku,
        "name": name,
        "description": descr,
        "category_id": category_id,
        "status": status,
        "tags": tags,
        "attributes": attrs,
        "weight_grams": weight_grams,
        "version": version,
        "created_at": timestamp(created_at),
        "updated_at": timestamp(updated_at),
        "price": price,
        "category_ids": category_ids,
    }


def page_json(rows: Sequence[Sequence[Any]], limit: int) -> dict[str, Any]:
    """A page of products; a full page names where the next begins."""
    items = [product_json(row) for row in rows]
    return {"items": items, "next_after_id": items[-1]["id"] if len(items) == limit else None}
