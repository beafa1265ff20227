"""The monolith's requests in the catalog's words. Pure: with `compat_answers` the only place that knows its names."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from extracted.catalog.domain import (
    Assignment,
    CategoryChange,
    Lifecycle,
    NewCategory,
    NewPrice,
    NewProduct,
    Page,
    ProductChange,
    ProductFilter,
)
from extracted.chassis.errors import Invalid, NotFound

BIGINT_MAX = 2**63 - 1
LIFECYCLE_OF = {"draft": Lifecycle.DRAFT, "active": Lifecycle.LIVE, "retired": Lifecycle.RETIRED}


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("text must not contain U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("text must be valid Unicode") from None
    return text


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    waiting: list[Any] = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                _storable(text)
            case dict(items):
                waiting.extend(items)
                waiting.extend(items.values())
            case list(items):
                waiting.extend(items)
    return value


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
CategoryName = Annotated[Text, Field(min_length=1, max_length=80)]
Status = Literal["draft", "active", "retired"]
Id = Annotated[int, Field(ge=-(2**63), le=BIGINT_MAX)]
Int4 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Weight = Annotated[int, Field(ge=0, le=2**31 - 1)]
Attributes = Annotated[dict[str, Any], AfterValidator(_storable_json)]


class _Body(BaseModel):
    """Strict: a boolean is no integer, a number no text; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class _NewProduct(_Body):
    sku: Annotated[Text, Field(min_length=1, max_length=40)]
    name: Name
    description: Text | None = None
    category_id: Id
    status: Status = "draft"
    tags: list[Text] = []
    attributes: Attributes = {}
    weight_grams: Weight | None = None


class _ProductChange(_Body):
    name: Name = ""
    description: Text | None = None
    category_id: Id = 0
    status: Status = "draft"
    tags: list[Text] = []
    attributes: Attributes = {}
    weight_grams: Weight | None = None


class _NewPrice(_Body):
    currency: Annotated[str, Field(pattern=r"\A[A-Z]{3}\z")]
    amount: Annotated[str, Field(pattern=r"\A[0-9]{1,10}(\.[0-9]{1,2})?\z")]
    reference: Annotated[Text, Field(min_length=1, max_length=64)] | None = None


class _NewCategory(_Body):
    name: CategoryName
    slug: CategoryName
    parent_id: Id | None = None
    position: Int4 = 0


class _CategoryChange(_Body):
    name: CategoryName = ""
    slug: CategoryName = ""
    parent_id: Id | None = None
    position: Int4 = 0


class _Assignment(_Body):
    rank: Int4 = 0


_M = TypeVar("_M", bound=_Body)


def read_new_product(body: bytes) -> NewProduct:
    """POST /api/products."""
    given = _read(_NewProduct, body)
    return NewProduct(
        sku=given.sku,
        title=given.name,
        description=given.description,
        category_id=given.category_id,
        lifecycle=LIFECYCLE_OF[given.status],
        tags=tuple(given.tags),
        attributes=given.attributes,
        weight_grams=given.weight_grams,
    )


def read_product_change(body: bytes) -> ProductChange:
    """PATCH /api/products/{id}: only the fields that the client sent."""
    given = _read_change(_ProductChange, body)
    renamed = {"name": "title", "status": "lifecycle"}
    fields = {renamed.get(name, name): value for name, value in given.items()}
    if "lifecycle" in fields:
        fields["lifecycle"] = LIFECYCLE_OF[fields["lifecycle"]]
    if "tags" in fields:
        fields["tags"] = tuple(fields["tags"])
    return ProductChange(**fields)


def read_new_price(body: bytes) -> NewPrice:
    """POST /api/products/{id}/prices."""
    given = _read(_NewPrice, body)
    return NewPrice(currency=given.currency, amount_minor=read_amount(given.amount), reference=given.reference)


def read_new_category(body: bytes) -> NewCategory:
    """POST /api/categories."""
    given = _read(_NewCategory, body)
    return NewCategory(title=given.name, slug=given.slug, parent_id=given.parent_id, sort_order=given.position)


def read_category_change(body: bytes, category_id: int) -> CategoryChange:
    """PATCH /api/categories/{id}: only the fields that the client sent."""
    given = _read_change(_CategoryChange, body)
    if given.get("parent_id") == category_id:
        raise Invalid("parent_id: a category cannot be its own parent")
    renamed = {"name": "title", "position": "sort_order"}
    return CategoryChange(**{renamed.get(name, name): value for name, value in given.items()})


def read_assignment(body: bytes, product_id: int, category_id: int) -> Assignment:
    """PUT /api/products/{id}/categories/{category_id}; no body means rank 0."""
    given = _read(_Assignment, body or b"{}")
    return Assignment(product_id=product_id, category_id=category_id, sort_order=given.rank)


def read_path_id(text: str) -> int:
    """An id in a path. Whatever is no bigint names nothing."""
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > BIGINT_MAX:
        raise NotFound("no such thing")
    return int(text)


def read_path_sku(text: str) -> str:
    """A SKU in a path. One that is longer than any names nothing."""
    if len(text) > 40:
        raise NotFound("no such product")
    return _query_text("sku", text)


def read_filter(query: Mapping[str, str]) -> ProductFilter:
    """The query of GET /api/products."""
    page = read_page(query)
    status = query.get("status")
    if status is not None and status not in LIFECYCLE_OF:
        raise Invalid(f"status: one of {', '.join(LIFECYCLE_OF)}")
    text = query.get("q")
    if text and len(text) > 200:
        raise Invalid("q: at most 200 characters")
    return ProductFilter(
        category_id=_query_int(query, "category_id", low=0, high=BIGINT_MAX),
        lifecycle=None if status is None else LIFECYCLE_OF[status],
        text=_query_text("q", text) if text else None,
        after_id=page.after_id,
        limit=page.limit,
    )


def read_page(query: Mapping[str, str]) -> Page:
    """The part of a list's query that says which page."""
    return Page(
        after_id=_query_int(query, "after_id", low=0, high=BIGINT_MAX) or 0,
        limit=_query_int(query, "limit", low=1, high=100) or 20,
    )


def read_amount(text: str) -> int:
    """`'12.3'` → 1230. The text has at most two decimals."""
    units, _, decimals = text.partition(".")
    return int(units) * 100 + int(decimals.ljust(2, "0"))


def _read(model: type[_M], body: bytes) -> _M:
    try:
        return model.model_validate(json.loads(body, parse_constant=_no_constant))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Invalid(f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _read_change(model: type[_Body], body: bytes) -> dict[str, Any]:
    given = _read(model, body).model_dump(exclude_unset=True)
    if not given:
        raise Invalid("nothing to change: give at least one field")
    return given


def _query_int(query: Mapping[str, str], name: str, *, low: int, high: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise Invalid(f"{name}: a whole number from {low} to {high}")
    return int(text)


def _query_text(name: str, text: str) -> str:
    try:
        return _storable(text)
    except ValueError as error:
        raise Invalid(f"{name}: {error}") from None
