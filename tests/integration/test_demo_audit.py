"""The independent check sees every corruption for what it is, and nothing where nothing is wrong."""

import json
import time

import psycopg
import pytest

from demo.audit import DatabaseUnreachable, as_json, audit
from demo.audit_rows import rows_by_key
from extracted.catalog.migrate import PACKAGE
from extracted.chassis.migration import upgrade
from legacy_monolith.migrate import migrate
from sandbox.postgres import create_database, free_port

pytestmark = pytest.mark.integration

SEEDED = """
INSERT INTO category (id, parent_id, name, slug, position)
    SELECT n, NULLIF(n - 1, 0), 'Shelf ' || n, 'shelf-' || n, n FROM generate_series(1, 5) n;
INSERT INTO product (id, sku, name, descr, category_id, status, tags, attrs, weight_grams, version, created_at,
        updated_at)
    SELECT n, 'sku-' || n, 'Thing ' || n, CASE WHEN n % 2 = 0 THEN E'a\\tb\\n\\\\' || n END, 1 + n % 5,
        (ARRAY['draft', 'active', 'retired'])[1 + n % 3]::product_status, ARRAY['x,y', '"'],
        jsonb_build_object('n', n / 3.0), n, 1, '2024-01-01', '2024-01-02'
    FROM generate_series(1, 50) n;
INSERT INTO price (id, product_id, currency, amount, reference, valid_from)
    SELECT n, n, 'EUR', n + 0.25, CASE WHEN n % 2 = 0 THEN 'ref-' || n END, '2024-01-01' FROM generate_series(1, 50) n;
INSERT INTO product_category (product_id, category_id, rank) SELECT n, 1 + n % 5, n FROM generate_series(1, 50) n
"""
LEGACY_TABLES = ("category", "product", "price", "product_category")
PROJECTIONS = {
    "categories": "SELECT * FROM category",
    "products": "SELECT id, sku, name, category_id, CASE WHEN status = 'active' THEN 'live' ELSE status::text END, "
    "tags, attrs, weight_grams, version, created_at, updated_at FROM product",
    "product_descriptions": "SELECT id, descr FROM product",
    "prices": "SELECT id, product_id, currency, (amount * 100)::bigint, reference, valid_from, valid_to FROM price",
    "product_categories": "SELECT * FROM product_category",
}


class Pair:
    """Two databases that agree, the client's ledger of writes, and the means to spoil one of them."""

    def __init__(self, legacy_url, service_url, path):
        self.urls = {"legacy": legacy_url, "service": service_url}
        self.path = path
        self.lines = [{"type": "start", "t": time.time() - 0.001}]
        self.acknowledged = 0

    def sql(self, side, statement, *parameters):
        with psycopg.connect(self.urls[side], autocommit=True) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else None

    def resync(self):
        with psycopg.connect(self.urls["legacy"]) as legacy, psycopg.connect(self.urls["service"]) as service:
            for table in reversed(PROJECTIONS):
                service.execute(f"DELETE FROM {table}")
            for table, query in PROJECTIONS.items():
                with (
                    legacy.cursor().copy(f"COPY ({query}) TO STDOUT") as rows,
                    service.cursor().copy(f"COPY {table} FROM STDIN") as target,
                ):
                    for row in rows:
                        target.write(row)

    def write(self, entity, key, *, op="upsert", values=None, unknown=False, **more):
        self.lines.append(
            {"type": "request", "write": {"entity": entity, "op": op, "key": key, "values": values, **more}}
        )
        if unknown:
            self.lines[-1]["write"]["unknown"] = True
        else:
            self.acknowledged += 1

    def row(self, entity, *key):
        with psycopg.connect(self.urls["legacy"]) as connection:
            return dict(rows_by_key(connection, "legacy", entity, [key])[key])

    def audit(self, *, stop=True):
        end = [{"type": "stop", "acknowledged_writes": self.acknowledged}] if stop else []
        self.path.write_text("".join(json.dumps(line, default=str) + "\n" for line in [*self.lines, *end]))
        return audit(self.path, self.urls["legacy"], self.urls["service"])


