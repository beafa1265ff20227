"""Categories, products, prices. The catalog endpoints speak SQL to these tables; the models serve the rest."""

from sqlalchemy import ForeignKey, Identity, Index, String, Text, text
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Count, Currency, Document, Key, Moment, Money, Stamp, Texts

PRODUCT_STATUSES = ("draft", "active", "retired")


class Category(Base):
    """A node of the category tree."""

    __tablename__ = "category"

    id: Mapped[Key] = mapped_column(Identity(always=False))
    parent_id: Mapped[Big | None] = mapped_column(ForeignKey("category.id"))
    name: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    position: Mapped[Count]


class Product(Base):
    """Something the shop sells; `version` counts its updates, `updated_at` is kept by the trigger product_touch."""

    __tablename__ = "product"

    id: Mapped[Key]
    sku: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    descr: Mapped[str | None] = mapped_column(Text)
    category_id: Mapped[Big] = mapped_column(ForeignKey("category.id"))
    status: Mapped[str] = mapped_column(ENUM(*PRODUCT_STATUSES, name="product_status"), server_default="draft")
    tags: Mapped[Texts]
    attrs: Mapped[Document]
    weight_grams: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Stamp]
    updated_at: Mapped[Stamp]

    __table_args__ = (Index("product_category_id_idx", "category_id", "id"),)


class Price(Base):
    """What a product costs in a currency from `valid_from` on; open while `valid_to` is null."""

    __tablename__ = "price"

    id: Mapped[Key]
    product_id: Mapped[Big] = mapped_column(ForeignKey("product.id"))
    currency: Mapped[Currency]
    amount: Mapped[Money]
    reference: Mapped[str | None] = mapped_column(String(64), unique=True)
    valid_from: Mapped[Moment]
    valid_to: Mapped[Moment | None]

    __table_args__ = (
        Index("price_product_id_idx", "product_id", text("valid_from DESC"), text("id DESC")),
        Index(
            "price_open_idx",
            "product_id",
            text("valid_from DESC"),
            text("id DESC"),
            postgresql_where=text("valid_to IS NULL"),
        ),
    )


class ProductCategory(Base):
    """A product shown in a category besides its own."""

    __tablename__ = "product_category"

    product_id: Mapped[Big] = mapped_column(ForeignKey("product.id"), primary_key=True)
    category_id: Mapped[Big] = mapped_column(ForeignKey("category.id"), primary_key=True)
    rank: Mapped[Count]

    __table_args__ = (Index("product_category_category_id_idx", "category_id", "product_id"),)
