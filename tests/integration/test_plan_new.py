"""`strangler plan new` on a real server: what it writes makes the same tables, holds their rows, serves, goes away."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from cdc.boundary import foreign_keys_across
from cdc.copy_requests import copy_progress, request_copy
from cdc.mapping.check import check_mapping, way_back_risks
from cdc.positions import emit_barrier, wait_applied
from cdc.schema import reflect
from cdc.verify import verify_all
from cli import strangler
from commands.mapping import move_mapping
from extracted.chassis.migration import downgrade, upgrade
from migration_plans.authoring.catalog_reader import read_schema
from migration_plans.authoring.statements import service_ddl
from migration_plans.ownership import OwnershipLedger
from migration_plans.plan_file import load_plan
from sandbox.postgres import create_database
from sandbox.postgres_binaries import find_binaries
from strangler.clock import SystemClock
from strangler.errors import StranglerError
from tests.integration.test_worker_copy import running, until
from tests.postgres_majors import server_of
from tests.stream_pair import StreamPair

pytestmark = pytest.mark.integration

ODD = (Path(__file__).parent.parent / "data" / "authoring.sql").read_text()
MOVED = ["shop.customer", "Odd Schema.order", "Odd Schema.line;--", "shop.event", "shop.visit", '"a.it"s %', "shop.log"]
STAYS = {
    "TABLE region",
    "CONSTRAINT region region_pkey",
    "TABLE counters",
    "CONSTRAINT counters counters_pkey",
    "FUNCTION counted()",
    "TABLE invoice",
    "CONSTRAINT invoice invoice_pkey",
    "FK CONSTRAINT invoice invoice_customer_id_fkey",
    "FK CONSTRAINT customer customer_region_code_fkey",
    "VIEW customers_by_region",
    "VIEW plain_customers",
    "FUNCTION touched()",
    "TRIGGER customer customer_touched",
    "FUNCTION customer_count()",
    "FUNCTION wipe()",
    "RULE log log_never",
    "ROW SECURITY log",
    "POLICY log log_all",
}
ROWS = """
    ALTER TABLE shop.log REPLICA IDENTITY FULL;
    INSERT INTO public.counters VALUES ('x', 0);
    INSERT INTO shop.region (code) VALUES ('north'), ('south');
    INSERT INTO shop.customer (email, name, nick, mood, moods, size, sizes, open, open_all, share, region_code)
      SELECT 'a' || g || '@b.c', 'Ä' || g, 'n' || g, 'a:b', ARRAY['back\\slash', 'so so']::shop.mood[],
             ROW (g, 2, 'a,"b', 'so so')::shop.dimensions, ARRAY[ROW (1, g, NULL, NULL)::shop.dimensions],
             shop.minutes('09:00', '17:00'), '{["09:00","12:00"],["13:00","17:00"]}', g % 50, 'north'
        FROM generate_series(1, 30) g;
    UPDATE shop.customer SET referred_by = 100 WHERE id > 100;
    INSERT INTO "Odd Schema"."order" (kind, customer_id, room, during)
      SELECT 'Two', 100, g, tstzrange(now(), now() + '1 h') FROM generate_series(1, 20) g;
    INSERT INTO "Odd Schema"."line;--" SELECT g, g FROM generate_series(1, 20) g;
    UPDATE "Odd Schema"."order" SET latest_line = "select";
    INSERT INTO shop.event (at, kind, customer_id) SELECT '2024-06-01'::timestamptz + g * '40 d'::interval, g % 4, 100
      FROM generate_series(1, 40) g;
    INSERT INTO shop.visit (id, at, page) SELECT g, now(), g FROM generate_series(1, 9) g;
    INSERT INTO shop.log (what) SELECT 'twice' FROM generate_series(1, 2);
