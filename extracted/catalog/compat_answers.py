"""The catalog's values as the monolith's JSON, keys in its order. Pure."""

from datetime import datetime
from typing import Any

from extracted.catalog.compat import LIFECYCLE_OF
from extracted.catalog.domain import Assignment, Category, Price, Product

_STATUS_OF = {lifecycle: status for status, lifecycle in LIFECYCLE_OF.items()}


def show_amount(minor: int) -> str:
    """1230 → `'12.30'`."""
    sign = "-" if minor < 0 else ""
    units, rest = divmod(abs(minor), 100)
    return f"{sign}{units}.{rest:02d}"


def show_time(moment: datetime) -> str:
    """ISO 8601, UTC (the value's own zone), six fractional digits, `Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def show_product(product: Product) -> dict[str, Any]:
    """The monolith's product JSON, keys in its order."""
    price = product.price
    return {
        "id": product.product_id,
        "sku": product.sku,
        "name": product.title,
        "description": product.description,
        "category_id": product.category_id,
        "status": _STATUS_OF[product.lifecycle],
        "tags": list(product.tags),
        "attributes": product.attributes,
        "weight_grams": product.weight_grams,
        "version": product.revision,
        "created_at": show_time(product.created_at),
        "updated_at": show_time(product.updated_at),
        "price": None
        if price is None
        else {
            "id": price.price_id,
            "currency": price.currency,
            "amount": show_amount(price.amount_minor),
            "reference": price.reference,
            "valid_from": show_time(price.effective_from),
        },
        "category_ids": list(product.assigned_category_ids),
    }


def show_products(products: list[Product], limit: int) -> dict[str, Any]:
    """A page; `next_after_id` is the last id of a full one."""
    full = len(products) == limit
    return {
        "items": [show_product(product) for product in products],
        "next_after_id": products[-1].product_id if full else None,
    }


def show_price(price: Price) -> dict[str, Any]:
    """The monolith's price JSON."""
    return {
        "id": price.price_id,
        "product_id": price.product_id,
        "currency": price.currency,
        "amount": show_amount(price.amount_minor),
        "reference": price.reference,
        "valid_from": show_time(price.effective_from),
        "valid_to": None if price.effective_to is None else show_time(price.effective_to),
    }


def show_category(category: Category) -> dict[str, Any]:
    """The monolith's category JSON."""
    return {
        "id": category.category_id,
        "parent_id": category.parent_id,
        "name": category.title,
        "slug": category.slug,
        "position": category.sort_order,
    }


def show_assignment(assignment: Assignment) -> dict[str, Any]:
    """The monolith's assignment JSON."""
    return {
        "product_id": assignment.product_id,
        "category_id": assignment.category_id,
        "rank": assignment.sort_order,
    }
