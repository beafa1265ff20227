"""Learn, through the API alone, what the store holds before the run: ids to read, products to own."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from legacy_monolith.traffic.actions import OwnedProduct
from legacy_monolith.traffic.market import Start

_PAGE = 100
_PAGES = 24
_SELLABLE_SHARE = 0.25


class BootstrapFailed(Exception):
    """The store cannot be asked for its products, or has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The start of a run."""

    start: Start
    owned: list[OwnedProduct]
    """Products that users may change; disjoint from `start.sellable`."""


async def look_around(client: httpx.AsyncClient, random: Random) -> Found:
    """A sample of products over the whole range of ids, all categories, some customers."""
    products = await _sample_products(client)
    categories = [item["id"] for item in await _items(client, "/api/categories")]
    customers = [item["id"] for item in await _items(client, f"/api/customers?limit={_PAGE}")]
    if not products or not categories:
        raise BootstrapFailed("the store has no products or no categories: seed it first")
    random.shuffle(products)
    cut = max(1, round(len(products) * _SELLABLE_SHARE))
    sellable = [product["id"] for product in products[:cut] if product["status"] == "active" and product["price"]]
    start = Start(
        products=[(product["id"], product["sku"]) for product in products],
        sellable=sellable,
        categories=categories,
        customers=customers if sellable else [],
    )
    return Found(start=start, owned=[owned_product(product) for product in products[cut:]])


def owned_product(product: Mapping[str, Any]) -> OwnedProduct:
    """What a user knows of a product that was there before."""
    price = product["price"]
    open_prices: dict[str, int | None] = (
        {"EUR": None, "USD": None} if price is None else {price["currency"]: price["id"]}
    )
    return OwnedProduct(
        id=product["id"],
        sku=product["sku"],
        made_here=False,
        open_prices=open_prices,
        assigned=set(product["category_ids"]),
    )


async def _sample_products(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Pages at even distances up to the greatest id."""
    greatest = await _greatest_product_id(client)
    found: dict[int, dict[str, Any]] = {}
    for page in range(_PAGES):
        after = greatest * page // _PAGES
        for product in await _items(client, f"/api/products?limit={_PAGE}&after_id={after}"):
            found[product["id"]] = product
    return list(found.values())


async def _greatest_product_id(client: httpx.AsyncClient) -> int:
    """By doubling and halving; about thirty small requests."""
    low, high = 0, 1
    while await _items(client, f"/api/products?limit=1&after_id={high}"):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if await _items(client, f"/api/products?limit=1&after_id={middle}"):
            low = middle
        else:
            high = middle
    return high


async def _items(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    try:
        response = await client.get(path)
    except httpx.HTTPError as error:
        raise BootstrapFailed(f"GET {path}: {type(error).__name__} {error}") from error
    if response.status_code != 200:
        raise BootstrapFailed(f"GET {path} answered {response.status_code}")
    items: list[dict[str, Any]] = response.json()["items"]
    return items