"""
_ENTRY = re.compile(r"^--\n-- Name: (?P<name>.*?); Type: (?P<type>.*?); Schema: (?P<schema>.*?); Owner: .*\n--\n", re.M)


@pytest.fixture(scope="module")
def odd_database(postgres_url: str) -> str:
    url = create_database(postgres_url, f"odd_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ODD)
    return url


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs the command in an empty folder; gives the folder that it wrote, a package that Python can import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*options: str) -> Path:
        # Alembic and Python remember modules by name: every test has its own.
        service = f"svc{uuid.uuid4().hex[:8]}"
        result = CliRunner().invoke(strangler, ["plan", "new", service, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        monkeypatch.syspath_prepend(str(tmp_path / service))
        return tmp_path / service

    return run


def dumped(url: str) -> dict[tuple[str, str, str], str]:
    """What pg_dump says of each object. (schema, type, name) → its statements."""
    done = subprocess.run(
        [find_binaries().folder / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text = re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.M)
    starts = [*_ENTRY.finditer(text)]
    ends = [*(entry.start() for entry in starts[1:]), text.index("\n--\n-- PostgreSQL database dump complete")]
    return {
        (entry["schema"], entry["type"], entry["name"]): re.sub(
            r"^SET default_.*;\n", "", text[entry.end() : end], flags=re.M
        ).strip()
        for entry, end in zip(starts, ends, strict=True)
        if "alembic_version" not in entry["name"]
    }


def test_the_migration_makes_what_the_legacy_database_has_and_takes_it_away(odd_database, new_database, author):
    folder = author("--source", odd_database, "--tables", ",".join(MOVED))
    service, package = new_database("customers"), f"{folder.name}_service"
    checklist = (folder / "CHECKLIST.md").read_text()
    assert (
        f"PostgreSQL {find_binaries().major} or\n   later that has the extensions `btree_gist`, `citext`" in checklist
    )
    upgrade(package, service, "0001")
    legacy, made = dumped(odd_database), dumped(service)
    # What differs: a default that calls a function which writes a table that stays, and a table that has no key.
    customer, log = ("shop", "TABLE", "customer"), ("shop", "TABLE", "log")
    default = "counted integer DEFAULT shop.counted() NOT NULL"
    assert default in legacy[customer]
    legacy[customer] = legacy[customer].replace(default, "counted integer NOT NULL")
    legacy[log] += "\n\nALTER TABLE ONLY shop.log REPLICA IDENTITY FULL;"
    # A partition that was attached keeps its own order of columns; made as a partition it has its parent's.
    attached = ("shop", "TABLE", "visit_0")
    for lines in made, legacy:
        plain = lines[attached].replace(" CONSTRAINT visit_id_not_null", "")
        lines[attached] = "\n".join(sorted(line.rstrip(",") for line in plain.splitlines()))
    for key, text in made.items():
        assert re.sub(r"\s+", " ", text) == re.sub(r"\s+", " ", legacy[key])
    assert {f"{kind} {name}" for _, kind, name in legacy.keys() - made.keys()} == STAYS
    upgrade(package, service)
    assert {name for _, kind, name in dumped(service).keys() - made.keys() if kind == "TABLE"} == {"outbox", "inbox"}
    downgrade(package, service, "base")
    # Extensions stay, and the schema that holds some of them.
    assert {key for key in dumped(service) if key[1] not in ("EXTENSION", "COMMENT")} == {("-", "SCHEMA", "extensions")}
    upgrade(package, service, "0001")
    assert dumped(service).keys() == made.keys()


def test_rows_of_odd_tables_are_copied_followed_and_verified_by_the_plan_as_written(new_database, author, tmp_path):
    legacy = new_database("legacy")
    with psycopg.connect(legacy, autocommit=True) as connection:
        connection.execute(ODD)
        connection.execute(ROWS)
    folder = author("--source", legacy, "--tables", ",".join(MOVED))
    service = new_database("service")
    upgrade(f"{folder.name}_service", service)
    plan = load_plan(folder / "plan.yaml")
    mapping = move_mapping(plan)
    schemas = reflect(legacy, mapping.source_tables), reflect(service, mapping.target_tables)
    assert check_mapping(mapping, *schemas) == way_back_risks(mapping, *schemas) == []
    crossing = foreign_keys_across(legacy, mapping.source_tables)
    assert {key.constraint for key in plan.foreign_keys} == {found.key.name for found in crossing} != set()
    databases = iter([legacy, service])
    pair = StreamPair(lambda _: next(databases), tmp_path, plan.move, mapping, "SELECT 1", "SELECT 1")
    try:
        pair.provision()
        request_copy(service, pair.link.stream, pair.link.mapper.source_tables)
        with running([pair.link]):
            until(lambda: [copy.state for copy in copy_progress(service, pair.link.stream)] == ["done"] * len(MOVED))
            pair.source.execute("""
                UPDATE shop.customer SET name = 'anew', email = 'z@y.x' WHERE id = 110;
                DELETE FROM "Odd Schema"."order" WHERE "select" = 3;
                UPDATE shop.event SET at = at + '1 y', kind = 3 WHERE id = 2;
                INSERT INTO shop.log (what) VALUES ('later')
            """)
            wait_applied(service, pair.link.stream, emit_barrier(legacy, pair.link.stream, "t"), 60)
        assert pair.rows("SELECT count(*) FROM strangler.parked_row") == [(0,)]
        verdict = verify_all(
            legacy,
            service,
            mapping,
            move=plan.move,
            direction="forward",
            wait_caught_up=lambda: None,
            clock=SystemClock(),
            position=lambda: 1,
        )
        assert verdict.equal
        # Generated there, not copied.
        assert pair.rows("SELECT loud, named FROM shop.customer WHERE id = 110") == [("ANEW!", "anew <z@y.x>")]
    finally:
        pair.close()


@pytest.fixture(scope="module")
def shop(postgres_url: str) -> str:
    url = create_database(postgres_url, f"shop_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE customers (id int PRIMARY KEY, name text);
            CREATE TABLE products (id int PRIMARY KEY, name text);
            CREATE TABLE stock (product_id int PRIMARY KEY REFERENCES products ON DELETE CASCADE, number int);
            CREATE TABLE reviews (id int PRIMARY KEY, product_id int NOT NULL REFERENCES products,
                                  customer_id int REFERENCES customers ON DELETE SET NULL);
            CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
            CREATE TABLE lines (order_id int REFERENCES orders, product_id int REFERENCES products, number int,
                                PRIMARY KEY (order_id, product_id));
        """)
    return url


