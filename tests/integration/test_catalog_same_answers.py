"""Monolith and catalog service, the same rows underneath: the same questions and writes get the same answers."""

import asyncio
import json
import re

import httpx
import psycopg
import pytest

from extracted.catalog.migrate import PACKAGE
from extracted.catalog.routes import router
from extracted.chassis.application import create_service
from extracted.chassis.migration import upgrade
from extracted.chassis.settings import ServiceSettings
from legacy_monolith.app import create_app
from legacy_monolith.migrate import migrate
from sandbox.postgres import create_database

pytestmark = pytest.mark.integration

LEGACY_ROWS = """
INSERT INTO category (id, parent_id, name, slug, position)
    SELECT n, NULLIF(n / 3, 0), 'Shelf ' || n, 'shelf-' || n, 10 - n FROM generate_series(1, 12) n;
INSERT INTO product (id, sku, name, descr, category_id, status, tags, attrs, weight_grams, version, created_at,
        updated_at)
    SELECT n, 'SKU-' || n, CASE n % 4 WHEN 0 THEN 'Große Kanne ' ELSE 'Tasse 50%_\\ ' END || n,
        CASE WHEN n % 3 > 0 THEN repeat('long ', n * 40) END, 1 + n % 12,
        (ARRAY['draft', 'active', 'retired'])[1 + n % 3]::product_status,
        CASE WHEN n % 5 > 0 THEN ARRAY['a,b', 'q"', '{}', 'NULL', ''] ELSE '{}' END,
        jsonb_build_object('n', n, 'f', n / 7.0, 'deep', jsonb_build_array(NULL, true, 1e20, 'ü')),
        NULLIF(n % 6, 0), n, timestamptz '2020-02-29 23:59:59.000001+00' + n * interval '1.5 hour',
        timestamptz '2021-06-01 12:00:00+02' + n * interval '0.1 second'
    FROM generate_series(1, 130) n;
INSERT INTO price (id, product_id, currency, amount, reference, valid_from, valid_to)
    SELECT n, 1 + n % 110, CASE WHEN n % 4 = 0 THEN 'USD' ELSE 'EUR' END, (n * 37 % 100000)::numeric / 100,
        CASE WHEN n % 2 = 0 THEN 'ref-' || n END, timestamptz '2022-01-01 00:00:00.5+00' + (n / 3) * interval '1 day',
        CASE WHEN n % 3 = 0 THEN timestamptz '2023-01-01 00:00:00+00' END
    FROM generate_series(1, 400) n;
INSERT INTO product_category (product_id, category_id, rank)
    SELECT 1 + n % 90, 1 + n % 11, n % 4 FROM generate_series(1, 300) n ON CONFLICT DO NOTHING;
SELECT setval(pg_get_serial_sequence('category', 'id'), 1000), setval(pg_get_serial_sequence('product', 'id'), 1000),
    setval(pg_get_serial_sequence('price', 'id'), 1000)
"""

MOVES = (
    ("SELECT id, parent_id, name, slug, position FROM category", "categories"),
    (
        "SELECT id, sku, name, category_id, replace(status::text, 'active', 'live'), tags, attrs, weight_grams, "
        "version, created_at, updated_at FROM product",
        "products",
    ),
    ("SELECT id, descr FROM product", "product_descriptions"),
    ("SELECT id, product_id, currency, (amount * 100)::bigint, reference, valid_from, valid_to FROM price", "prices"),
    ("SELECT product_id, category_id, rank FROM product_category", "product_categories"),
)
SEQUENCES = """
SELECT setval(pg_get_serial_sequence('categories', 'category_id'), 1000),
    setval(pg_get_serial_sequence('products', 'product_id'), 1000),
    setval(pg_get_serial_sequence('prices', 'price_id'), 1000)
"""