@pytest.fixture(scope="module")
def template(postgres_url, tmp_path_factory):
    """Seeded, then written by a client: a new price on product 2, a product changed, one made, a price deleted…"""
    urls = [create_database(postgres_url, f"audit_{side}") for side in ("legacy", "service")]
    made = Pair(*urls, tmp_path_factory.mktemp("audit") / "ledger.jsonl")
    migrate(made.urls["legacy"])
    upgrade(PACKAGE, made.urls["service"])
    made.sql("legacy", SEEDED)
    made.sql("legacy", "UPDATE price SET valid_to = '2026-01-01 00:00:00.5+00' WHERE id = 2")
    made.sql(
        "legacy",
        "INSERT INTO price (id, product_id, currency, amount, reference, valid_from) "
        "VALUES (101, 2, 'EUR', 9.9, 'new-101', '2026-01-01 00:00:00.5+00')",
    )
    made.sql(
        "legacy", "UPDATE product SET name = 'Renamed', descr = 'new', status = 'active', version = 2 WHERE id = 3"
    )
    made.sql("legacy", "DELETE FROM price WHERE id = 4")
    made.sql("legacy", "DELETE FROM product_category WHERE product_id = 5")
    made.sql("legacy", "UPDATE category SET name = 'Top' WHERE id = 1")
    made.sql("legacy", "INSERT INTO product (id, sku, name, category_id) VALUES (201, 'made-201', 'Made', 2)")
    made.resync()
    made.write("price", {"id": 101, "reference": "new-101"}, values=made.row("price", 101), closes=2)
    made.write("product", {"id": 3, "sku": "sku-3"}, values=made.row("product", 3))
    made.write("price", {"id": 4, "reference": "ref-4"}, op="delete")
    made.write("product_category", {"product_id": 5, "category_id": 1}, op="delete")
    made.write("product_category", {"product_id": 6, "category_id": 2}, values=made.row("product_category", 6, 2))
    made.write("category", {"id": 1, "slug": "shelf-1"}, values=made.row("category", 1))
    made.write("product", {"id": 201, "sku": "made-201"}, values=made.row("product", 201))
    made.sql("legacy", "CREATE SCHEMA saved")
    for table in LEGACY_TABLES:
        made.sql("legacy", f"CREATE TABLE saved.{table} AS TABLE {table}")
    return made


@pytest.fixture
def pair(template, tmp_path):
    """The template as it was at first, to spoil."""
    copy = Pair(template.urls["legacy"], template.urls["service"], tmp_path / "ledger.jsonl")
    copy.lines, copy.acknowledged = list(template.lines), template.acknowledged
    for table in reversed(LEGACY_TABLES):
        copy.sql("legacy", f"DELETE FROM {table}")
    for table in LEGACY_TABLES:
        copy.sql("legacy", f"INSERT INTO {table} SELECT * FROM saved.{table}")
    copy.resync()
    return copy


def counts(result):
    return result.lost, result.duplicated, result.diverged


def test_agreement_is_clean(pair):
    result = pair.audit()
    assert result.clean, [str(example) for example in result.examples]
    assert (result.acknowledged, result.unknown, result.ledger_complete) == (7, 0, True)
    assert result.rows_compared == 5 + 51 + 51 + 50 + 49
    assert as_json(result)["examples"] == []


