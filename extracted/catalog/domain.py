"""The catalog's own words, as values. Pure; knows neither HTTP nor SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final


class Lifecycle(StrEnum):
    """Where a product stands: being prepared, for sale, no longer for sale."""

    DRAFT = "draft"
    LIVE = "live"
    RETIRED = "retired"


class Keep(Enum):
    """The type of `KEEP`."""

    TOKEN = "keep"

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep.TOKEN
"""In a change: leave this field as it is. Distinct from None, which empties it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPrice:
    """The price a product has now. `amount_minor` is in hundredths of the currency's unit."""

    price_id: int
    currency: str
    amount_minor: int
    reference: str | None
    effective_from: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """A price and the time it held; `effective_to` None: it still does."""

    price_id: int
    product_id: int
    currency: str
    amount_minor: int
    reference: str | None
    effective_from: datetime
    effective_to: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A product as shown: with its description, its newest open price and assigned categories in order."""

    product_id: int
    sku: str
    title: str
    description: str | None
    category_id: int
    lifecycle: Lifecycle
    tags: tuple[str, ...]
    attributes: Mapping[str, Any]
    weight_grams: int | None
    revision: int
    created_at: datetime
    updated_at: datetime
    price: OpenPrice | None
    assigned_category_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A shelf of the store; a tree by `parent_id`."""

    category_id: int
    parent_id: int | None
    title: str
    slug: str
    sort_order: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A product shown in a category that is not its own, at a place."""

    product_id: int
    category_id: int
    sort_order: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NewProduct:
    """A product to add; it starts at revision 1, without a price."""

    sku: str
    title: str
    description: str | None = None
    category_id: int
    lifecycle: Lifecycle = Lifecycle.DRAFT
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any]
    weight_grams: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductChange:
    """What to change of a product. Every applied change counts its revision up by one."""

    title: str | Keep = KEEP
    description: str | Keep | None = KEEP
    category_id: int | Keep = KEEP
    lifecycle: Lifecycle | Keep = KEEP
    tags: tuple[str, ...] | Keep = KEEP
    attributes: Mapping[str, Any] | Keep = KEEP
    weight_grams: int | Keep | None = KEEP


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What follows `after_id`, by id, at most `limit`."""

    after_id: int = 0
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductFilter(Page):
    """A page of those products that fit every field given. `text` is a literal part of title or SKU in any case."""

    category_id: int | None = None
    lifecycle: Lifecycle | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPrice:
    """A price to hold from now on, in place of the open one of the same currency."""

    currency: str
    amount_minor: int
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCategory:
    """A category to add."""

    title: str
    slug: str
    parent_id: int | None = None
    sort_order: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoryChange:
    """What to change of a category."""

    title: str | Keep = KEEP
    slug: str | Keep = KEEP
    parent_id: int | Keep | None = KEEP
    sort_order: int | Keep = KEEP