GETS = [
    *(f"/api/products/{n}" for n in range(132)),
    *(f"/api/products/{n}/prices" for n in (0, 1, 7, 109, 110, 111, 130, 131)),
    *(f"/api/products/by-sku/{sku}" for sku in ("SKU-1", "sku-1", "SKU-130", "x" * 41, "%00", "a b", "none")),
    "/api/categories",
    *(f"/api/categories/{n}" for n in (0, 1, 12, 13, 2**63 - 1, 2**63, "x", "-1", "01")),
    *(f"/api/categories/{n}/products{query}" for n in (1, 11, 12, 99) for query in ("", "?limit=3", "?after_id=40")),
    *(
        f"/api/products?{query}"
        for query in (
            "",
            "limit=100",
            "limit=100&after_id=100",
            "limit=1&limit=2",
            "limit=0",
            "limit=",
            "limit=1.0",
            "after_id=-1",
            f"after_id={2**63 - 1}",
            f"after_id={2**63}",
            "category_id=3",
            "category_id=3&status=active",
            "category_id=",
            "status=retired&limit=5",
            "status=live",
            "status=",
            "q=kanne",
            "q=GRO%C3%9FE",
            "q=50%25_",
            "q=50%25x",
            "q=%5C",
            "q=",
            "q=%00",
            "q=sku-13",
            "q=" + "x" * 201,
            "unknown=1",
        )
    ),
    "/api/categories/1/products?status=bogus&q=%00",
    "/api/categories/1/products?limit=101",
    "/api/categories/99/products?limit=101",
    "/api/products/",
    "/api/prices/1",
    "/api/nothing",
    "/healthz",
]

NEW = {"sku": "new-1", "name": "Neu", "category_id": 2}
WRITES = [
    ("POST", "/api/products", NEW),
    ("POST", "/api/products", NEW),
    ("POST", "/api/products", {**NEW, "sku": "new-2", "description": "d", "status": "active", "tags": ["t", "ü"]}),
    ("POST", "/api/products", {**NEW, "sku": "new-3", "category_id": 999}),
    ("POST", "/api/products", {**NEW, "sku": "new-3", "category_id": -1}),
    ("POST", "/api/products", {**NEW, "sku": "new-3", "attributes": {"a": 1.5, "b": 10**30, "c": [None]}}),
    ("POST", "/api/products", {**NEW, "sku": "new-4", "name": "\ud800"}),
    ("POST", "/api/products", [1]),
    ("POST", "/api/products", None),
    ("PATCH", "/api/products/5", {"name": "Fünf", "description": None, "tags": [], "weight_grams": 0}),
    ("PATCH", "/api/products/5", {"description": "wieder da", "status": "active"}),
    ("PATCH", "/api/products/5", {}),
    ("PATCH", "/api/products/5", {"category_id": 999}),
    ("PATCH", "/api/products/9999", {"category_id": 999}),
    ("PATCH", "/api/products/9999", {"name": 5}),
    ("PATCH", "/api/products/x", {"name": 5}),
    ("POST", "/api/products/6/retire", None),
    ("POST", "/api/products/6/retire", None),
    ("POST", "/api/products/9999/retire", None),
    ("POST", "/api/products/5/prices", {"currency": "EUR", "amount": "12.3", "reference": "w-1"}),
    ("POST", "/api/products/5/prices", {"currency": "USD", "amount": "9999999999.99"}),
    ("POST", "/api/products/5/prices", {"currency": "EUR", "amount": "0", "reference": "w-2"}),
    ("POST", "/api/products/5/prices", {"currency": "EUR", "amount": "1", "reference": "w-2"}),
    ("POST", "/api/products/9999/prices", {"currency": "EUR", "amount": "1", "reference": "w-2"}),
    ("POST", "/api/products/9999/prices", {"currency": "EUR", "amount": 1}),
    ("DELETE", "/api/prices/1", None),
    ("DELETE", "/api/prices/1", None),
    ("DELETE", f"/api/prices/{2**63}", None),
    ("PUT", "/api/products/5/categories/3", {"rank": 2}),
    ("PUT", "/api/products/5/categories/3", None),
    ("PUT", "/api/products/5/categories/999", {"rank": 1}),
    ("PUT", "/api/products/9999/categories/3", {"rank": "1"}),
    ("DELETE", "/api/products/5/categories/3", None),
    ("DELETE", "/api/products/5/categories/3", None),
    ("POST", "/api/categories", {"name": "N", "slug": "n", "parent_id": 3, "position": -2}),
    ("POST", "/api/categories", {"name": "N", "slug": "n"}),
    ("POST", "/api/categories", {"name": "N", "slug": "m", "parent_id": 999}),
    ("PATCH", "/api/categories/4", {"name": "Vier", "parent_id": None}),
    ("PATCH", "/api/categories/4", {"parent_id": 4}),
    ("PATCH", "/api/categories/4", {"parent_id": 999}),
    ("PATCH", "/api/categories/4", {"slug": "shelf-5"}),
    ("PATCH", "/api/categories/9999", {"parent_id": 999}),
    ("PUT", "/api/products/5", {"name": "x"}),
    *(
        ("GET", path, None)
        for path in ("/api/products/5", "/api/products/5/prices", "/api/categories", "/api/products/6")
    ),
]