FACTS = {
    "tables": {table: {} for table in ("customers", "products", "stock", "reviews", "orders", "lines")},
    "foreign_keys": [
        {"from": "stock", "to": "products", "columns": ["product_id"], "on_delete": "CASCADE"},
        {"from": "reviews", "to": "products", "columns": ["product_id"]},
        {"from": "reviews", "to": "customers", "columns": ["customer_id"], "on_delete": "SET NULL"},
        {"from": "orders", "to": "customers", "columns": ["customer_id"]},
        {"from": "lines", "to": "orders", "columns": ["order_id"]},
        {"from": "lines", "to": "products", "columns": ["product_id"]},
    ],
    "functionalities": {
        "GET /products/{id}": {"calls": 900, "transactions": [[["products", "R"]]]},
        "GET /products/{id}/reviews/{id}": {"calls": 90, "transactions": [[["products", "R"], ["reviews", "R"]]]},
        "POST /products": {"calls": 9, "transactions": [[["products", "W"]]]},
        "POST /reviews/": {"calls": 30, "transactions": [[["customers", "R"], ["reviews", "W"]]]},
        "GET /products/low": {"calls": 5, "transactions": [[["stock", "R"]]]},
        "POST /orders": {
            "calls": 70,
            "transactions": [[["products", "R"], ["orders", "W"], ["lines", "W"], ["stock", "R"], ["stock", "W"]]],
        },
        "DELETE /products/{id}": {"calls": 2, "transactions": [[["products", "R"], ["products", "W"], ["stock", "W"]]]},
        "GET /orders/{id}": {"calls": 70, "transactions": [[["orders", "R"], ["lines", "R"], ["products", "R"]]]},
        "import": {"calls": 1, "transactions": [[["products", "W"]]]},
    },
}
BOUNDARIES = """
services:
  catalog: [products, reviews]
  sales: [orders, lines, customers]
  stock: [stock]
"""


