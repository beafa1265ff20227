"""What customers think of products."""

from typing import Any

from flask import Blueprint, Response
from sqlalchemy import select

from legacy_monolith import bodies
from legacy_monolith.actors import current_actor
from legacy_monolith.answers import answer, timestamp
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import Invalid
from legacy_monolith.models import Review

area = Blueprint("reviews", __name__, url_prefix="/api/reviews")

_CREATABLE = {
    "product_id": Field(check=bodies.key, required=True),
    "customer_id": Field(check=bodies.key),
    "rating": Field(check=bodies.integer(1, 5), required=True),
    "body": Field(check=bodies.text(0, 4000)),
}


@area.get("")
def list_reviews() -> Response:
    """The reviews of a product, newest first."""
    product_id = bodies.query_integer("product_id", None)
    if product_id is None:
        raise Invalid("product_id is required")
    newest = select(Review).where(Review.product_id == product_id).order_by(Review.id.desc())
    with database().session() as session:
        found = session.scalars(newest.limit(bodies.query_limit())).all()
    return answer({"items": [review_json(review) for review in found]})


@area.post("")
def create_review() -> Response:
    """One more opinion."""
    given = bodies.read_body(_CREATABLE)
    customer_id = given.get("customer_id", current_actor().customer_id)
    if customer_id is None:
        raise Invalid("customer_id is required, as a field or as the header x-customer-id")
    with database().session() as session:
        review = Review(
            product_id=given["product_id"],
            customer_id=customer_id,
            rating=given["rating"],
            body=given.get("body", ""),
        )
        session.add(review)
        session.flush()
    return answer(review_json(review), 201)


def review_json(review: Review) -> dict[str, Any]:
    """The Review of the API."""
    return {
        "id": review.id,
        "product_id": review.product_id,
        "customer_id": review.customer_id,
        "rating": review.rating,
        "body": review.body,
        "created_at": timestamp(review.created_at),
    }
