"""Which request a user sends next. Pure: the same seed and the same answers make the same requests."""

from collections.abc import Callable
from random import Random
from typing import Any

from legacy_monolith.traffic.actions import Action, Entity, OwnedProduct, PlannedWrite, User
from legacy_monolith.traffic.market import Market

_WORDS = ("kettle", "lamp", "chair", "Spülschüssel", "mirror", "shelf", "blanket", "clock", "vase", "stool", "茶壺")
_TAGS = ("new", "sale", "eco", "gift", "last, few", 'with "quotes"')
_SEARCHES = ("kettle", "lamp", "oak", "glass", "shelf")
_CURRENCIES = (("EUR", 85), ("USD", 15))
_OTHER_WRITES_SHARE = 0.10


def choose_read(market: Market, user: User, now: float, random: Random) -> Action:
    """A look at the shop: mostly single products, some lists, a little of everything else."""
    choose = random.choices([make for make, _ in _READS], [weight for _, weight in _READS])[0]
    return choose(market, user, now, random)


def choose_write(market: Market, user: User, now: float, random: Random) -> Action:
    """A change of the catalog, or, in one of ten, of the rest of the shop."""
    if market.customers and random.random() < _OTHER_WRITES_SHARE:
        return _other_write(market, user, random)
    return choose_catalog_write(market, user, now, random)


def choose_catalog_write(market: Market, user: User, now: float, random: Random) -> Action:
    """A change of the catalog."""
    choose = random.choices([make for make, _ in _WRITES], [weight for _, weight in _WRITES])[0]
    action = choose(market, user, now, random)
    return action or _create_product(market, user, now, random)


# --- reads ------------------------------------------------------------------------------------------------------------


def _read(endpoint: str, path: str) -> Action:
    return Action(endpoint=endpoint, kind="read", method="GET", path=path)


