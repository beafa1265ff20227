"""Every endpoint around the catalog once, and the promises of placing an order."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.integration.monolith_store import store as store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def regions(store):
    store.rows("INSERT INTO regions (code, name, currency) VALUES ('NORTH', 'North', 'EUR'), ('SOUTH', 'South', 'EUR')")
    store.rows("INSERT INTO users (login, role_name) VALUES ('boss', 'admin'), ('seller', 'merchant')")


def ok(answer, status=200):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json() if answer.content else None


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def new_customer(store, limit="1000.00", region="NORTH"):
    body = {"email": f"{uuid.uuid4().hex}@example.net", "name": "Ada", "region": region, "credit_limit": limit}
    return ok(store.client.post("/api/customers", json=body), 201)["id"]


def new_product(store, amount="10.00", stock=100, status="active"):
    category = ok(store.client.post("/api/categories", json={"name": "c", "slug": uuid.uuid4().hex}), 201)["id"]
    body = {"sku": uuid.uuid4().hex, "name": "Kettle", "category_id": category, "status": status}
    product = ok(store.client.post("/api/products", json=body), 201)["id"]
    ok(store.client.post(f"/api/products/{product}/prices", json={"currency": "EUR", "amount": amount}), 201)
    ok(store.client.post(f"/api/stock/{product}/adjust", json={"delta": stock, "reorder_level": 5}))
    return product


def place(store, customer, *lines):
    shown = [{"product_id": product, "quantity": quantity} for product, quantity in lines]
    return store.client.post("/api/orders", json={"customer_id": customer, "lines": shown})


def stock_of(store, product):
    shown = ok(store.client.get(f"/api/stock/{product}"))
    return shown["on_hand"], shown["reserved"]


def available(store, customer):
    return Decimal(ok(store.client.get(f"/api/customers/{customer}/available-credit"))["available"])


def footprint(store):
    tables = ("orders", "order_lines", "reservations", "invoices", "ledger_entries", "audit_log")
    return {table: store.value(f"SELECT count(*) FROM {table}") for table in tables}


def test_an_order_from_placing_to_shipping(store):
    customer, product = new_customer(store), new_product(store, "12.50")
    order = ok(place(store, customer, (product, 2)), 201)
    assert order["total"] == "25.00"
    assert order["lines"] == [
        {"line_no": 1, "product_id": product, "product_name": "Kettle", "quantity": 2, "unit_price": "12.50"}
    ]
    assert order["invoice"]["status"] == "draft"
    assert stock_of(store, product) == (98, 2)
    assert available(store, customer) == Decimal("975.00")
    shipment = ok(store.client.post(f"/api/orders/{order['id']}/pick"), 201)
    assert ok(store.client.get(f"/api/shipments/{shipment['id']}"))["items"][0]["quantity"] == 2
    shipped = ok(store.client.post(f"/api/orders/{order['id']}/ship", json={"carrier": "Post", "tracking": "T1"}))
    assert (shipped["status"], shipped["carrier"]) == ("shipped", "Post")
    assert stock_of(store, product) == (98, 0)
    shown = ok(store.client.get(f"/api/orders/{order['id']}"))
    assert (shown["status"], shown["invoice"]["status"]) == ("shipped", "open")
    paid = ok(store.client.post(f"/api/orders/{order['id']}/pay"))
    assert paid["invoice"]["status"] == "paid"
    assert available(store, customer) == Decimal("1000.00")
    invoice = ok(store.client.get(f"/api/invoices/{order['invoice']['id']}"))
    assert [(b["account"], b["debit"], b["credit"]) for b in invoice["bookings"]] == [
        ("receivable", "25.00", "0.00"),
        ("sales", "0.00", "25.00"),
        ("bank", "25.00", "0.00"),
        ("receivable", "0.00", "25.00"),
    ]
    ledger = ok(store.client.get(f"/api/customers/{customer}/ledger"))
    assert ledger["accounts"][1] == {"account": "receivable", "debit": "25.00", "credit": "25.00"}
    refused(store.client.post(f"/api/orders/{order['id']}/pay"), 409, "conflict")
    refused(store.client.post(f"/api/orders/{order['id']}/cancel"), 409, "conflict")


def test_a_cancelled_order_gives_everything_back(store):
    customer, product = new_customer(store), new_product(store)
    order = ok(place(store, customer, (product, 3)), 201)
    cancelled = ok(store.client.post(f"/api/orders/{order['id']}/cancel"))
    assert (cancelled["status"], cancelled["invoice"]["status"]) == ("cancelled", "void")
    assert stock_of(store, product) == (100, 0)
    assert available(store, customer) == Decimal("1000.00")


def test_a_refused_order_leaves_nothing_behind(store):
    customer, dear, scarce = new_customer(store), new_product(store, "600.00"), new_product(store, "1.00", stock=1)
    draft = new_product(store, status="draft")
    before = footprint(store), stock_of(store, dear), stock_of(store, scarce)
    refused(place(store, customer, (dear, 2)), 409, "credit_exceeded")
    refused(place(store, customer, (dear, 1), (scarce, 2)), 409, "out_of_stock")
    refused(place(store, customer, (draft, 1)), 409, "conflict")
    refused(place(store, customer, (dear, 1), (dear, 1)), 400, "invalid")
    refused(place(store, customer, (9_000_000_000, 1)), 400, "invalid")
    refused(place(store, customer, (dear, 0)), 400, "invalid")
    refused(place(store, 9_000_000_000, (dear, 1)), 400, "invalid")
    refused(store.client.post("/api/orders", json={"lines": []}), 400, "invalid")
    assert (footprint(store), stock_of(store, dear), stock_of(store, scarce)) == before


def test_the_credit_limit_holds_when_orders_race(store):
    customer, product = new_customer(store, limit="100.00"), new_product(store, "30.00")
    start = threading.Barrier(8)

    def race(_):
        start.wait()
        return place(store, customer, (product, 1)).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(race, range(8)))
    assert sorted(statuses) == [201] * 3 + [409] * 5
    assert available(store, customer) == Decimal("10.00")
    assert stock_of(store, product) == (97, 3)


def test_stock_is_never_sold_twice_and_nobody_deadlocks(store):
    customers = [new_customer(store, "100000.00") for _ in range(6)]
    products = [new_product(store, "1.00", stock=5) for _ in range(3)]

    def race(number):
        order = products if number % 2 else products[::-1]
        return place(store, customers[number % 6], *((product, 1) for product in order)).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(race, range(18)))
    assert sorted(statuses) == [201] * 5 + [409] * 13
    assert [stock_of(store, product) for product in products] == [(0, 5)] * 3


def test_customers(store):
    customer = new_customer(store)
    url = f"/api/customers/{customer}"
    changed = ok(store.client.patch(url, json={"region": "SOUTH", "labels": ["vip"], "credit_limit": "5"}))
    assert (changed["region"], changed["labels"], changed["credit_limit"]) == ("SOUTH", ["vip"], "5.00")
    assert ok(store.client.get(url)) == changed
    refused(store.client.patch(url, json={"region": "NOWHERE"}), 400, "invalid")
    taken = {"email": changed["email"], "name": "x", "region": "SOUTH"}
    refused(store.client.post("/api/customers", json=taken), 409, "conflict")
    body = {"line1": "1 Market Street", "city": "Calw", "postcode": "1", "country": "DE"}
    address = ok(store.client.post(f"{url}/addresses", json=body), 201)
    assert ok(store.client.get(f"{url}/addresses"))["items"] == [address]
    assert ok(store.client.get(f"{url}/orders"))["items"] == []
    page = ok(store.client.get("/api/customers", params={"limit": 1, "after_id": customer - 1}))
    assert page == {"items": [changed], "next_after_id": customer}
    for path in ("", "/addresses", "/orders", "/available-credit", "/ledger"):
        refused(store.client.get(f"/api/customers/9000000000{path}"), 404, "not_found")


def test_stock_is_adjusted_but_never_below_zero(store):
    product = new_product(store, stock=3)
    refused(store.client.post(f"/api/stock/{product}/adjust", json={"delta": -4}), 409, "out_of_stock")
    assert ok(store.client.post(f"/api/stock/{product}/adjust", json={"delta": -1}))["on_hand"] == 2
    low = ok(store.client.get("/api/stock/low", params={"after_id": product - 1}))["items"]
    assert [row["product_id"] for row in low] == [product]
    refused(store.client.post("/api/stock/9000000000/adjust", json={"delta": 1}), 404, "not_found")
    refused(store.client.get("/api/stock/9000000000"), 404, "not_found")


def test_reviews(store):
    customer, product = new_customer(store), new_product(store)
    headers = {"x-customer-id": str(customer)}
    review = ok(store.client.post("/api/reviews", json={"product_id": product, "rating": 5}, headers=headers), 201)
    assert review["customer_id"] == customer
    assert ok(store.client.get("/api/reviews", params={"product_id": product}))["items"] == [review]
    refused(
        store.client.post("/api/reviews", json={"product_id": product, "rating": 6}, headers=headers), 400, "invalid"
    )
    refused(store.client.get("/api/reviews"), 400, "invalid")


def test_reports(store):
    customer, product = new_customer(store, region="SOUTH"), new_product(store, "7.00")
    order = ok(place(store, customer, (product, 2)), 201)
    report = ok(store.client.get("/api/reports/regional-orders", params={"region": "SOUTH", "days": 2}))
    mine = next(item for item in report["items"] if item["id"] == customer)
    assert [(shown["id"], shown["total"], shown["lines"]) for shown in mine["orders"]] == [(order["id"], "14.00", 1)]
    day = order["placed_at"][:10]
    revenue = ok(store.client.get("/api/reports/revenue", params={"from": day, "to": day}))
    category = ok(store.client.get(f"/api/products/{product}"))["category_id"]
    assert [(row["units"], row["revenue"]) for row in revenue["items"] if row["category_id"] == category] == [
        (2, "14.00")
    ]
    refused(store.client.get("/api/reports/revenue", params={"from": "x", "to": day}), 400, "invalid")
    refused(store.client.get("/api/reports/regional-orders"), 400, "invalid")


def test_sessions_and_roles(store):
    merchant = {"x-session-token": ok(store.client.post("/api/sessions", json={"login": "seller"}), 201)["token"]}
    assert ok(store.client.get("/api/me", headers=merchant))["role"] == "merchant"
    assert ok(store.client.get("/api/me", headers={"x-customer-id": "7"}))["customer_id"] == 7
    refused(store.client.get("/api/admin/audit", headers=merchant), 403, "forbidden")
    assert store.client.delete("/api/sessions/current", headers=merchant).status_code == 204
    refused(store.client.get("/api/me", headers=merchant), 403, "forbidden")
    refused(store.client.get("/api/me", headers={"x-session-token": "no uuid"}), 403, "forbidden")
    refused(store.client.post("/api/sessions", json={"login": "nobody"}), 403, "forbidden")


def test_the_back_office(store):
    product = new_product(store, "3.00")
    listed = ok(store.client.get("/api/admin/products", params={"after_id": product - 1}))["items"]
    assert (listed[0]["id"], listed[0]["price"]) == (product, "3.00 EUR")
    assert [region["code"] for region in ok(store.client.get("/api/admin/regions"))["items"]] == ["NORTH", "SOUTH"]
    promotion = ok(store.client.post("/api/admin/promotions", json={"code": uuid.uuid4().hex, "percent": "10"}), 201)
    assert promotion["percent"] == "10.00"
    assert ok(store.client.get("/api/admin/promotions"))["items"][0] == promotion
    refused(store.client.post("/api/admin/promotions", json={"code": "x", "percent": "0"}), 400, "invalid")
    put = ok(store.client.put("/api/admin/settings/shop.open", json={"value": {"days": [1, 2]}}))
    assert ok(store.client.get("/api/admin/settings/shop.open")) == put
    refused(store.client.get("/api/admin/settings/none"), 404, "not_found")
    new_customer(store)
    entry = ok(store.client.get("/api/admin/audit", params={"entity": "customers", "limit": 1}))["items"][0]
    assert (entry["entity"], entry["action"]) == ("customers", "create")


def test_what_is_not_there(store):
    for path in ("/api/orders/9000000000", "/api/invoices/9000000000", "/api/shipments/9000000000", "/api/nothing"):
        refused(store.client.get(path), 404, "not_found")
    refused(store.client.delete("/api/orders"), 405, "method_not_allowed")


def test_refused_writes_are_read_only_and_reads_go_on(store):
    product = new_product(store)
    store.rows("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'not here' USING ERRCODE = '25006'; END $$
    """)
    tables = ("category", "product", "price", "product_category")
    for table in tables:
        store.rows(
            f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        )
    try:
        shown = ok(store.client.get(f"/api/products/{product}"))
        url = f"/api/products/{product}"
        price = shown["price"]["id"]
        body = {"sku": "new", "name": "n", "category_id": shown["category_id"]}
        refused(store.client.post("/api/products", json=body), 503, "read_only")
        refused(store.client.patch(url, json={"name": "n"}), 503, "read_only")
        refused(store.client.post(f"{url}/retire"), 503, "read_only")
        refused(store.client.post(f"{url}/prices", json={"currency": "EUR", "amount": "1"}), 503, "read_only")
        refused(store.client.delete(f"/api/prices/{price}"), 503, "read_only")
        refused(store.client.put(f"{url}/categories/{shown['category_id']}", json={}), 503, "read_only")
        refused(store.client.delete(f"{url}/categories/{shown['category_id']}"), 503, "read_only")
        refused(store.client.post("/api/categories", json={"name": "n", "slug": "n"}), 503, "read_only")
        ok(place(store, new_customer(store), (product, 1)), 201)
        assert ok(store.client.get(url)) == shown
    finally:
        for table in tables:
            store.rows(f"DROP TRIGGER refuse ON {table}")


def test_a_database_that_is_gone_is_told_as_unavailable(store):
    ok(store.client.get("/api/categories"))
    store.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'store' AND datname = current_database()"
    )
    refused(store.client.get("/api/categories"), 503, "unavailable")
    ok(store.client.get("/api/categories"))