@pytest.mark.parametrize(
    ("side", "statement", "expected"),
    [
        pytest.param("service", "DELETE FROM prices WHERE price_id = 101", (1, 0, 0), id="acknowledged row gone"),
        pytest.param("legacy", "DELETE FROM price WHERE id = 101", (1, 0, 0), id="acknowledged row gone from legacy"),
        pytest.param("service", "DELETE FROM prices WHERE price_id = 30", (1, 0, 0), id="seeded row gone"),
        pytest.param("legacy", "DELETE FROM price WHERE id = 30", (1, 0, 0), id="seeded row gone from legacy"),
        pytest.param(
            "service", "DELETE FROM product_descriptions WHERE product_id = 31", (1, 0, 0), id="split half gone"
        ),
        pytest.param("service", "DELETE FROM product_categories WHERE product_id = 6", (1, 0, 0), id="assignment gone"),
        pytest.param(
            "service",
            "INSERT INTO prices SELECT 900, product_id, currency, amount_minor, NULL, effective_from, effective_to "
            "FROM prices WHERE price_id = 101",
            (0, 1, 0),
            id="acknowledged price doubled",
        ),
        pytest.param(
            "legacy",
            "INSERT INTO price SELECT 900, product_id, currency, amount, NULL, valid_from, valid_to "
            "FROM price WHERE id = 30",
            (0, 1, 0),
            id="seeded price doubled in legacy",
        ),
        pytest.param(
            "service", "UPDATE products SET revision = 3 WHERE product_id = 3", (0, 1, 0), id="update applied twice"
        ),
        pytest.param(
            "service",
            "UPDATE products SET revision = 1, title = 'Thing 3' WHERE product_id = 3",
            (1, 0, 0),
            id="update lost",
        ),
        pytest.param(
            "service", "UPDATE prices SET amount_minor = 989 WHERE price_id = 101", (0, 0, 1), id="value changed"
        ),
        pytest.param(
            "service", "UPDATE prices SET amount_minor = 1 WHERE price_id = 30", (0, 0, 1), id="seeded value changed"
        ),
        pytest.param(
            "service", "UPDATE prices SET effective_to = NULL WHERE price_id = 2", (0, 0, 1), id="price reopened"
        ),
        pytest.param(
            "service", "UPDATE product_descriptions SET body = '' WHERE product_id = 3", (0, 0, 1), id="text emptied"
        ),
        pytest.param(
            "service",
            "UPDATE product_descriptions SET body = '' WHERE product_id = 33",
            (0, 0, 1),
            id="null became empty text",
        ),
        pytest.param(
            "service", "UPDATE products SET lifecycle = 'retired' WHERE product_id = 3", (0, 0, 1), id="lookup"
        ),
        pytest.param(
            "service",
            "UPDATE prices SET amount_minor = CASE price_id WHEN 30 THEN 3125 ELSE 3025 END WHERE price_id IN (30, 31)",
            (0, 0, 2),
            id="two swapped",
        ),
        pytest.param(
            "service",
            "INSERT INTO product_categories VALUES (5, 1, 5); UPDATE categories SET title = 'x' WHERE category_id = 1; "
            "DELETE FROM prices WHERE price_id = 20",
            (2, 0, 1),
            id="several at once",
        ),
        pytest.param(
            "service",
            "UPDATE products SET title = 'x' WHERE product_id = 40; "
            "UPDATE product_descriptions SET body = 'x' WHERE product_id = 40",
            (0, 0, 1),
            id="both halves of a row count once",
        ),
    ],
)
def test_each_corruption_is_counted_rightly(pair, side, statement, expected):
    pair.sql(side, statement)
    result = pair.audit()
    assert counts(result) == expected, [str(example) for example in result.examples]
    assert len(result.examples) == sum(expected)


def test_what_is_wrong_on_both_sides_alike_is_still_found(pair):
    pair.sql("legacy", "DELETE FROM price WHERE id = 101")
    pair.sql("legacy", "UPDATE product SET name = 'x' WHERE id = 3")
    pair.sql("legacy", "UPDATE category SET position = 77 WHERE id = 1")
    pair.resync()
    result = pair.audit()
    assert counts(result) == (1, 0, 2), [str(example) for example in result.examples]


def test_a_row_nobody_was_told_of_is_a_double(pair):
    pair.sql(
        "legacy",
        "INSERT INTO price (id, product_id, currency, amount, reference, valid_from) "
        "VALUES (300, 7, 'USD', 1, 'twice', clock_timestamp())",
    )
    pair.resync()
    assert counts(pair.audit()) == (0, 1, 0)
    assert counts(pair.audit(stop=False)) == (0, 0, 0)
    pair.write("price", {"reference": "twice"}, values={"amount": "1.00", "currency": "USD"}, unknown=True)
    assert counts(pair.audit()) == (0, 0, 0)


def test_an_unknown_write_may_have_happened_or_not(pair):
    before = pair.row("product", 8)
    pair.write("product", {"id": 8, "sku": "sku-8"}, values=before)
    pair.write("product", {"id": 8, "sku": "sku-8"}, values={"name": "perhaps"}, unknown=True)
    assert pair.audit().clean
    pair.sql("legacy", "UPDATE product SET name = 'perhaps', version = version + 1 WHERE id = 8")
    pair.resync()
    assert pair.audit().clean
    pair.sql("legacy", "UPDATE product SET version = version + 1 WHERE id = 8")
    pair.resync()
    assert counts(pair.audit()) == (0, 1, 0)


def test_an_unknown_write_that_reached_one_side_only_is_seen(pair):
    pair.write("price", {"reference": "half"}, values={"amount": "5.00"}, unknown=True, closes=9)
    pair.sql(
        "service",
        "INSERT INTO prices (price_id, product_id, currency, amount_minor, reference, effective_from) "
        "VALUES (301, 9, 'EUR', 500, 'half', '2026-02-02')",
    )
    assert counts(pair.audit()) == (1, 0, 0)


def test_an_unreachable_database_is_told_without_its_password(pair):
    url = f"postgresql://user:hidden@127.0.0.1:{free_port()}/none"
    pair.audit()
    with pytest.raises(DatabaseUnreachable) as refusal:
        audit(pair.path, url, pair.urls["service"])
    assert "hidden" not in str(refusal.value)