def _show_product(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("product.get", f"/api/products/{market.any_product(now, random)[0]}")


def _show_by_sku(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("product.by_sku", f"/api/products/by-sku/{market.any_product(now, random)[1]}")


def _list_prices(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("price.list", f"/api/products/{market.any_product(now, random)[0]}/prices")


def _list_products(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("product.list", f"/api/products?category_id={market.any_category(now, random)}&limit=10")


def _search(_market: Market, _user: User, _now: float, random: Random) -> Action:
    return _read("product.search", f"/api/products?status=active&q={random.choice(_SEARCHES)}&limit=5")


def _show_category(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("category.get", f"/api/categories/{market.any_category(now, random)}")


def _list_category(market: Market, _user: User, now: float, random: Random) -> Action:
    return _read("category.products", f"/api/categories/{market.any_category(now, random)}/products?limit=10")


def _list_categories(_market: Market, _user: User, _now: float, _random: Random) -> Action:
    return _read("category.list", "/api/categories")


def _show_credit(market: Market, user: User, now: float, random: Random) -> Action:
    if not market.customers:
        return _show_product(market, user, now, random)
    return _read("customer.available_credit", f"/api/customers/{user.customer_id}/available-credit")


def _show_order(market: Market, user: User, now: float, random: Random) -> Action:
    if not user.unpaid_orders:
        return _show_credit(market, user, now, random)
    return _read("order.get", f"/api/orders/{random.choice(user.unpaid_orders)}")


_READS: tuple[tuple[Callable[[Market, User, float, Random], Action], int], ...] = (
    (_show_product, 40),
    (_show_by_sku, 14),
    (_list_prices, 12),
    (_list_products, 10),
    (_list_category, 7),
    (_show_category, 5),
    (_search, 3),
    (_list_categories, 1),
    (_show_credit, 5),
    (_show_order, 3),
)


# --- catalog writes ---------------------------------------------------------------------------------------------------


def _write(
    endpoint: str,
    method: str,
    path: str,
    entity: Entity,
    key: dict[str, Any],
    values: dict[str, Any] | None,
    body: dict[str, Any] | None = None,
    **owned: Any,
) -> Action:
    write = PlannedWrite(entity=entity, op="delete" if values is None else "upsert", key=key, values=values)
    return Action(endpoint=endpoint, kind="write", method=method, path=path, body=body, write=write, **owned)


def _own_product(user: User, random: Random, wanted: Callable[[OwnedProduct], bool]) -> OwnedProduct | None:
    fitting = [product for product in user.products if not product.tainted and wanted(product)]
    return random.choice(fitting) if fitting else None


def _create_product(market: Market, _user: User, now: float, random: Random) -> Action:
    body = {
        "sku": market.new_name("T"),
        "name": f"{random.choice(_WORDS)} {random.randint(1, 999)}",
        "description": _description(random),
        "category_id": market.any_category(now, random),
        "status": random.choice(("draft", "active")),
        "tags": random.sample(_TAGS, random.randint(0, 3)),
        "attributes": {"colour": random.choice(_WORDS), "n": random.randint(0, 9), "deep": [{"x": None}]},
        "weight_grams": random.choice((None, random.randint(1, 9000))),
    }
    return _write("product.create", "POST", "/api/products", "product", {"sku": body["sku"]}, _columns(body), body)


def _change_product(market: Market, user: User, now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda _: True)
    if product is None:
        return None
    possible: dict[str, Any] = {
        "name": f"{random.choice(_WORDS)} {random.randint(1, 999)}",
        "description": _description(random),
        "category_id": market.any_category(now, random),
        "tags": random.sample(_TAGS, random.randint(0, 3)),
        "attributes": {"changed": random.randint(0, 10**6), "list": [1, 2.5, "ü"]},
        "weight_grams": random.choice((None, random.randint(1, 9000))),
    }
    if product.made_here:
        possible["status"] = random.choice(("draft", "active", "retired"))
    body = {name: possible[name] for name in random.sample(sorted(possible), random.randint(1, 3))}
    path = f"/api/products/{product.id}"
    key = {"id": product.id, "sku": product.sku}
    return _write("product.update", "PATCH", path, "product", key, _columns(body), body, product=product)


def _retire_product(_market: Market, user: User, _now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda product: product.made_here)
    if product is None:
        return None
    path = f"/api/products/{product.id}/retire"
    key = {"id": product.id, "sku": product.sku}
    return _write("product.retire", "POST", path, "product", key, {"status": "retired"}, product=product)


def _create_price(market: Market, user: User, _now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda _: True)
    if product is None:
        return None
    currency = random.choices([name for name, _ in _CURRENCIES], [weight for _, weight in _CURRENCIES])[0]
    amount = f"{random.randint(0, 4999)}.{random.randint(0, 99):02d}"
    body = {"currency": currency, "amount": amount, "reference": market.new_name("P")}
    path = f"/api/products/{product.id}/prices"
    values = {"product_id": product.id, **body}
    return _write(
        "price.create", "POST", path, "price", {"reference": body["reference"]}, values, body, product=product
    )


def _delete_price(_market: Market, user: User, _now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda product: bool(product.made_prices))
    if product is None:
        return None
    price_id = random.choice(sorted(product.made_prices))
    key = {"id": price_id, "reference": product.made_prices[price_id]}
    return _write("price.delete", "DELETE", f"/api/prices/{price_id}", "price", key, None, product=product)


def _assign(market: Market, user: User, now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda _: True)
    if product is None:
        return None
    key = {"product_id": product.id, "category_id": market.any_category(now, random)}
    body = {"rank": random.randint(0, 9)}
    path = f"/api/products/{product.id}/categories/{key['category_id']}"
    return _write("assignment.put", "PUT", path, "product_category", key, {**key, **body}, body, product=product)


def _unassign(_market: Market, user: User, _now: float, random: Random) -> Action | None:
    product = _own_product(user, random, lambda product: bool(product.assigned))
    if product is None:
        return None
    key = {"product_id": product.id, "category_id": random.choice(sorted(product.assigned))}
    path = f"/api/products/{product.id}/categories/{key['category_id']}"
    return _write("assignment.delete", "DELETE", path, "product_category", key, None, product=product)


def _create_category(market: Market, _user: User, now: float, random: Random) -> Action:
    parent = market.any_category(now, random)
    body = {"name": f"{random.choice(_WORDS)}s", "slug": market.new_name("c"), "parent_id": parent}
    return _write("category.create", "POST", "/api/categories", "category", {"slug": body["slug"]}, body, body)


def _change_category(_market: Market, user: User, _now: float, random: Random) -> Action | None:
    fitting = [category for category in user.categories if not category.tainted]
    if not fitting:
        return None
    category = random.choice(fitting)
    body = {"name": f"{random.choice(_WORDS)}s", "position": random.randint(0, 99)}
    key = {"id": category.id, "slug": category.slug}
    path = f"/api/categories/{category.id}"
    return _write("category.update", "PATCH", path, "category", key, body, body, category=category)


_WRITES: tuple[tuple[Callable[[Market, User, float, Random], Action | None], int], ...] = (
    (_change_product, 42),
    (_create_product, 16),
    (_create_price, 18),
    (_delete_price, 4),
    (_assign, 11),
    (_unassign, 4),
    (_retire_product, 2),
    (_create_category, 1),
    (_change_category, 2),
)


# --- the rest of the shop ---------------------------------------------------------------------------------------------


def _other_write(market: Market, user: User, random: Random) -> Action:
    dice = random.random()
    if user.unpaid_orders and dice < 0.30:
        order_id = random.choice(user.unpaid_orders)
        endpoint = "cancel" if dice < 0.05 else "pay"
        path = f"/api/orders/{order_id}/{endpoint}"
        return Action(endpoint=f"order.{endpoint}", kind="write", method="POST", path=path, order_id=order_id)
    if dice > 0.90:
        body = {"product_id": random.choice(market.sellable), "rating": random.randint(1, 5), "body": "As described."}
        return Action(endpoint="review.create", kind="write", method="POST", path="/api/reviews", body=body)
    if dice > 0.80:
        path = f"/api/stock/{random.choice(market.sellable)}/adjust"
        return Action(
            endpoint="stock.adjust", kind="write", method="POST", path=path, body={"delta": random.randint(1, 20)}
        )
    chosen = random.sample(market.sellable, min(len(market.sellable), random.randint(1, 3)))
    lines = [{"product_id": product_id, "quantity": random.randint(1, 3)} for product_id in chosen]
    body = {"customer_id": user.customer_id, "lines": lines}
    return Action(endpoint="order.place", kind="write", method="POST", path="/api/orders", body=body)


def _columns(body: dict[str, Any]) -> dict[str, Any]:
    """A product body under the legacy column names."""
    names = {"description": "descr", "attributes": "attrs"}
    return {names.get(name, name): value for name, value in body.items()}


def _description(random: Random) -> str | None:
    """Mostly short, sometimes none, now and then long and dense."""
    dice = random.random()
    if dice < 0.1:
        return None
    if dice < 0.12:
        return random.randbytes(5_000).hex()
    return " ".join(random.choices(_WORDS, k=random.randint(3, 25)))
