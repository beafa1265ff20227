"""Products: read, list, create, change, retire."""

from typing import Any

from flask import Blueprint, Response, request

from legacy_monolith import bodies
from legacy_monolith.answers import answer
from legacy_monolith.bodies import Field
from legacy_monolith.catalog.product_rows import page_json, product_json, select_products, write_products
from legacy_monolith.database import database
from legacy_monolith.errors import NotFound
from legacy_monolith.models.catalog import PRODUCT_STATUSES

area = Blueprint("products", __name__, url_prefix="/api/products")

_CHANGEABLE = {
    "name": Field(check=bodies.text(1, 200), required=True),
    "description": Field(check=bodies.or_null(bodies.text(0, None))),
    "category_id": Field(check=bodies.key, required=True),
    "status": Field(check=bodies.one_of(PRODUCT_STATUSES)),
    "tags": Field(check=bodies.texts),
    "attributes": Field(check=bodies.document),
    "weight_grams": Field(check=bodies.or_null(bodies.integer(0, bodies.MAX_INT4))),
}
_CREATABLE = {"sku": Field(check=bodies.text(1, 40), required=True), **_CHANGEABLE}
_DEFAULTS: dict[str, Any] = {
    "description": None,
    "status": "draft",
    "tags": [],
    "attributes": "{}",
    "weight_grams": None,
}
_ASSIGNMENTS = {
    "name": "name = :name",
    "description": "descr = :description",
    "category_id": "category_id = :category_id",
    "status": "status = :status",
    "tags": "tags = :tags",
    "attributes": "attrs = CAST(:attributes AS jsonb)",
    "weight_grams": "weight_grams = :weight_grams",
}

_BY_ID = select_products("WHERE p.id = :id")
_BY_SKU = select_products("WHERE p.sku = :sku")
_INSERT = write_products(
    "INSERT INTO product (sku, name, descr, category_id, status, tags, attrs, weight_grams) "
    "VALUES (:sku, :name, :description, :category_id, :status, :tags, CAST(:attributes AS jsonb), :weight_grams)"
)
_RETIRE = write_products("UPDATE product SET status = 'retired', version = version + 1 WHERE id = :id")


@area.get("")
def list_products() -> Response:
    """A page of products by id, filtered by category, status and a part of name or sku."""
    limit = bodies.query_limit()
    values: dict[str, Any] = {"limit": limit, "after_id": bodies.query_integer("after_id", 0)}
    conditions = ["p.id > :after_id"]
    if (category_id := bodies.query_integer("category_id", None)) is not None:
        conditions.append("p.category_id = :category_id")
        values["category_id"] = category_id
    if (status := request.args.get("status")) is not None:
        conditions.append("p.status = :status")
        values["status"] = bodies.one_of(PRODUCT_STATUSES)("status", status)
    if wanted := request.args.get("q"):
        conditions.append("(p.name ILIKE :q OR p.sku ILIKE :q)")
        values["q"] = f"%{_like_literal(bodies.text(1, 200)('q', wanted))}%"
    statement = select_products(f"WHERE {' AND '.join(conditions)} ORDER BY p.id LIMIT :limit")
    with database().statement() as connection:
        rows = connection.execute(statement, values).all()
    return answer(page_json(rows, limit))


@area.get("/<key:product_id>")
def show_product(product_id: int) -> Response:
    """One product."""
    return _one(_BY_ID, {"id": product_id})


@area.get("/by-sku/<sku>")
def show_product_by_sku(sku: str) -> Response:
    """One product, found by what is printed on it."""
    return _one(_BY_SKU, {"sku": bodies.text(1, 40)("sku", sku)}) if len(sku) <= 40 else _missing()


@area.post("")
def create_product() -> Response:
    """A new product, version 1."""
    return _one(_INSERT, {**_DEFAULTS, **bodies.read_body(_CREATABLE)}, status=201)


@area.patch("/<key:product_id>")
def change_product(product_id: int) -> Response:
    """Some fields of a product; its version goes up by one."""
    change = bodies.read_change(_CHANGEABLE)
    assignments = ", ".join(_ASSIGNMENTS[name] for name in _ASSIGNMENTS if name in change)
    statement = write_products(f"UPDATE product SET {assignments}, version = version + 1 WHERE id = :id")
    return _one(statement, {**change, "id": product_id})


@area.post("/<key:product_id>/retire")
def retire_product(product_id: int) -> Response:
    """Take a product out of the shop; its version goes up by one."""
    return _one(_RETIRE, {"id": product_id})


def _one(statement: Any, values: dict[str, Any], status: int = 200) -> Response:
    with database().statement() as connection:
        row = connection.execute(statement, values).first()
    return _missing() if row is None else answer(product_json(row), status)


def _missing() -> Response:
    raise NotFound("there is no such product")


def _like_literal(wanted: str) -> str:
    return wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
