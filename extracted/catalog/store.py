"""The catalog in PostgreSQL: one or two statements a call, each call one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from extracted.catalog import statements
from extracted.catalog.domain import (
    KEEP,
    Assignment,
    Category,
    CategoryChange,
    Lifecycle,
    NewCategory,
    NewPrice,
    NewProduct,
    OpenPrice,
    Page,
    Price,
    Product,
    ProductChange,
    ProductFilter,
)
from extracted.chassis.database import Database
from extracted.chassis.errors import Invalid, MissingReference, NotFound


class CatalogStore:
    """Reads and writes of the catalog.

    Every write returns what was committed. Errors: `NotFound` for the thing named, `Invalid` for a reference inside a
    value, `AlreadyStored` for a taken SKU, slug or price reference, `ReadOnly` while the database is fenced.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def product(self, product_id: int) -> Product:
        """One product by id."""
        return _product(_found(await self._database.fetch_one(statements.PRODUCT_BY_ID, {"product_id": product_id})))

    async def product_by_sku(self, sku: str) -> Product:
        """One product by SKU."""
        return _product(_found(await self._database.fetch_one(statements.PRODUCT_BY_SKU, {"sku": sku})))

    async def products(self, wanted: ProductFilter) -> list[Product]:
        """One page, by id."""
        parameters: dict[str, Any] = {"after_id": wanted.after_id, "limit": wanted.limit}
        if wanted.category_id is not None:
            parameters["category_id"] = wanted.category_id
        if wanted.lifecycle is not None:
            parameters["lifecycle"] = wanted.lifecycle.value
        if wanted.text is not None:
            parameters["text"] = statements.literal_part(wanted.text)
        return [
            _product(row) for row in await self._database.fetch_all(statements.product_list(parameters), parameters)
        ]

    async def products_assigned(self, category_id: int, page: Page) -> list[Product]:
        """One page, by id, of the products assigned to a category."""
        parameters = {"category_id": category_id, "after_id": page.after_id, "limit": page.limit}
        rows = await self._database.fetch_all(statements.PRODUCTS_ASSIGNED, parameters)
        if not rows:
            await self._require(statements.CATEGORY_EXISTS, {"category_id": category_id})
        return [_product(row) for row in rows]

    async def add_product(self, new: NewProduct) -> Product:
        """Store a product and its description."""
        row = await self._database.fetch_one(statements.ADD_PRODUCT, _parameters(new))
        if row is None:
            raise Invalid(f"category_id: no category {new.category_id}")
        return _product(row)

    async def change_product(self, product_id: int, change: ProductChange) -> Product:
        """Change a product; its revision counts up by one whatever changed."""
        parameters = _parameters(change)
        changed, shown = await self._database.fetch_two(
            statements.change_product(parameters), statements.PRODUCT_BY_ID, {**parameters, "product_id": product_id}
        )
        if changed is None:
            await self._require(statements.PRODUCT_EXISTS, {"product_id": product_id})
            raise Invalid(f"category_id: no category {parameters.get('category_id')}")
        return _product(_found(shown))

    async def prices(self, product_id: int) -> list[Price]:
        """Every price a product had, newest first."""
        parameters = {"product_id": product_id}
        rows = await self._database.fetch_all(statements.PRICES_OF_PRODUCT, parameters)
        if not rows:
            await self._require(statements.PRODUCT_EXISTS, parameters)
        return [_price(row) for row in rows]

    async def set_price(self, product_id: int, new: NewPrice) -> Price:
        """Close the open price of the currency and open the new one at the same moment."""
        locked, row = await self._database.fetch_two(
            statements.LOCK_PRODUCT, statements.REPLACE_OPEN_PRICE, {**_parameters(new), "product_id": product_id}
        )
        _found(locked)
        return _price(_found(row))

    async def delete_price(self, price_id: int) -> None:
        """Remove one price from the history."""
        _found(await self._database.fetch_one(statements.DELETE_PRICE, {"price_id": price_id}))

    async def categories(self) -> list[Category]:
        """Every category, by id."""
        return [_category(row) for row in await self._database.fetch_all(statements.CATEGORIES, {})]

    async def category(self, category_id: int) -> Category:
        """One category by id."""
        return _category(
            _found(await self._database.fetch_one(statements.CATEGORY_BY_ID, {"category_id": category_id}))
        )

    async def add_category(self, new: NewCategory) -> Category:
        """Store a category."""
        row = await self._database.fetch_one(statements.ADD_CATEGORY, _parameters(new))
        if row is None:
            raise Invalid(f"parent_id: no category {new.parent_id}")
        return _category(row)

    async def change_category(self, category_id: int, change: CategoryChange) -> Category:
        """Change a category. At least one field must be given."""
        parameters = _parameters(change)
        row = await self._database.fetch_one(
            statements.change_category(parameters), {**parameters, "category_id": category_id}
        )
        if row is None:
            await self._require(statements.CATEGORY_EXISTS, {"category_id": category_id})
            raise Invalid(f"parent_id: no category {parameters.get('parent_id')}")
        return _category(row)

    async def assign(self, wanted: Assignment) -> Assignment:
        """Put a product into a category, or move it there to another place."""
        try:
            row = _found(await self._database.fetch_one(statements.ASSIGN, _parameters(wanted)))
        except MissingReference as error:
            raise NotFound("no such product or category") from error
        return Assignment(product_id=row[0], category_id=row[1], sort_order=row[2])

    async def unassign(self, product_id: int, category_id: int) -> None:
        """Take a product out of a category."""
        parameters = {"product_id": product_id, "category_id": category_id}
        _found(await self._database.fetch_one(statements.UNASSIGN, parameters))

    async def _require(self, statement: str, parameters: Mapping[str, Any]) -> None:
        _found(await self._database.fetch_one(statement, parameters))


def _found(row: TupleRow | None) -> TupleRow:
    if row is None:
        raise NotFound("no such thing")
    return row


def _parameters(
    value: NewProduct | ProductChange | NewPrice | NewCategory | CategoryChange | Assignment,
) -> dict[str, Any]:
    """The fields that are not kept, as the driver takes them."""
    given = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: _parameter(name, item) for name, item in given if item is not KEEP}


def _parameter(name: str, item: Any) -> Any:
    if name == "attributes":
        return Jsonb(item)
    if isinstance(item, Lifecycle):
        return item.value
    return list(item) if isinstance(item, tuple) else item


def _product(row: Sequence[Any]) -> Product:
    price = None
    if row[12] is not None:
        price = OpenPrice(
            price_id=row[12], currency=row[13], amount_minor=row[14], reference=row[15], effective_from=row[16]
        )
    return Product(
        product_id=row[0],
        sku=row[1],
        title=row[2],
        description=row[3],
        category_id=row[4],
        lifecycle=Lifecycle(row[5]),
        tags=tuple(row[6]),
        attributes=row[7],
        weight_grams=row[8],
        revision=row[9],
        created_at=row[10],
        updated_at=row[11],
        price=price,
        assigned_category_ids=tuple(row[17]),
    )


def _price(row: Sequence[Any]) -> Price:
    return Price(
        price_id=row[0],
        product_id=row[1],
        currency=row[2],
        amount_minor=row[3],
        reference=row[4],
        effective_from=row[5],
        effective_to=row[6],
    )


def _category(row: Sequence[Any]) -> Category:
    return Category(category_id=row[0], parent_id=row[1], title=row[2], slug=row[3], sort_order=row[4])
