"""Shipments and what is picked for them."""

from sqlalchemy import ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Key, Moment, Stamp

SHIPMENT_STATUSES = ("picking", "shipped")


class Shipment(Base):
    """One parcel per order."""

    __tablename__ = "shipments"

    id: Mapped[Key]
    order_id: Mapped[Big] = mapped_column(ForeignKey("orders.id"), unique=True)
    status: Mapped[str] = mapped_column(ENUM(*SHIPMENT_STATUSES, name="shipment_status"), server_default="picking")
    carrier: Mapped[str | None] = mapped_column(String(40))
    tracking: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[Stamp]
    shipped_at: Mapped[Moment | None]


class PickItem(Base):
    """An order line that the warehouse takes off the shelf."""

    __tablename__ = "pick_items"

    shipment_id: Mapped[Big] = mapped_column(ForeignKey("shipments.id"), primary_key=True)
    order_id: Mapped[Big] = mapped_column(primary_key=True)
    line_no: Mapped[int] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    picked_by: Mapped[str | None] = mapped_column(String(80))

    __table_args__ = (
        ForeignKeyConstraint(
            ["order_id", "line_no"],
            ["order_lines.order_id", "order_lines.line_no"],
            name="pick_items_order_line_fkey",
        ),
    )
