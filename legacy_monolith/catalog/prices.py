"""Prices of a product: a new one closes the open one of its currency."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import text

from legacy_monolith import bodies
from legacy_monolith.answers import answer, money, nothing, timestamp, timestamp_or_none
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import NotFound

area = Blueprint("prices", __name__, url_prefix="/api")

_CREATABLE = {
    "currency": Field(check=bodies.pattern("[A-Z]{3}"), required=True),
    "amount": Field(check=bodies.amount, required=True),
    "reference": Field(check=bodies.or_null(bodies.text(1, 64))),
}
_COLUMNS = "id, product_id, currency, amount, reference, valid_from, valid_to"
_HISTORY = text(f"SELECT {_COLUMNS} FROM price WHERE product_id = :product_id ORDER BY valid_from DESC, id DESC")
_PRODUCT_EXISTS = text("SELECT 1 FROM product WHERE id = :product_id")
_LOCK_PRODUCT = text("SELECT 1 FROM product WHERE id = :product_id FOR NO KEY UPDATE")
_REPLACE = text(f"""
WITH moment AS MATERIALIZED (
    SELECT clock_timestamp() AS at
), closed AS (
    UPDATE price SET valid_to = moment.at
    FROM moment
    WHERE product_id = :product_id AND currency = :currency AND valid_to IS NULL
)
INSERT INTO price (product_id, currency, amount, reference, valid_from)
SELECT :product_id, :currency, :amount, :reference, moment.at FROM moment
RETURNING {_COLUMNS}
""")
_DELETE = text("DELETE FROM price WHERE id = :id")


@area.get("/products/<key:product_id>/prices")
def list_prices(product_id: int) -> Response:
    """All prices that a product has had, newest first."""
    with database().statement() as connection:
        rows = connection.execute(_HISTORY, {"product_id": product_id}).all()
        if not rows and connection.execute(_PRODUCT_EXISTS, {"product_id": product_id}).first() is None:
            raise NotFound("there is no such product")
    return answer({"items": [price_json(row) for row in rows]})


@area.post("/products/<key:product_id>/prices")
def create_price(product_id: int) -> Response:
    """A price from now on; the open one of the same currency ends where it begins."""
    values = {"reference": None, **bodies.read_body(_CREATABLE), "product_id": product_id}
    with database().transaction() as connection:
        if connection.execute(_LOCK_PRODUCT, {"product_id": product_id}).first() is None:
            raise NotFound("there is no such product")
        row = connection.execute(_REPLACE, values).one()
    return answer(price_json(row), 201)


@area.delete("/prices/<key:price_id>")
def delete_price(price_id: int) -> Response:
    """Take a price back; the one before stays closed."""
    with database().statement() as connection:
        deleted = connection.execute(_DELETE, {"id": price_id}).rowcount
    if deleted == 0:
        raise NotFound("there is no such price")
    return nothing()


def price_json(row: Sequence[Any]) -> dict[str, Any]:
    """The Price of the API."""
    key, product_id, currency, amount, reference, valid_from, valid_to = row
    return {
        "id": key,
        "product_id": product_id,
        "currency": currency,
        "amount": money(amount),
        "reference": reference,
        "valid_from": timestamp(valid_from),
        "valid_to": timestamp_or_none(valid_to),
    }
