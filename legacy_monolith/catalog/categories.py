"""Categories, and the products that are assigned to them."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError

from legacy_monolith import bodies
from legacy_monolith.answers import answer, nothing
from legacy_monolith.bodies import Field
from legacy_monolith.catalog.product_rows import page_json, select_products
from legacy_monolith.database import database
from legacy_monolith.errors import Invalid, NotFound

area = Blueprint("categories", __name__, url_prefix="/api")

_INT4 = bodies.integer(-bodies.MAX_INT4 - 1, bodies.MAX_INT4)
_FIELDS = {
    "name": Field(check=bodies.text(1, 80), required=True),
    "slug": Field(check=bodies.text(1, 80), required=True),
    "parent_id": Field(check=bodies.or_null(bodies.key)),
    "position": Field(check=_INT4),
}
_ASSIGNMENT_FIELDS = {"rank": Field(check=_INT4)}
_COLUMNS = "id, parent_id, name, slug, position"
_ALL = text(f"SELECT {_COLUMNS} FROM category ORDER BY id")
_BY_ID = text(f"SELECT {_COLUMNS} FROM category WHERE id = :id")
_INSERT = text(
    "INSERT INTO category (parent_id, name, slug, position) VALUES (:parent_id, :name, :slug, :position) "
    f"RETURNING {_COLUMNS}"
)
_ASSIGNED = select_products(
    "JOIN product_category m ON m.product_id = p.id AND m.category_id = :category_id "
    "WHERE m.product_id > :after_id ORDER BY m.product_id LIMIT :limit"
)
_ASSIGN = text(
    "INSERT INTO product_category (product_id, category_id, rank) VALUES (:product_id, :category_id, :rank) "
    "ON CONFLICT (product_id, category_id) DO UPDATE SET rank = EXCLUDED.rank"
)
_UNASSIGN = text("DELETE FROM product_category WHERE product_id = :product_id AND category_id = :category_id")


@area.get("/categories")
def list_categories() -> Response:
    """The whole tree, by id."""
    with database().statement() as connection:
        rows = connection.execute(_ALL).all()
    return answer({"items": [category_json(row) for row in rows]})


@area.get("/categories/<key:category_id>")
def show_category(category_id: int) -> Response:
    """One category."""
    return _one(_BY_ID, {"id": category_id})


@area.get("/categories/<key:category_id>/products")
def list_category_products(category_id: int) -> Response:
    """A page of the products assigned to a category, by id."""
    limit = bodies.query_limit()
    values = {"category_id": category_id, "after_id": bodies.query_integer("after_id", 0), "limit": limit}
    with database().statement() as connection:
        rows = connection.execute(_ASSIGNED, values).all()
        if not rows and connection.execute(_BY_ID, {"id": category_id}).first() is None:
            raise NotFound("there is no such category")
    return answer(page_json(rows, limit))


@area.post("/categories")
def create_category() -> Response:
    """A new category."""
    return _one(_INSERT, {"parent_id": None, "position": 0, **bodies.read_body(_FIELDS)}, status=201)


@area.patch("/categories/<key:category_id>")
def change_category(category_id: int) -> Response:
    """Some fields of a category."""
    change = bodies.read_change(_FIELDS)
    if change.get("parent_id") == category_id:
        raise Invalid("a category cannot be its own parent")
    assignments = ", ".join(f"{name} = :{name}" for name in _FIELDS if name in change)
    statement = text(f"UPDATE category SET {assignments} WHERE id = :id RETURNING {_COLUMNS}")
    return _one(statement, {**change, "id": category_id})


@area.put("/products/<key:product_id>/categories/<key:category_id>")
def assign_category(product_id: int, category_id: int) -> Response:
    """Show a product in a category, at a rank."""
    rank = bodies.read_optional_body(_ASSIGNMENT_FIELDS).get("rank", 0)
    values = {"product_id": product_id, "category_id": category_id, "rank": rank}
    try:
        with database().statement() as connection:
            connection.execute(_ASSIGN, values)
    except IntegrityError as error:
        raise NotFound("there is no such product or category") from error
    return answer(values)


@area.delete("/products/<key:product_id>/categories/<key:category_id>")
def unassign_category(product_id: int, category_id: int) -> Response:
    """Show a product in a category no longer."""
    with database().statement() as connection:
        deleted = connection.execute(_UNASSIGN, {"product_id": product_id, "category_id": category_id}).rowcount
    if deleted == 0:
        raise NotFound("the product is not assigned to that category")
    return nothing()


def category_json(row: Sequence[Any]) -> dict[str, Any]:
    """The Category of the API."""
    key, parent_id, name, slug, position = row
    return {"id": key, "parent_id": parent_id, "name": name, "slug": slug, "position": position}


def _one(statement: TextClause, values: dict[str, Any], status: int = 200) -> Response:
    with database().statement() as connection:
        row = connection.execute(statement, values).first()
    if row is None:
        raise NotFound("there is no such category")
    return answer(category_json(row), status)
