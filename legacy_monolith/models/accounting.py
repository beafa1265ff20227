"""Invoices and the double-entry ledger."""

from datetime import date
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index, String, text
from sqlalchemy.dialects.postgresql import ENUM, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Key, LedgerMoney, Money, Stamp

INVOICE_STATUSES = ("draft", "open", "paid", "void")


class Invoice(Base):
    """One invoice per order: a draft when it is placed, open when it ships."""

    __tablename__ = "invoices"

    id: Mapped[Key] = mapped_column(Identity(always=True))
    order_id: Mapped[Big] = mapped_column(ForeignKey("orders.id"), unique=True)
    status: Mapped[str] = mapped_column(ENUM(*INVOICE_STATUSES, name="invoice_status"), server_default="draft")
    total: Mapped[Money]
    issued_on: Mapped[date | None]
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    created_at: Mapped[Stamp]


class LedgerEntry(Base):
    """One side of a booking; debits and credits of an invoice are equal."""

    __tablename__ = "ledger_entries"

    id: Mapped[Key]
    invoice_id: Mapped[Big] = mapped_column(ForeignKey("invoices.id"), index=True)
    customer_id: Mapped[Big] = mapped_column(ForeignKey("customers.id"))
    account: Mapped[str] = mapped_column(String(24))
    debit: Mapped[LedgerMoney]
    credit: Mapped[LedgerMoney]
    booked_at: Mapped[Stamp]

    __table_args__ = (Index("ledger_entries_customer_id_idx", "customer_id", "id"),)