def test_what_is_written_serves_and_plan_check_leaves_only_what_a_person_decides(shop, new_database, author, tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    (tmp_path / "boundaries.yaml").write_text(BOUNDARIES)
    settings = f'[legacy]\ndatabase = "{shop}"\nurl = "http://127.0.0.1:1"\n'
    (tmp_path / "strangler.toml").write_text(settings)
    arguments = ["plan", "new", "catalog", "--facts", "facts.json", "--sticky", "cookie:session", "--json"]
    result = CliRunner().invoke(strangler, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["routes"] == [
        "GET /products/{id}",
        "GET /products/{id}/reviews/{id_2}",
        "POST /products",
        "DELETE /products/{id}",
        "POST /reviews",
    ]
    assert told["blocking"] == ["DELETE FROM customers", "DELETE /products/{id}", "import", "GET /products/low"]
    assert told["foreign_keys"] == {
        "reviews_customer_id_fkey": "async_nullify",
        "lines_product_id_fkey": "keep_on_copy",
        "stock_product_id_fkey": "async_delete",
    }
    checklist = (tmp_path / "catalog" / "CHECKLIST.md").read_text()
    assert "retriable in the monolith: writes stock" in checklist
    service = new_database("catalog")
    (tmp_path / "strangler.toml").write_text(settings + told["strangler_toml"].replace(PLACEHOLDER, service))
    served = subprocess.run(
        [sys.executable, "-c", SERVE, service], capture_output=True, text=True, check=False, timeout=100
    )
    assert served.returncode == 0, served.stderr
    answers = json.loads(served.stdout.splitlines()[-1])
    assert answers["health"] == [200, {"status": "ok"}]
    status, body = answers["unwritten"]
    assert status == 501
    assert body["error"]["code"] == "not_written"
    assert "products_get has to do this: reads products" in body["error"]["message"]
    assert answers["slash"][0] == 501
    acting = [why for thing, why in answers["problems"] if thing.startswith("foreign key reviews_customer_id_fkey ")]
    assert [why[:23] for why in acting] == ["has an ON DELETE action"]
    assert [each for each in answers["problems"] if each[1] not in acting] == [
        ["legacy application at http://127.0.0.1:1", "does not answer: ConnectError"],
        *(
            [
                f"route {route} ({method} {path})",
                f"the service application answers 501: {method} is not written yet",
            ]
            for route, method, path in (
                ("products.get", "GET", "/products/{id}"),
                ("products.reviews.get", "GET", "/products/{id}/reviews/{id_2}"),
                ("products.post", "POST", "/products"),
                ("products.delete", "DELETE", "/products/{id}"),
                ("reviews.post", "POST", "/reviews"),
            )
        ),
        *([place, "todo-left"] for place in TO_DECIDE),
    ]


TO_DECIDE = [
    "why",
    "foreign_keys: reviews_customer_id_fkey",
    "waivers: DELETE /products/{id}",
    "waivers: import",
    "waivers: GET /products/low",
]
PLACEHOLDER = "postgresql://USER:PASSWORD@HOST:5432/catalog"
SERVE = """
import json, os, sys, threading
sys.path.insert(0, "catalog")
os.environ["DATABASE_URL"] = sys.argv[1]
import httpx, uvicorn
from catalog_service import migrate
sys.argv[1:] = []
migrate.main()
from catalog_service.app import app
from click.testing import CliRunner
from cli import strangler
import socket
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
url = f"http://127.0.0.1:{listening.getsockname()[1]}"
server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
running.start()
try:
    with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=5)) as client:
        health, unwritten = client.get("/healthz"), client.get("/products/7")
        slash = client.post("/reviews/")
    from pathlib import Path
    settings = Path("strangler.toml")
    settings.write_text(settings.read_text().replace("http://127.0.0.1:8001", url))
    checked = CliRunner().invoke(strangler, ["plan", "check", "catalog", "--json"])
finally:
    server.should_exit = True
    running.join()
problems = [[one["thing"], one["reason"].partition(": somebody")[0]] for one in json.loads(checked.stdout)]
asked = {"health": health, "unwritten": unwritten, "slash": slash}
answers = {name: [answer.status_code, answer.json()] for name, answer in asked.items()}
print(json.dumps({**answers, "problems": problems}))
"""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tables", "product"], ["is not in the legacy database", "did you mean 'products'?"]),
        (["--tables", "public.stok"], ["did you mean 'public.stock'?"]),
        (["--tables", "stock_view"], ["is a view", "name the tables that it reads"]),
        (["--tables", "stock", "--sticky", "customer"], ["names neither a header nor a cookie"]),
        (["--tables", "stock", "--sticky", "header:a b"], ["names neither a header nor a cookie"]),
        (["--tables", "stock", "--name", "9lives"], ["is no name of a move"]),
        ([], ["neither facts nor tables are given"]),
        (["--tables", " , "], ["neither facts nor tables are given"]),
        (["--facts", "no.json"], ["no such file"]),
        (["--facts", "facts.json"], ["is no service", "did you mean 'sales'?"]),
        (["--facts", "facts.json", "--tables", "oders"], ["is no table", "did you mean 'orders'?"]),
        (["--facts", "facts.json", "--decisions", "no.yaml"], ["no.yaml", "no such file"]),
        (["--tables", "stock", "--out", "facts.json"], ["facts.json", "is a file"]),
        (["--tables", "stock", "--out", "taken"], ["has CHECKLIST.md, plan.yaml already", "nothing is overwritten"]),
        (["--tables", "stock", "--source", "mysql://u:geheim@h/d"], ["is no PostgreSQL", "mysql://u:***@h/d"]),
        (["--tables", "stock", "--source", "postgresql://u:geheim@127.0.0.1:1/d"], ["u:***@127.0.0.1:1", "refused"]),
        (["--tables", "stock", "--source", "postgresql://[::1"], ["its URL is malformed"]),
        (["--tables", "stock", "--source", ""], ["there is no strangler.toml", "give --source"]),
    ],
)
def test_bad_input_is_refused_by_name_and_leaves_nothing(shop, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("CREATE OR REPLACE VIEW stock_view AS SELECT * FROM stock")
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    (tmp_path / "boundaries.yaml").write_text(BOUNDARIES)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "plan.yaml").write_text("mine")
    (tmp_path / "taken" / "CHECKLIST.md").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    source = [] if "--source" in options else ["--source", shop]
    with pytest.raises(StranglerError) as refused:
        CliRunner().invoke(strangler, ["plan", "new", "sale", *options, *source], catch_exceptions=False)
    text = str(refused.value)
    assert [said for said in says if said not in text] == []
    assert "geheim" not in text
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken" / "plan.yaml").read_text() == "mine"


