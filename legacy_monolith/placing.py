"""Placing an order: credit, stock, order, reservation, invoice draft and ledger in one transaction.

Locks are taken in one order by everybody, customer first, then stock by product id, so that orders never deadlock.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from legacy_monolith.errors import Conflict, CreditExceeded, Invalid, OutOfStock

_LOCK_CUSTOMER = text("SELECT credit_limit FROM customers WHERE id = :customer_id FOR NO KEY UPDATE")
_OPEN_TOTAL = text(
    "SELECT coalesce(sum(total), 0) FROM orders "
    "WHERE customer_id = :customer_id AND paid_at IS NULL AND status <> 'cancelled'"
)
_OFFERS = text("""
SELECT p.id, p.name, p.status, o.amount
FROM product p
LEFT JOIN LATERAL (
    SELECT r.amount
    FROM price r
    WHERE r.product_id = p.id AND r.currency = :currency AND r.valid_to IS NULL
    ORDER BY r.valid_from DESC, r.id DESC
    LIMIT 1
) o ON true
WHERE p.id = ANY(:product_ids)
""")
_LOCK_STOCK = text(
    "SELECT product_id, on_hand FROM stock WHERE product_id = ANY(:product_ids) ORDER BY product_id FOR NO KEY UPDATE"
)
_TAKE_STOCK = text("""
UPDATE stock SET on_hand = on_hand - t.quantity, reserved = reserved + t.quantity, updated_at = now()
FROM unnest(CAST(:product_ids AS bigint[]), CAST(:quantities AS int[])) AS t (product_id, quantity)
WHERE stock.product_id = t.product_id
""")
_WRITE = text("""
WITH placed AS (
    INSERT INTO orders (customer_id, address_id, currency, total)
    VALUES (:customer_id, :address_id, :currency, :total)
    RETURNING id, placed_at
), lines AS (
    INSERT INTO order_lines (order_id, line_no, product_id, product_name, quantity, unit_price)
    SELECT placed.id, t.line_no, t.product_id, t.product_name, t.quantity, t.unit_price
    FROM placed, unnest(
        CAST(:product_ids AS bigint[]), CAST(:names AS text[]), CAST(:quantities AS int[]), CAST(:prices AS numeric[])
    ) WITH ORDINALITY AS t (product_id, product_name, quantity, unit_price, line_no)
), reserved AS (
    INSERT INTO reservations (order_id, product_id, quantity)
    SELECT placed.id, t.product_id, t.quantity
    FROM placed, unnest(CAST(:product_ids AS bigint[]), CAST(:quantities AS int[])) AS t (product_id, quantity)
), invoice AS (
    INSERT INTO invoices (order_id, total, lines)
    SELECT placed.id, :total, CAST(:shown_lines AS jsonb) FROM placed
    RETURNING id
), booked AS (
    INSERT INTO ledger_entries (invoice_id, customer_id, account, debit, credit)
    SELECT invoice.id, :customer_id, b.account, b.debit, b.credit
    FROM invoice, (VALUES ('receivable', CAST(:total AS numeric), 0), ('sales', 0, CAST(:total AS numeric)))
        AS b (account, debit, credit)
), audited AS (
    INSERT INTO audit_log (entity, entity_id, action, actor)
    SELECT 'orders', placed.id, 'place', :actor FROM placed
)
SELECT placed.id, placed.placed_at, invoice.id FROM placed, invoice
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What a customer wants of one product."""

    product_id: int
    quantity: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """An order that a customer wants to place; no product twice."""

    customer_id: int
    address_id: int | None
    currency: str
    lines: Sequence[Line]
    actor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A line with the name and the price at which it is sold."""

    product_id: int
    quantity: int
    name: str
    unit_price: Decimal


def place_order(connection: Connection, wanted: Request) -> int:
    """Place the order within the caller's transaction; returns its id or raises the reason why not."""
    credit_limit = connection.execute(_LOCK_CUSTOMER, {"customer_id": wanted.customer_id}).scalar()
    if credit_limit is None:
        raise Invalid("there is no such customer")
    offers = _offers(connection, wanted)
    total = sum((offer.unit_price * offer.quantity for offer in offers), Decimal(0))
    used = connection.execute(_OPEN_TOTAL, {"customer_id": wanted.customer_id}).scalar_one()
    if used + total > credit_limit:
        raise CreditExceeded(f"the order is {total}, the available credit {credit_limit - used}")
    _take_stock(connection, offers)
    order_id: int = connection.execute(_WRITE, _values(wanted, offers, total)).scalar_one()
    return order_id


def _offers(connection: Connection, wanted: Request) -> list[Offer]:
    ids = [line.product_id for line in wanted.lines]
    rows = connection.execute(_OFFERS, {"product_ids": ids, "currency": wanted.currency}).all()
    found = {row[0]: row for row in rows}
    offers = []
    for line in wanted.lines:
        if line.product_id not in found:
            raise Invalid(f"there is no product {line.product_id}")
        _, name, status, amount = found[line.product_id]
        if status != "active" or amount is None:
            raise Conflict(f"product {line.product_id} is not for sale")
        offers.append(Offer(product_id=line.product_id, quantity=line.quantity, name=name, unit_price=amount))
    return offers


def _take_stock(connection: Connection, offers: Sequence[Offer]) -> None:
    ids = [offer.product_id for offer in offers]
    on_hand: dict[int, int] = {row[0]: row[1] for row in connection.execute(_LOCK_STOCK, {"product_ids": ids})}
    for offer in offers:
        if on_hand.get(offer.product_id, 0) < offer.quantity:
            raise OutOfStock(f"product {offer.product_id}: {on_hand.get(offer.product_id, 0)} left")
    connection.execute(_TAKE_STOCK, {"product_ids": ids, "quantities": [offer.quantity for offer in offers]})


def _values(wanted: Request, offers: Sequence[Offer], total: Decimal) -> dict[str, Any]:
    shown = [{"product_id": o.product_id, "quantity": o.quantity, "unit_price": f"{o.unit_price:.2f}"} for o in offers]
    return {
        "customer_id": wanted.customer_id,
        "address_id": wanted.address_id,
        "currency": wanted.currency,
        "total": total,
        "product_ids": [offer.product_id for offer in offers],
        "names": [offer.name for offer in offers],
        "quantities": [offer.quantity for offer in offers],
        "prices": [offer.unit_price for offer in offers],
        "shown_lines": json.dumps(shown),
        "actor": wanted.actor,
    }
