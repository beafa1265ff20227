"""What the office keeps: reviews, promotions, settings and the audit trail."""

from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Index, Numeric, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Document, Key, Moment, Stamp, Texts


class Review(Base):
    """A customer's opinion of a product, 1 to 5 stars."""

    __tablename__ = "reviews"

    id: Mapped[Key]
    product_id: Mapped[Big] = mapped_column(ForeignKey("product.id"))
    customer_id: Mapped[Big] = mapped_column(ForeignKey("customers.id"), index=True)
    rating: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[Stamp]

    __table_args__ = (Index("reviews_product_id_idx", "product_id", "id"),)


class Promotion(Base):
    """A discount code for a category and some regions."""

    __tablename__ = "promotions"

    id: Mapped[Key]
    code: Mapped[str] = mapped_column(String(32), unique=True)
    category_id: Mapped[Big | None] = mapped_column(ForeignKey("category.id"))
    percent: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    region_codes: Mapped[Texts]
    valid_from: Mapped[Moment]
    valid_to: Mapped[Moment | None]


class AuditEntry(Base):
    """Who did what to which row. It refers by plain id: no foreign key is declared."""

    __tablename__ = "audit_log"

    id: Mapped[Key]
    entity: Mapped[str] = mapped_column(String(32))
    entity_id: Mapped[Big]
    action: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str | None] = mapped_column(String(80))
    detail: Mapped[Document]
    at: Mapped[Stamp]

    __table_args__ = (Index("audit_log_entity_idx", "entity", "entity_id"),)


class Setting(Base):
    """A knob of the shop, any JSON value under a dotted key."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[Stamp]
