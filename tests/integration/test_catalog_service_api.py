"""The catalog service over real HTTP on a real database: the shared contract, races, the fence, its schema."""

import asyncio
import concurrent.futures
import contextlib
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psycopg
import pytest
import uvicorn

from extracted.catalog.migrate import PACKAGE
from extracted.catalog.routes import router
from extracted.chassis.application import create_service
from extracted.chassis.migration import downgrade, upgrade
from extracted.chassis.settings import ServiceSettings
from sandbox.postgres import create_database, free_port

pytestmark = pytest.mark.integration


def _contract():
    path = Path(__file__).parents[1] / "contract" / "catalog_api.py"
    spec = importlib.util.spec_from_file_location("catalog_api_contract", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTRACT = _contract()


@contextlib.contextmanager
def serving(database_url, **settings):
    """The service under uvicorn in a thread; yields its base URL."""
    app = create_service(
        "catalog", router, read_settings=lambda: ServiceSettings(database_url=database_url, **settings)
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            thread.join(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def database_url(postgres_url):
    url = create_database(postgres_url, "catalog_service_api")
    upgrade(PACKAGE, url)
    return url


@pytest.fixture(scope="module")
def base_url(database_url):
    with serving(database_url) as url:
        yield url


@pytest.fixture
def client(base_url):
    with httpx.Client(base_url=base_url, timeout=30) as session:
        yield session


@pytest.fixture
def product(client):
    category = CONTRACT._new_category(client)
    return CONTRACT._new_product(client, category_id=category["id"], description="first")


@pytest.mark.parametrize("check", CONTRACT.CHECKS, ids=lambda check: check.__name__)
def test_contract(client, check):
    check(client)


def test_two_prices_at_once_never_leave_two_open(base_url, client, product, database_url):
    url = f"{base_url}/api/products/{product['id']}/prices"

    def post(amount):
        return httpx.post(url, json={"currency": "EUR", "amount": f"{amount}.00"}, timeout=30)

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(40)))
    assert {answer.status_code for answer in answers} == {201}
    items = client.get(url).json()["items"]
    assert len(items) == 40
    assert [item["valid_to"] for item in items if item["valid_to"] is None] == [None]
    for newer, older in itertools.pairwise(items):
        assert older["valid_to"] == newer["valid_from"]
        assert older["valid_from"] < newer["valid_from"]


def test_a_price_dated_by_a_faster_clock_is_still_closed_after_it_opened(client, product, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO prices (product_id, currency, amount_minor, effective_from) VALUES (%s, 'EUR', 1, %s)",
            (product["id"], "2999-01-01T00:00:00Z"),
        )
    url = f"/api/products/{product['id']}/prices"
    new = client.post(url, json={"currency": "EUR", "amount": "2"}).json()
    assert new["valid_from"] == "2999-01-01T00:00:00.000001Z"
    assert [item["valid_to"] for item in client.get(url).json()["items"]] == [None, new["valid_from"]]


def test_concurrent_changes_all_count_and_each_answer_shows_its_own(base_url, client, product):
    url = f"{base_url}/api/products/{product['id']}"

    def patch(number):
        answer = httpx.patch(url, json={"description": f"d{number}", "weight_grams": number}, timeout=30).json()
        return answer["version"], answer["description"], answer["weight_grams"], number

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(patch, range(32)))
    assert sorted(version for version, *_ in seen) == list(range(2, 34))
    assert all((description, weight) == (f"d{number}", number) for _, description, weight, number in seen)
    last = max(seen)
    assert client.get(url).json()["description"] == last[1]


def test_every_product_has_a_description_row(client, database_url):
    CONTRACT._new_product(client)
    with psycopg.connect(database_url) as connection:
        products, described = connection.execute(
            "SELECT count(*), count(d.product_id) FROM products LEFT JOIN product_descriptions d USING (product_id)"
        ).fetchone()
    assert products == described > 0


