"""Which request is next where the whole shop is driven: customers, the warehouse, the office. Pure but for its users.

Orders go their way: placed, then paid and picked in either order, shipped; some are cancelled. An order whose next
step is under way is nobody's until the answer is there, so that one of unknown state is left alone.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Literal, get_args

from legacy_monolith.traffic.actions import Action, OwnedOrder, User
from legacy_monolith.traffic.choosing import choose_catalog_write, choose_read, choose_write
from legacy_monolith.traffic.market import Market

Scope = Literal["catalog", "shop"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Choose = Callable[[Market, User, float, Random], Action]

_BROWSING_SHARE = 0.6
"""Of reads: a look at the catalog."""
_CATALOG_WRITES_SHARE = 0.2
_REGIONS = ("NORTH", "SOUTH", "EAST", "WEST", "ISLES")
_LOGINS = 100
"""The first customers of a seeded store can log in."""


def choices_of(scope: Scope) -> Mapping[str, Choose]:
    """How reads and writes are chosen."""
    if scope == "catalog":
        return {"read": choose_read, "write": choose_write}
    return {"read": choose_shop_read, "write": choose_shop_write}


def choose_shop_read(market: Market, user: User, now: float, random: Random) -> Action:
    """Mostly a look at the catalog; else a customer at their own things, or the staff at everybody's."""
    if not market.customers or random.random() < _BROWSING_SHARE:
        return choose_read(market, user, now, random)
    return _chosen(_READS, market, user, random) or choose_read(market, user, now, random)


def choose_shop_write(market: Market, user: User, now: float, random: Random) -> Action:
    """Mostly orders on their way; one of five a change of the catalog."""
    if not market.customers or random.random() < _CATALOG_WRITES_SHARE:
        return choose_catalog_write(market, user, now, random)
    return _chosen(_WRITES, market, user, random) or _place(market, user, random)


_Make = Callable[[Market, User, Random], Action | None]


def _chosen(weighted: Sequence[tuple[_Make, int]], market: Market, user: User, random: Random) -> Action | None:
    make = random.choices([make for make, _ in weighted], [weight for _, weight in weighted])[0]
    return make(market, user, random)


def _read(endpoint: str, path: str, token: str | None = None) -> Action:
    return Action(endpoint=endpoint, kind="read", method="GET", path=path, token=token)


def _write(endpoint: str, path: str, body: Mapping[str, Any] | None = None, **rest: Any) -> Action:
    return Action(**{"endpoint": endpoint, "kind": "write", "method": "POST", "path": path, "body": body, **rest})


# --- a customer -------------------------------------------------------------------------------------------------------


def _own(endpoint: str, ending: str) -> _Make:
    """A page of the customer's own."""
    return lambda market, user, random: _read(endpoint, f"/api/customers/{user.customer_id}{ending}", user.token)


def _show_me(_market: Market, user: User, _random: Random) -> Action | None:
    return _read("session.me", "/api/me", user.token) if user.token else None


def _show_order(_market: Market, user: User, random: Random) -> Action | None:
    return _read("order.get", f"/api/orders/{random.choice(user.orders).id}", user.token) if user.orders else None


def _show_invoice(_market: Market, user: User, random: Random) -> Action | None:
    if not user.orders:
        return None
    return _read("invoice.get", f"/api/invoices/{random.choice(user.orders).invoice_id}", user.token)


def _show_shipment(_market: Market, user: User, random: Random) -> Action | None:
    sent = [order.shipment_id for order in user.orders if order.shipment_id is not None]
    return _read("shipment.get", f"/api/shipments/{random.choice(sent)}", user.token) if sent else None


def _list_reviews(market: Market, _user: User, random: Random) -> Action:
    return _read("review.list", f"/api/reviews?product_id={random.choice(market.sellable)}")


def _show_stock(market: Market, _user: User, random: Random) -> Action:
    return _read("stock.get", f"/api/stock/{random.choice(market.sellable)}")


def _log_in(_market: Market, user: User, _random: Random) -> Action | None:
    if user.token is not None or not 1 <= user.customer_id <= _LOGINS:
        return None

    def learn(body: Any) -> None:
        user.token = body["token"]

    return _write("session.open", "/api/sessions", {"login": f"customer{user.customer_id}@example.net"}, learn=learn)


def _log_out(_market: Market, user: User, _random: Random) -> Action | None:
    token, user.token = user.token, None
    return None if token is None else _write("session.close", "/api/sessions/current", method="DELETE", token=token)


def _place(market: Market, user: User, random: Random) -> Action:
    chosen = random.sample(market.sellable, min(len(market.sellable), random.randint(1, 3)))
    lines = [{"product_id": product_id, "quantity": random.randint(1, 2)} for product_id in chosen]

    def learn(body: Any) -> None:
        user.orders.append(OwnedOrder(id=body["id"], invoice_id=body["invoice"]["id"]))

    body = {"customer_id": user.customer_id, "lines": lines}
    return _write("order.place", "/api/orders", body, token=user.token, learn=learn)


def _pay(_market: Market, user: User, random: Random) -> Action | None:
    return _step(user, random, "pay", lambda order: not order.is_paid, is_paid=True)


def _cancel(_market: Market, user: User, random: Random) -> Action | None:
    order = _taken(user, random, lambda order: order.status == "placed" and not order.is_paid)
    if order is None:
        return None
    return _write("order.cancel", f"/api/orders/{order.id}/cancel", token=user.token)


def _review(market: Market, user: User, random: Random) -> Action:
    body = {"product_id": random.choice(market.sellable), "rating": random.randint(1, 5), "body": "As described."}
    return _write("review.create", "/api/reviews", body, token=user.token)