def test_tables_can_be_named_against_the_cut_and_the_rest_stays(shop, author, tmp_path):
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    (tmp_path / "boundaries.yaml").write_text(BOUNDARIES)
    folder = author("--source", shop, "--facts", "facts.json", "--tables", "reviews,stock")
    plan = load_plan(folder / "plan.yaml")
    assert list(plan.tables) == ["reviews", "stock"]
    assert {key.constraint: key.decision for key in plan.foreign_keys} == {
        "reviews_customer_id_fkey": "async_nullify",
        "reviews_product_id_fkey": "replica",
        "stock_product_id_fkey": "async_delete",
    }
    assert [route.path for route in plan.routes] == ["/products/low", "/products/{id}/reviews/{id_2}", "/reviews"]


def test_unqualified_names_are_those_of_the_sessions_search_path(odd_database):
    schema = read_schema(f"{odd_database}?options=-csearch_path%3Dshop,public", ["customer", "counters"])
    assert [table.name for table in schema.tables] == ["shop.customer", "counters"]
    # Printed with an empty search path all the same.
    assert schema.tables[0].columns[4].type == "shop.mood"


@pytest.mark.parametrize("major", [13, 15])
def test_older_servers_make_again_what_they_say(major):
    """What is read from a database and made in another is read from that one again."""
    ddl = ODD if major >= 15 else ODD.replace(" NULLS NOT DISTINCT", "")
    if major < 14:
        ddl = ddl.replace(', multirange_type_name = "Minutes Many"', "").replace('    open_all "Minutes Many",\n', "")
        ddl = ddl.replace(
            "RETURNS boolean IMMUTABLE BEGIN ATOMIC SELECT n % 2 = 0; END",
            "RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n % 2 = 0'",
        )
    with server_of(major, {"fsync": "off"}) as server:
        legacy, service = create_database(server, "legacy"), create_database(server, "service")
        with psycopg.connect(legacy, autocommit=True) as connection:
            connection.execute(ddl)
        made = service_ddl(read_schema(legacy, MOVED))
        with psycopg.connect(service, autocommit=True) as connection:
            for statement in made.up:
                connection.execute(statement)
            again = service_ddl(read_schema(service, MOVED))
            for statement in made.down:
                connection.execute(statement)
            left = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('shop') OR relnamespace = 2200"
            assert connection.execute(f"{left} AND relkind IN ('r', 'p', 'S')").fetchone() == (0,)
    assert [left.thing for left in made.left_out] == ["default of shop.customer.counted"]
    assert set(again.up) == set(made.up)
    assert again.left_out == ()