def test_a_lost_description_row_is_made_again_by_the_next_change(client, product, database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM product_descriptions WHERE product_id = %s", (product["id"],))
    url = f"/api/products/{product['id']}"
    assert client.get(url).json()["description"] is None
    assert client.patch(url, json={"description": "back"}).json()["description"] == "back"


def test_a_missing_category_is_told_before_a_taken_key(client, product):
    fields = {"sku": product["sku"], "name": "again", "category_id": CONTRACT.NO_SUCH_ID}
    assert client.post("/api/products", json=fields).json()["error"]["code"] == "invalid"
    slug = client.get(f"/api/categories/{product['category_id']}").json()["slug"]
    fields = {"slug": slug, "name": "again", "parent_id": CONTRACT.NO_SUCH_ID}
    assert client.post("/api/categories", json=fields).json()["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/products", b'{"sku": "x", "name": "\\ud800", "category_id": 1}'),
        ("POST", "/api/products", b'{"sku": "x", "name": "n", "category_id": 1, "attributes": {"a": NaN}}'),
        ("POST", "/api/products", b'{"sku": "x", "name": "n", "category_id": 1, "attributes": {"\\u0000": 1}}'),
        ("POST", "/api/products", b'{"sku": "x", "name": "n", "category_id": 1, "attributes": {"a": 1e999}}'),
        ("POST", "/api/products", b"[" * 100_000),
        ("POST", "/api/products", b"\xff"),
        ("POST", "/api/products", b""),
        ("GET", "/api/products?q=%00", None),
        ("GET", "/api/products?q=" + "q" * 201, None),
        ("GET", "/api/products/by-sku/%00", None),
        ("GET", "/api/products?limit=", None),
        ("GET", "/api/products?after_id=99999999999999999999", None),
    ],
)
def test_what_cannot_be_stored_is_invalid(client, method, path, body):
    answer = client.request(method, path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    "path", ["/api/products/" + "9" * 5000, "/api/products/by-sku/" + "s" * 41, "/api/nothing", "/"]
)
def test_what_names_nothing_is_not_found(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_fenced_database_answers_read_only_and_reads_go_on(client, product, database_url):
    price_url = f"/api/products/{product['id']}/prices"
    assignment = f"/api/products/{product['id']}/categories/{product['category_id']}"
    tables = ("categories", "products", "product_descriptions", "prices", "product_categories")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'fenced' USING ERRCODE = 'read_only_sql_transaction'; END $$"
        )
        for table in tables:
            connection.execute(
                f"CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION refuse()"
            )
        try:
            refused = [
                client.post("/api/products", json={"sku": "f", "name": "f", "category_id": product["category_id"]}),
                client.patch(f"/api/products/{product['id']}", json={"name": "f", "description": "f"}),
                client.post(f"/api/products/{product['id']}/retire"),
                client.post(price_url, json={"currency": "EUR", "amount": "1"}),
                client.delete("/api/prices/1"),
                client.put(assignment),
                client.delete(assignment),
                client.post("/api/categories", json={"name": "f", "slug": "f"}),
                client.patch(f"/api/categories/{product['category_id']}", json={"name": "f"}),
            ]
            assert {answer.status_code for answer in refused} == {503}
            assert {answer.json()["error"]["code"] for answer in refused} == {"read_only"}
            assert client.get(f"/api/products/{product['id']}").json() == product
        finally:
            connection.execute("DROP FUNCTION refuse() CASCADE")
    assert client.patch(f"/api/products/{product['id']}", json={"name": "open again"}).status_code == 200


def test_ids_and_metrics(client, product):
    answer = client.get(f"/api/products/{product['id']}", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert client.get("/healthz").headers["x-request-id"]
    text = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/api/products/{product_id}",status="200"}' in text
    assert str(product["id"]) not in [part for line in text.splitlines() for part in line.split("/")]
    assert "database_pool_size" in text


def test_an_exhausted_pool_is_unavailable_not_a_crash(database_url):
    with (
        serving(database_url, pool_min=1, pool_max=1, pool_wait_s=3) as url,
        psycopg.connect(database_url) as blocker,
        concurrent.futures.ThreadPoolExecutor(1) as threads,
    ):
        blocker.execute("LOCK TABLE categories IN ACCESS EXCLUSIVE MODE")
        first = threads.submit(httpx.get, f"{url}/api/categories", timeout=30)
        while not blocker.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]:
            pass
        second = httpx.get(f"{url}/api/categories", timeout=30)
        blocker.rollback()
        assert (second.status_code, second.json()["error"]["code"]) == (503, "unavailable")
        assert first.result().status_code == 200


def test_migration_goes_up_down_and_up(new_database):
    url = new_database("catalog_migration")

    def schema():
        with psycopg.connect(url) as connection:
            return connection.execute(
                "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default "
                "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
                "ORDER BY 1, ordinal_position"
            ).fetchall()

    upgrade(PACKAGE, url)
    first = schema()
    assert {row[0] for row in first} == {
        "categories",
        "products",
        "product_descriptions",
        "prices",
        "product_categories",
    }
    upgrade(PACKAGE, url)
    downgrade(PACKAGE, url, "base")
    assert schema() == []
    upgrade(PACKAGE, url)
    assert schema() == first


def test_entry_point_serves_and_stops_gracefully(new_database):
    url = new_database("catalog_entry")
    env = {**os.environ, "DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "extracted.catalog.migrate"], check=True, env=env)
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "extracted.catalog.app:app", "--port", str(port)]
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as session:
            while True:
                assert server.poll() is None
                with contextlib.suppress(httpx.TransportError):
                    assert session.get("/healthz").json() == {"status": "ok"}
                    break
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, -signal.SIGTERM)


def test_an_unreachable_database_fails_the_start():
    settings = ServiceSettings(
        database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/x", pool_min=1, pool_wait_s=0.2
    )
    app = create_service("catalog", router, read_settings=lambda: settings)

    async def start():
        async with app.router.lifespan_context(app):
            raise AssertionError("started without a database")

    with pytest.raises(Exception, match="does not answer"):
        asyncio.run(start())
