"""Customers: who they are, where they live, what they may still spend."""

from decimal import Decimal
from typing import Any

from flask import Blueprint, Response
from sqlalchemy import select, text

from legacy_monolith import bodies
from legacy_monolith.actors import current_actor
from legacy_monolith.answers import answer, money, timestamp
from legacy_monolith.audit import audit
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import NotFound
from legacy_monolith.models import Address, Customer, Order
from legacy_monolith.orders import order_json

area = Blueprint("customers", __name__, url_prefix="/api/customers")

_CHANGEABLE = {
    "name": Field(check=bodies.text(1, 120), required=True),
    "region": Field(check=bodies.text(1, 8), required=True),
    "credit_limit": Field(check=bodies.amount),
    "labels": Field(check=bodies.texts),
}
_CREATABLE = {"email": Field(check=bodies.text(3, 200), required=True), **_CHANGEABLE}
_ADDRESS = {
    "kind": Field(check=bodies.one_of(("shipping", "billing"))),
    "line1": Field(check=bodies.text(1, 200), required=True),
    "city": Field(check=bodies.text(1, 80), required=True),
    "postcode": Field(check=bodies.text(1, 16), required=True),
    "country": Field(check=bodies.pattern("[A-Z]{2}"), required=True),
}
_CREDIT = text("""
SELECT c.credit_limit, coalesce(sum(o.total), 0)
FROM customers c
LEFT JOIN orders o ON o.customer_id = c.id AND o.paid_at IS NULL AND o.status <> 'cancelled'
WHERE c.id = :id
GROUP BY c.id
""")


@area.get("")
def list_customers() -> Response:
    """A page of customers by id."""
    limit, after_id = bodies.query_limit(), bodies.query_integer("after_id", 0)
    with database().session() as session:
        found = session.scalars(select(Customer).where(Customer.id > after_id).order_by(Customer.id).limit(limit)).all()
    items = [customer_json(customer) for customer in found]
    return answer({"items": items, "next_after_id": items[-1]["id"] if len(items) == limit else None})


@area.post("")
def create_customer() -> Response:
    """A new customer; without a credit limit, none is given."""
    given = bodies.read_body(_CREATABLE)
    with database().session() as session:
        customer = Customer(
            email=given["email"],
            name=given["name"],
            region_code=given["region"],
            credit_limit=given.get("credit_limit", Decimal(0)),
            labels=given.get("labels", []),
        )
        session.add(customer)
        session.flush()
        audit(session, "customers", customer.id, "create", current_actor().name)
    return answer(customer_json(customer), 201)


@area.get("/<key:customer_id>")
def show_customer(customer_id: int) -> Response:
    """One customer."""
    with database().session() as session:
        customer = session.get(Customer, customer_id)
    return answer(customer_json(_found(customer)))


@area.patch("/<key:customer_id>")
def change_customer(customer_id: int) -> Response:
    """Some fields of a customer."""
    change = bodies.read_change(_CHANGEABLE)
    if "region" in change:
        change["region_code"] = change.pop("region")
    with database().session() as session:
        customer = _found(session.get(Customer, customer_id, with_for_update=True))
        for name, value in change.items():
            setattr(customer, name, value)
        audit(session, "customers", customer_id, "change", current_actor().name, fields=sorted(change))
    return answer(customer_json(customer))


@area.get("/<key:customer_id>/addresses")
def list_addresses(customer_id: int) -> Response:
    """All addresses of a customer."""
    with database().session() as session:
        _found(session.get(Customer, customer_id))
        found = session.scalars(select(Address).where(Address.customer_id == customer_id).order_by(Address.id)).all()
    return answer({"items": [_address_json(address) for address in found]})


@area.post("/<key:customer_id>/addresses")
def create_address(customer_id: int) -> Response:
    """One more address."""
    given = bodies.read_body(_ADDRESS)
    with database().session() as session:
        _found(session.get(Customer, customer_id))
        address = Address(**{"kind": "shipping", **given}, customer_id=customer_id)
        session.add(address)
        session.flush()
    return answer(_address_json(address), 201)


@area.get("/<key:customer_id>/orders")
def list_customer_orders(customer_id: int) -> Response:
    """The orders of a customer, newest first."""
    limit = bodies.query_limit()
    newest = select(Order).where(Order.customer_id == customer_id).order_by(Order.placed_at.desc(), Order.id.desc())
    with database().session() as session:
        _found(session.get(Customer, customer_id))
        found = session.scalars(newest.limit(limit)).all()
    return answer({"items": [order_json(order) for order in found]})


@area.get("/<key:customer_id>/available-credit")
def show_available_credit(customer_id: int) -> Response:
    """The credit limit less what open orders use of it."""
    with database().statement() as connection:
        row = connection.execute(_CREDIT, {"id": customer_id}).first()
    if row is None:
        raise NotFound("there is no such customer")
    limit, used = row
    return answer(
        {
            "customer_id": customer_id,
            "credit_limit": money(limit),
            "open_orders": money(used),
            "available": money(limit - used),
        }
    )


def customer_json(customer: Customer) -> dict[str, Any]:
    """The Customer of the API."""
    return {
        "id": customer.id,
        "email": customer.email,
        "name": customer.name,
        "region": customer.region_code,
        "credit_limit": money(customer.credit_limit),
        "labels": customer.labels,
        "created_at": timestamp(customer.created_at),
    }


def _found(customer: Customer | None) -> Customer:
    if customer is None:
        raise NotFound("there is no such customer")
    return customer


def _address_json(address: Address) -> dict[str, Any]:
    names = ("id", "customer_id", "kind", "line1", "city", "postcode", "country")
    return {name: getattr(address, name) for name in names}