def test_C4_a_key_that_would_write_the_live_copy_stops_deletes_until_it_is_replaced(new_database, author):
    legacy = new_database("legacy")
    with psycopg.connect(legacy, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE parents (id int PRIMARY KEY);
            CREATE TABLE children (
                id int PRIMARY KEY, parent int REFERENCES parents ON UPDATE CASCADE ON DELETE CASCADE);
            INSERT INTO parents VALUES (1), (2);
            INSERT INTO children VALUES (1, 1)
        """)
        folder = author("--source", legacy, "--tables", "children")
        checklist = (folder / "CHECKLIST.md").read_text()
        assert "**every DELETE from `parents`** in the monolith" in checklist
        (replacement,) = re.findall(r"before the cutover: `(.*)`", checklist)
        ledger = OwnershipLedger(side="legacy", dsn=legacy, move="children", tables=("children",))
        try:
            ledger.install(owner="service")
        finally:
            ledger.close()
        with pytest.raises(psycopg.Error, match="is not owned by this database"):
            connection.execute("DELETE FROM parents WHERE id = 2")
        connection.execute(replacement)
        connection.execute("DELETE FROM parents WHERE id = 2")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("DELETE FROM parents WHERE id = 1")


def test_C16_what_is_a_partitions_own_and_who_subscribes_is_in_the_checklist(new_database, author):
    legacy = new_database("legacy")
    with psycopg.connect(legacy, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE payment (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
            CREATE TABLE payment_1 PARTITION OF payment FOR VALUES FROM (1) TO (2);
            CREATE TABLE payment_2 PARTITION OF payment FOR VALUES FROM (2) TO (3);
            ALTER TABLE payment_2 SET UNLOGGED;
            CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
            CREATE TRIGGER on_part BEFORE INSERT ON payment_1 FOR EACH ROW EXECUTE FUNCTION noted();
            CREATE TRIGGER on_whole AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION noted();
            GRANT SELECT (at) ON payment TO PUBLIC;
            CREATE PUBLICATION warehouse FOR TABLE payment
        """)
    folder = author("--source", legacy, "--tables", "payment")
    checklist = (folder / "CHECKLIST.md").read_text()
    assert "trigger on_part → public.noted (of public.payment_1) of payment" in checklist
    assert checklist.count("trigger on_whole → public.noted of payment") == 1
    assert "`ALTER TABLE public.payment_2 SET LOGGED`" in checklist
    assert "`GRANT SELECT (at) ON public.payment TO PUBLIC`" in checklist
    assert "**publication `warehouse`** sends changes of payment" in checklist
    assert {"on_part", "on_whole"} <= {waiver.object for waiver in load_plan(folder / "plan.yaml").waivers}