def _add_address(_market: Market, user: User, random: Random) -> Action:
    body = {"line1": f"{random.randint(1, 99)} Market Street", "city": "Aurich", "postcode": "26603", "country": "DE"}
    return _write("address.create", f"/api/customers/{user.customer_id}/addresses", body, token=user.token)


def _register(market: Market, _user: User, random: Random) -> Action:
    email = f"{market.new_name('c')}@example.net"
    return _write("customer.create", "/api/customers", {"email": email, "name": "New", "region": _region(random)})


def _taken(user: User, random: Random, wanted: Callable[[OwnedOrder], bool]) -> OwnedOrder | None:
    fitting = [order for order in user.orders if wanted(order)]
    if not fitting:
        return None
    order = random.choice(fitting)
    user.orders.remove(order)
    return order


# --- the staff --------------------------------------------------------------------------------------------------------


def _step(
    user: User,
    random: Random,
    step: str,
    wanted: Callable[[OwnedOrder], bool],
    body: Mapping[str, Any] | None = None,
    token: str | None = None,
    **after: Any,
) -> Action | None:
    """The next step of an order; once it is acknowledged, the order is as `after` says."""
    order = _taken(user, random, wanted)
    if order is None:
        return None

    def learn(answered: Any) -> None:
        for name, value in after.items():
            setattr(order, name, value)
        if step == "pick":
            order.shipment_id = answered["id"]
        user.orders.append(order)

    path = f"/api/orders/{order.id}/{step}"
    return _write(f"order.{step}", path, body, token=token or user.token, learn=learn)


def _staff(market: Market, login: str, make: Callable[[str], Action | None]) -> Action | None:
    """In the session of that login; it is opened first."""
    token = market.staff_tokens.get(login)
    if token is not None:
        return make(token)

    def learn(body: Any) -> None:
        market.staff_tokens[login] = body["token"]

    return _write("session.open", "/api/sessions", {"login": login}, learn=learn)


def _pick(market: Market, user: User, random: Random) -> Action | None:
    return _staff(
        market,
        "merchant",
        lambda token: _step(
            user, random, "pick", lambda order: order.status == "placed", token=token, status="picking"
        ),
    )


def _ship(market: Market, user: User, random: Random) -> Action | None:
    body = {"carrier": random.choice(("Post", "Parcel"))}
    return _staff(
        market,
        "merchant",
        lambda token: _step(
            user, random, "ship", lambda order: order.status == "picking", body, token, status="shipped"
        ),
    )


def _adjust(market: Market, _user: User, random: Random) -> Action | None:
    path, body = f"/api/stock/{random.choice(market.sellable)}/adjust", {"delta": random.randint(1, 20)}
    return _staff(market, "merchant", lambda token: _write("stock.adjust", path, body, token=token))


def _change_customer(market: Market, user: User, random: Random) -> Action | None:
    path, body = f"/api/customers/{user.customer_id}", {"credit_limit": f"{random.randint(50_000, 100_000)}.00"}
    return _staff(market, "admin", lambda token: _write("customer.update", path, body, method="PATCH", token=token))


def _promote(market: Market, _user: User, random: Random) -> Action | None:
    body = {"code": market.new_name("S")[:32], "percent": "5.00", "region_codes": [_region(random)]}
    return _staff(
        market, "merchant", lambda token: _write("promotion.create", "/api/admin/promotions", body, token=token)
    )


def _set(market: Market, _user: User, random: Random) -> Action | None:
    body = {"value": random.randint(1, 9)}
    path = "/api/admin/settings/shop.banner"
    return _staff(market, "admin", lambda token: _write("setting.put", path, body, method="PUT", token=token))


def _page(endpoint: str, login: str, path: str) -> _Make:
    """A page that the staff looks at."""
    return lambda market, user, random: _staff(
        market, login, lambda token: _read(endpoint, path.format(region=_region(random)), token)
    )


def _region(random: Random) -> str:
    return random.choice(_REGIONS)


_READS: tuple[tuple[_Make, int], ...] = (
    (_own("customer.available_credit", "/available-credit"), 14),
    (_show_order, 12),
    (_show_me, 12),
    (_list_reviews, 12),
    (_own("customer.get", ""), 7),
    (_own("address.list", "/addresses"), 7),
    (_own("order.list", "/orders"), 6),
    (_show_stock, 6),
    (_show_shipment, 5),
    (_show_invoice, 4),
    (_own("customer.ledger", "/ledger"), 3),
    (_page("product.listing", "merchant", "/api/admin/products"), 3),
    (_page("stock.low", "merchant", "/api/stock/low"), 2),
    (_page("report.regional_orders", "merchant", "/api/reports/regional-orders?region={region}"), 2),
    (_page("report.revenue", "merchant", "/api/reports/revenue?from=2025-01-01&to=2025-12-31"), 2),
    (_page("customer.list", "admin", "/api/customers"), 2),
    (_page("region.list", "admin", "/api/admin/regions"), 2),
    (_page("promotion.list", "merchant", "/api/admin/promotions"), 2),
    (_page("setting.get", "admin", "/api/admin/settings/shop.banner"), 1),
    (_page("audit.list", "admin", "/api/admin/audit?entity=orders"), 1),
)
_WRITES: tuple[tuple[_Make, int], ...] = (
    (_place, 30),
    (_pay, 20),
    (_pick, 18),
    (_ship, 16),
    (_log_in, 12),
    (_log_out, 4),
    (_cancel, 4),
    (_adjust, 4),
    (_review, 4),
    (_add_address, 3),
    (_register, 3),
    (_change_customer, 2),
    (_promote, 1),
    (_set, 1),
)