@pytest.fixture(scope="module")
def both(postgres_url):
    legacy_url = create_database(postgres_url, "same_answers_legacy")
    service_url = create_database(postgres_url, "same_answers_service")
    migrate(legacy_url)
    upgrade(PACKAGE, service_url)
    with psycopg.connect(legacy_url) as legacy, psycopg.connect(service_url) as service:
        legacy.execute(LEGACY_ROWS)
        for query, table in MOVES:
            with (
                legacy.cursor().copy(f"COPY ({query}) TO STDOUT") as rows,
                service.cursor().copy(f"COPY {table} FROM STDIN") as target,
            ):
                for chunk in rows:
                    target.write(chunk)
        service.execute(SEQUENCES)
    settings = ServiceSettings(database_url=service_url)
    service_app = create_service("catalog", router, read_settings=lambda: settings)
    monolith_app = create_app(legacy_url)
    yield ask_legacy(monolith_app), ask_service(service_app)
    monolith_app.extensions["legacy_monolith.database"].close()


def ask_legacy(app):
    def ask(calls):
        client = app.test_client()
        return [
            _answer(client.open(path, method=method, data=_content(body), headers=_headers(body)))
            for method, path, body in calls
        ]

    return ask


def ask_service(app):
    async def run(calls):
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope, receive, send):
                await app({**scope, "state": dict(state)}, receive, send)

            transport = httpx.ASGITransport(app=with_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return [
                    _answer(await client.request(method, path, content=_content(body), headers=_headers(body)))
                    for method, path, body in calls
                ]

    return lambda calls: asyncio.run(run(calls))


def _content(body):
    return None if body is None else json.dumps(body).encode()


def _headers(body):
    return {} if body is None else {"content-type": "application/json"}


def _answer(answer):
    """(status, content type, body); of a refusal the code, its message is each side's own."""
    body = answer.text
    if answer.status_code >= 400:
        return answer.status_code, json.loads(body)["error"]["code"]
    return answer.status_code, answer.headers["content-type"] if body else None, body


def test_reads_are_equal_byte_for_byte(both):
    ask_monolith, ask_catalog = both
    calls = [("GET", path, None) for path in GETS]
    for (_, path, _), legacy, service in zip(calls, ask_monolith(calls), ask_catalog(calls), strict=True):
        assert service == legacy, path


def test_writes_are_answered_equally_but_for_new_ids_and_times(both):
    ask_monolith, ask_catalog = both
    for call, legacy, service in zip(WRITES, ask_monolith(WRITES), ask_catalog(WRITES), strict=True):
        assert _without_news(service) == _without_news(legacy), call


def _without_news(answer):
    """Each time and id that the writes made becomes its rank in the answer: equal ones must stay equal."""
    ranks = {}

    def rank(match):
        return ranks.setdefault(match.group(), f"new-{len(ranks)}")

    made = re.compile(r"2(02[4-9]|0[3-9]\d)-[\dT:.-]+Z|\b10\d\d\b")
    return tuple(made.sub(rank, part) if isinstance(part, str) else part for part in answer)
