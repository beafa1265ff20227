"""Orders: place, look at, pay, cancel."""

from typing import Any

from flask import Blueprint, Response
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.orm import Session

from legacy_monolith import bodies
from legacy_monolith.actors import current_actor
from legacy_monolith.answers import answer, money, timestamp, timestamp_or_none
from legacy_monolith.audit import audit
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import Conflict, Invalid, NotFound
from legacy_monolith.models import Customer, Invoice, LedgerEntry, Order, OrderLine
from legacy_monolith.placing import Line, Request, place_order

area = Blueprint("orders", __name__, url_prefix="/api/orders")

_MAX_LINES = 50
_PLACE = {
    "customer_id": Field(check=bodies.key),
    "address_id": Field(check=bodies.or_null(bodies.key)),
    "currency": Field(check=bodies.pattern("[A-Z]{3}")),
    "lines": Field(check=bodies.objects, required=True),
}
_LINE = {
    "product_id": Field(check=bodies.key, required=True),
    "quantity": Field(check=bodies.integer(1, 10_000), required=True),
}
_RELEASE = text("""
WITH released AS (
    UPDATE reservations SET released_at = now() WHERE order_id = :order_id AND released_at IS NULL
    RETURNING product_id, quantity
), locked AS (
    SELECT s.product_id, r.quantity
    FROM stock s JOIN released r USING (product_id)
    ORDER BY s.product_id FOR NO KEY UPDATE OF s
)
UPDATE stock SET reserved = reserved - locked.quantity, on_hand = on_hand + locked.quantity * :back, updated_at = now()
FROM locked WHERE stock.product_id = locked.product_id
""")


@area.post("")
def place() -> Response:
    """Place an order, or 409 credit_exceeded / out_of_stock and nothing at all has happened."""
    wanted = _read_request()
    with database().transaction() as connection:
        order_id = place_order(connection, wanted)
        shown = shown_order(connection, order_id)
    return answer(shown, 201)


@area.get("/<key:order_id>")
def show_order(order_id: int) -> Response:
    """One order with its lines and its invoice."""
    with database().transaction() as connection:
        return answer(shown_order(connection, order_id))


@area.post("/<key:order_id>/pay")
def pay(order_id: int) -> Response:
    """The customer has paid: the order uses no more credit."""
    with database().session() as session:
        order = locked_order(session, order_id)
        if order.paid_at is not None or order.status == "cancelled":
            raise Conflict("the order is paid or cancelled already")
        order.paid_at = session.execute(select(func.now())).scalar_one()
        session.flush()
        _book(session, order, "paid", ("bank", "receivable"))
        audit(session, "orders", order_id, "pay", current_actor().name)
        shown = shown_order(session.connection(), order_id)
    return answer(shown)


@area.post("/<key:order_id>/cancel")
def cancel(order_id: int) -> Response:
    """Give the goods back to the stock and the credit back to the customer."""
    with database().session() as session:
        order = locked_order(session, order_id)
        if order.status != "placed" or order.paid_at is not None:
            raise Conflict("only an order that is neither paid nor picked can be cancelled")
        order.status = "cancelled"
        session.flush()
        release_stock(session, order_id, back=True)
        _book(session, order, "void", ("sales", "receivable"))
        audit(session, "orders", order_id, "cancel", current_actor().name)
        shown = shown_order(session.connection(), order_id)
    return answer(shown)


def locked_order(session: Session, order_id: int) -> Order:
    """The order, with its customer's and its own row locked, in the order that placing takes."""
    customer_id = session.scalar(select(Order.customer_id).where(Order.id == order_id))
    if customer_id is None:
        raise NotFound("there is no such order")
    session.execute(select(Customer.id).where(Customer.id == customer_id).with_for_update(key_share=True))
    return session.get_one(Order, order_id, with_for_update={"key_share": True})


def release_stock(session: Session, order_id: int, *, back: bool) -> None:
    """End the order's reservations: the units go back on the shelf, or out of the door."""
    session.execute(_RELEASE, {"order_id": order_id, "back": int(back)})


def shown_order(connection: Connection, order_id: int) -> dict[str, Any]:
    """The Order of the API with "lines" and "invoice"."""
    order = connection.execute(select(Order.__table__).where(Order.id == order_id)).first()
    if order is None:
        raise NotFound("there is no such order")
    lines = connection.execute(
        select(OrderLine.__table__).where(OrderLine.order_id == order_id).order_by(OrderLine.line_no)
    )
    invoice = connection.execute(select(Invoice.id, Invoice.status).where(Invoice.order_id == order_id)).first()
    return {
        **order_json(order),
        "lines": [
            {
                "line_no": line.line_no,
                "product_id": line.product_id,
                "product_name": line.product_name,
                "quantity": line.quantity,
                "unit_price": money(line.unit_price),
            }
            for line in lines
        ],
        "invoice": None if invoice is None else {"id": invoice.id, "status": invoice.status},
    }


def order_json(order: Any) -> dict[str, Any]:
    """The Order of the API, from a model or a row."""
    return {
        "id": order.id,
        "customer_id": order.customer_id,
        "address_id": order.address_id,
        "status": order.status,
        "currency": order.currency,
        "total": money(order.total),
        "placed_at": timestamp(order.placed_at),
        "paid_at": timestamp_or_none(order.paid_at),
    }


def _read_request() -> Request:
    given = bodies.read_body(_PLACE)
    actor = current_actor()
    customer_id = given.get("customer_id", actor.customer_id)
    if customer_id is None:
        raise Invalid("customer_id is required, as a field or as the header x-customer-id")
    lines = [Line(**bodies.check_fields(line, _LINE, "a line")) for line in given["lines"]]
    if len(lines) > _MAX_LINES or len({line.product_id for line in lines}) < len(lines):
        raise Invalid(f"an order has at most {_MAX_LINES} lines, each of another product")
    return Request(
        customer_id=customer_id,
        address_id=given.get("address_id"),
        currency=given.get("currency", "EUR"),
        lines=lines,
        actor=actor.name,
    )


def _book(session: Session, order: Order, invoice_status: str, accounts: tuple[str, str]) -> None:
    """Set the invoice's status and book the total from the second account to the first."""
    invoice_id = session.execute(
        update(Invoice).where(Invoice.order_id == order.id).values(status=invoice_status).returning(Invoice.id)
    ).scalar_one()
    shared = {"invoice_id": invoice_id, "customer_id": order.customer_id}
    session.add(LedgerEntry(**shared, account=accounts[0], debit=order.total))
    session.add(LedgerEntry(**shared, account=accounts[1], credit=order.total))
