"""Customers, where they live, and who may log in."""

from uuid import UUID

from sqlalchemy import CHAR, ForeignKey, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from legacy_monolith.models.base import Base, Big, Currency, Key, Moment, Money, Stamp, Texts


class Region(Base):
    """A sales region with its currency."""

    __tablename__ = "regions"

    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    currency: Mapped[Currency]


class Customer(Base):
    """Somebody who buys, up to a credit limit."""

    __tablename__ = "customers"

    id: Mapped[Key]
    email: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    region_code: Mapped[str] = mapped_column(String(8), ForeignKey("regions.code"), index=True)
    credit_limit: Mapped[Money] = mapped_column(server_default=text("0"))
    labels: Mapped[Texts]
    created_at: Mapped[Stamp]


class Address(Base):
    """Where a customer wants goods or invoices."""

    __tablename__ = "addresses"

    id: Mapped[Key]
    customer_id: Mapped[Big] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(16), server_default="shipping")
    line1: Mapped[str] = mapped_column(String(200))
    city: Mapped[str] = mapped_column(String(80))
    postcode: Mapped[str] = mapped_column(String(16))
    country: Mapped[str] = mapped_column(CHAR(2))


class Role(Base):
    """What a user may do: customer, merchant or admin."""

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    description: Mapped[str] = mapped_column(Text)


class User(Base):
    """A login with one role; a customer's login points at the customer."""

    __tablename__ = "users"

    id: Mapped[Key]
    login: Mapped[str] = mapped_column(String(80), unique=True)
    role_name: Mapped[str] = mapped_column(String(16), ForeignKey("roles.name"))
    customer_id: Mapped[Big | None] = mapped_column(ForeignKey("customers.id"), index=True)
    created_at: Mapped[Stamp]


class UserSession(Base):
    """A logged-in session; its token travels in the header x-session-token."""

    __tablename__ = "sessions"

    token: Mapped[UUID] = mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))
    user_id: Mapped[Big] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Stamp]
    expires_at: Mapped[Moment] = mapped_column(server_default=text("now() + interval '8 hours'"))
