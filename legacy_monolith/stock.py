"""Stock: look, adjust, see what runs low."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import text

from legacy_monolith import bodies
from legacy_monolith.actors import require_role
from legacy_monolith.answers import answer, timestamp
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import NotFound, OutOfStock

area = Blueprint("stock", __name__, url_prefix="/api/stock")

_ADJUST_FIELDS = {
    "delta": Field(check=bodies.integer(-1_000_000, 1_000_000), required=True),
    "reorder_level": Field(check=bodies.integer(0, 1_000_000)),
}
_COLUMNS = "product_id, on_hand, reserved, reorder_level, updated_at"
_SHOW = text(f"SELECT {_COLUMNS} FROM stock WHERE product_id = :product_id")
_LOW = text(f"""
SELECT {_COLUMNS} FROM stock
WHERE on_hand <= reorder_level AND product_id > :after_id
ORDER BY product_id LIMIT :limit
""")
_ADJUST = text(f"""
INSERT INTO stock (product_id, on_hand, reorder_level)
SELECT p.id, greatest(:delta, 0), coalesce(CAST(:reorder_level AS int), 0)
FROM product p
WHERE p.id = :product_id AND (:delta >= 0 OR EXISTS (SELECT 1 FROM stock s WHERE s.product_id = p.id))
ON CONFLICT (product_id) DO UPDATE
SET on_hand = stock.on_hand + :delta, reorder_level = coalesce(:reorder_level, stock.reorder_level), updated_at = now()
WHERE stock.on_hand + :delta >= 0
RETURNING {_COLUMNS}
""")


@area.get("/<key:product_id>")
def show_stock(product_id: int) -> Response:
    """Units on hand and reserved."""
    with database().statement() as connection:
        row = connection.execute(_SHOW, {"product_id": product_id}).first()
    if row is None:
        raise NotFound("no stock is kept of that product")
    return answer(stock_json(row))


@area.get("/low")
def list_low_stock() -> Response:
    """What should be reordered."""
    values = {"after_id": bodies.query_integer("after_id", 0), "limit": bodies.query_limit()}
    with database().statement() as connection:
        rows = connection.execute(_LOW, values).all()
    return answer({"items": [stock_json(row) for row in rows]})


@area.post("/<key:product_id>/adjust")
def adjust_stock(product_id: int) -> Response:
    """Goods came in, or were found missing; never below zero."""
    require_role("merchant", "admin")
    values = {"reorder_level": None, **bodies.read_body(_ADJUST_FIELDS), "product_id": product_id}
    with database().transaction() as connection:
        row = connection.execute(_ADJUST, values).first()
        if row is None:
            known = connection.execute(_SHOW, {"product_id": product_id}).first()
            raise (
                NotFound("no stock is kept of that product")
                if known is None
                else OutOfStock(f"only {known.on_hand} on hand")
            )
    return answer(stock_json(row))


def stock_json(row: Sequence[Any]) -> dict[str, Any]:
    """The Stock of the API."""
    product_id, on_hand, reserved, reorder_level, updated_at = row
    return {
        "product_id": product_id,
        "on_hand": on_hand,
        "reserved": reserved,
        "reorder_level": reorder_level,
        "updated_at": timestamp(updated_at),
    }
