"""Stock and the orders that reserve it."""

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Count, Currency, Key, Moment, Money, Stamp

ORDER_STATUSES = ("placed", "picking", "shipped", "cancelled")


class Stock(Base):
    """Units of a product: free to sell (`on_hand`) and set aside for orders (`reserved`)."""

    __tablename__ = "stock"

    product_id: Mapped[Big] = mapped_column(ForeignKey("product.id"), primary_key=True)
    on_hand: Mapped[Count]
    reserved: Mapped[Count]
    reorder_level: Mapped[Count]
    updated_at: Mapped[Stamp]


class Order(Base):
    """A placed order; open, that is counted against the credit limit, until it is paid or cancelled."""

    __tablename__ = "orders"

    id: Mapped[Key]
    customer_id: Mapped[Big] = mapped_column(ForeignKey("customers.id"))
    address_id: Mapped[Big | None] = mapped_column(ForeignKey("addresses.id"))
    status: Mapped[str] = mapped_column(ENUM(*ORDER_STATUSES, name="order_status"), server_default="placed")
    currency: Mapped[Currency]
    total: Mapped[Money]
    placed_at: Mapped[Stamp]
    paid_at: Mapped[Moment | None]

    __table_args__ = (
        Index("orders_customer_id_idx", "customer_id", "placed_at"),
        Index("orders_placed_at_idx", "placed_at"),
        Index(
            "orders_open_idx",
            "customer_id",
            postgresql_include=["total"],
            postgresql_where=text("paid_at IS NULL AND status <> 'cancelled'"),
        ),
    )


class OrderLine(Base):
    """One product of an order, named and priced as it was bought."""

    __tablename__ = "order_lines"

    order_id: Mapped[Big] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    line_no: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[Big] = mapped_column(ForeignKey("product.id"), index=True)
    product_name: Mapped[str] = mapped_column(String(200))
    quantity: Mapped[int]
    unit_price: Mapped[Money]


class Reservation(Base):
    """Units set aside for an order until they ship or the order is cancelled."""

    __tablename__ = "reservations"

    id: Mapped[Key]
    order_id: Mapped[Big] = mapped_column(ForeignKey("orders.id"), index=True)
    product_id: Mapped[Big] = mapped_column(ForeignKey("stock.product_id"), index=True)
    quantity: Mapped[int]
    released_at: Mapped[Moment | None]
