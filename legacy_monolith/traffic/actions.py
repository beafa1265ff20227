"""What a request is before it is sent, and what a user owns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Entity = Literal["product", "price", "category", "product_category"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWrite:
    """The row that a catalog write is about, in legacy column names."""

    entity: Entity
    op: Literal["upsert", "delete"]
    key: Mapping[str, Any]
    """The parts known before the answer."""
    values: Mapping[str, Any] | None
    """The columns that the request sets; None of a delete."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One request that a user is about to send."""

    endpoint: str
    kind: Literal["read", "write"]
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    write: PlannedWrite | None = None
    product: "OwnedProduct | None" = None
    category: "OwnedCategory | None" = None
    order_id: int | None = None
    token: str | None = None
    """Of the session in which it is asked."""
    learn: Callable[[Any], None] | None = None
    """Takes the body of an answer that is no refusal."""

    @property
    def moving(self) -> bool:
        """Is it a catalog endpoint?"""
        return self.endpoint.split(".")[0] in {"product", "price", "category", "assignment"}


@dataclass(kw_only=True, slots=True)
class OwnedProduct:
    """A product that only its user writes to, as far as the answers told."""

    id: int
    sku: str
    made_here: bool
    open_prices: dict[str, int | None]
    """Per currency the open price, None for surely none; a currency that is missing is not known."""
    made_prices: dict[int, str] = field(default_factory=dict)
    """Prices of this run that exist, with their reference."""
    assigned: set[int] = field(default_factory=set)
    tainted: bool = False


@dataclass(kw_only=True, slots=True)
class OwnedCategory:
    """A category that only its user writes to."""

    id: int
    slug: str
    tainted: bool = False


@dataclass(kw_only=True, slots=True)
class OwnedOrder:
    """An order of a user, as far as it has come."""

    id: int
    invoice_id: int
    status: Literal["placed", "picking", "shipped"] = "placed"
    is_paid: bool = False
    shipment_id: int | None = None


@dataclass(kw_only=True, slots=True)
class User:
    """A virtual user: one request in flight at a time, so at most one write in flight per key."""

    number: int
    customer_id: int
    products: list[OwnedProduct] = field(default_factory=list)
    categories: list[OwnedCategory] = field(default_factory=list)
    unpaid_orders: list[int] = field(default_factory=list)
    orders: list[OwnedOrder] = field(default_factory=list)
    """Only where the whole shop is driven (`shop`)."""
    token: str | None = None
