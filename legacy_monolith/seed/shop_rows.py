"""Rows of everything around the catalog, made from a seed. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from legacy_monolith.seed.catalog_rows import CatalogRows, Row
from legacy_monolith.seed.sizes import Sizes

REGIONS: tuple[Row, ...] = (
    ("NORTH", "North", "EUR"),
    ("SOUTH", "South", "EUR"),
    ("EAST", "East", "EUR"),
    ("WEST", "West", "EUR"),
    ("ISLES", "The Isles", "EUR"),
)
_NAMES = ("Ada", "Björn", "Chidi", "Dörte", "Emre", "Fatima", "Goran", "Hana", "Iñigo", "Jun")
_FAMILIES = ("Abel", "Brandt", "Costa", "Dvořák", "Eriksen", "Fischer", "Grau", "Haas", "Ivanova", "Jansen")
_CITIES = ("Aurich", "Berka", "Calw", "Dahn", "Erding")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopRows:
    """Rows per table, in the column order of `legacy_monolith.seed.load`."""

    customers: list[Row] = field(default_factory=list)
    addresses: list[Row] = field(default_factory=list)
    users: list[Row] = field(default_factory=list)
    stock: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    order_lines: list[Row] = field(default_factory=list)
    reservations: list[Row] = field(default_factory=list)
    invoices: list[Row] = field(default_factory=list)
    ledger_entries: list[Row] = field(default_factory=list)
    shipments: list[Row] = field(default_factory=list)
    pick_items: list[Row] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)
    promotions: list[Row] = field(default_factory=list)


def shop_rows(sizes: Sizes, catalog: CatalogRows, random: Random, as_of: datetime) -> ShopRows:
    """Customers with a past, and stock enough for a future."""
    rows = ShopRows()
    for number in range(1, sizes.customers + 1):
        _add_customer(rows, number, random, as_of)
    rows.users.append((1, "merchant", "merchant", None))
    rows.users.append((2, "admin", "admin", None))
    reserved = [0] * sizes.products
    for number in range(1, sizes.orders + 1):
        _add_order(rows, number, sizes, catalog, reserved, random, as_of)
    for product_id, units in enumerate(reserved, start=1):
        rows.stock.append((product_id, random.randint(2_000, 90_000), units, random.randint(10, 500)))
    for number in range(1, sizes.reviews + 1):
        product_id, customer_id = random.randint(1, sizes.products), random.randint(1, sizes.customers)
        rows.reviews.append((number, product_id, customer_id, random.randint(1, 5), "Bought it, kept it."))
    for number, code in enumerate(("SPRING", "WELCOME"), start=1):
        rows.promotions.append((number, code, number, "10.00", "{NORTH,SOUTH}", as_of.isoformat()))
    return rows


def _add_customer(rows: ShopRows, number: int, random: Random, as_of: datetime) -> None:
    name = f"{random.choice(_NAMES)} {random.choice(_FAMILIES)}"
    region = REGIONS[random.randrange(len(REGIONS))][0]
    limit = random.choice((1_000, 5_000, 20_000, 100_000))
    since = as_of - timedelta(days=random.randint(30, 2_000))
    email = f"customer{number}@example.net"
    rows.customers.append((number, email, name, region, f"{limit}.00", "{}", since.isoformat()))
    street = f"{random.randint(1, 99)} Market Street"
    rows.addresses.append(
        (number, number, "shipping", street, random.choice(_CITIES), f"{random.randint(0, 99999):05d}", "DE")
    )
    if number <= 100:
        rows.users.append((number + 2, email, "customer", number))


def _add_order(
    rows: ShopRows,
    number: int,
    sizes: Sizes,
    catalog: CatalogRows,
    reserved: list[int],
    random: Random,
    as_of: datetime,
) -> None:
    """One order of the past: mostly shipped and paid, the rest still placed; few are open for long."""
    customer_id = random.randint(1, sizes.customers)
    placed = as_of - timedelta(minutes=random.randint(0, 400_000))
    shipped = random.random() < 0.9
    lines = _lines(random.sample(range(1, sizes.products + 1), random.randint(1, 4)), catalog, random)
    total = sum(quantity * cents for _, _, quantity, cents in lines)
    status, paid = ("shipped", (placed + timedelta(days=3)).isoformat()) if shipped else ("placed", None)
    rows.orders.append((number, customer_id, customer_id, status, "EUR", _euros(total), placed.isoformat(), paid))
    for line_no, (product_id, name, quantity, cents) in enumerate(lines, start=1):
        rows.order_lines.append((number, line_no, product_id, name, quantity, _euros(cents)))
        released = (placed + timedelta(days=1)).isoformat() if shipped else None
        rows.reservations.append((len(rows.reservations) + 1, number, product_id, quantity, released))
        if shipped:
            rows.pick_items.append((len(rows.shipments) + 1, number, line_no, quantity, "night shift"))
        else:
            reserved[product_id - 1] += quantity
    if shipped:
        sent = (placed + timedelta(days=1)).isoformat()
        rows.shipments.append((len(rows.shipments) + 1, number, "shipped", "Post", f"T{number:09d}", sent))
    _add_books(rows, number, customer_id, total, lines, shipped, placed)


def _lines(product_ids: Sequence[int], catalog: CatalogRows, random: Random) -> list[tuple[int, str, int, int]]:
    """(product id, its name, quantity, unit price in cents) of each line."""
    lines = []
    for product_id in product_ids:
        name, cents = str(catalog.product[product_id - 1][2]), catalog.open_amounts_cents[product_id - 1]
        lines.append((product_id, name, random.randint(1, 3), cents))
    return lines


def _add_books(
    rows: ShopRows,
    order_id: int,
    customer_id: int,
    total_cents: int,
    lines: list[tuple[int, str, int, int]],
    shipped: bool,
    placed: datetime,
) -> None:
    shown = json.dumps([{"product_id": line[0], "quantity": line[2]} for line in lines])
    issued = (placed + timedelta(days=1)).date().isoformat() if shipped else None
    amount, booked = _euros(total_cents), placed.isoformat()
    rows.invoices.append((order_id, order_id, "paid" if shipped else "draft", amount, issued, shown, booked))
    bookings = [("receivable", amount, "0"), ("sales", "0", amount)]
    if shipped:
        bookings += [("bank", amount, "0"), ("receivable", "0", amount)]
    for account, debit, credit in bookings:
        number = len(rows.ledger_entries) + 1
        rows.ledger_entries.append((number, order_id, customer_id, account, debit, credit, booked))


def _euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
