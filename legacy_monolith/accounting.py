"""Invoices and ledgers, to look at."""

from flask import Blueprint, Response
from sqlalchemy import func, select

from legacy_monolith import bodies
from legacy_monolith.answers import answer, day_or_none, money, timestamp
from legacy_monolith.database import database
from legacy_monolith.errors import NotFound
from legacy_monolith.models import Customer, Invoice, LedgerEntry

area = Blueprint("accounting", __name__, url_prefix="/api")


@area.get("/invoices/<key:invoice_id>")
def show_invoice(invoice_id: int) -> Response:
    """One invoice with its bookings."""
    bookings = select(LedgerEntry).where(LedgerEntry.invoice_id == invoice_id).order_by(LedgerEntry.id)
    with database().session() as session:
        invoice = session.get(Invoice, invoice_id)
        if invoice is None:
            raise NotFound("there is no such invoice")
        entries = session.scalars(bookings).all()
    return answer(
        {
            "id": invoice.id,
            "order_id": invoice.order_id,
            "status": invoice.status,
            "total": money(invoice.total),
            "issued_on": day_or_none(invoice.issued_on),
            "lines": invoice.lines,
            "bookings": [
                {
                    "account": entry.account,
                    "debit": money(entry.debit),
                    "credit": money(entry.credit),
                    "booked_at": timestamp(entry.booked_at),
                }
                for entry in entries
            ],
        }
    )


@area.get("/customers/<key:customer_id>/ledger")
def show_customer_ledger(customer_id: int) -> Response:
    """A customer's balance per account; a page of the newest bookings."""
    sums = (
        select(LedgerEntry.account, func.sum(LedgerEntry.debit), func.sum(LedgerEntry.credit))
        .where(LedgerEntry.customer_id == customer_id)
        .group_by(LedgerEntry.account)
        .order_by(LedgerEntry.account)
    )
    newest = select(LedgerEntry).where(LedgerEntry.customer_id == customer_id).order_by(LedgerEntry.id.desc())
    with database().session() as session:
        if session.get(Customer, customer_id) is None:
            raise NotFound("there is no such customer")
        totals = session.execute(sums).all()
        entries = session.scalars(newest.limit(bodies.query_limit())).all()
    return answer(
        {
            "customer_id": customer_id,
            "accounts": [
                {"account": account, "debit": money(debit), "credit": money(credit)}
                for account, debit, credit in totals
            ],
            "newest": [
                {
                    "invoice_id": entry.invoice_id,
                    "account": entry.account,
                    "debit": money(entry.debit),
                    "credit": money(entry.credit),
                    "booked_at": timestamp(entry.booked_at),
                }
                for entry in entries
            ],
        }
    )
