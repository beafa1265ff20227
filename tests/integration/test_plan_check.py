"""`strangler plan check`: what is wrong with a plan by itself is told without a database, and beside what they tell."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from strangler.errors import BadInput
from tests.plan_shop import PLAN, PlanShop

pytestmark = pytest.mark.integration

NOWHERE = "postgresql://app:s3cret@127.0.0.1:1/none"


@pytest.fixture
def shop(tmp_path):
    """No database answers."""
    made = PlanShop(folder=tmp_path, legacy=NOWHERE, service=NOWHERE)
    made.write(PLAN)
    made.write_settings()
    return made


def problems(shop, *arguments):
    done = shop.run("check", "shop", "--json", *arguments)
    assert isinstance(done.exception, BadInput)
    return [(each["thing"], each["reason"]) for each in json.loads(done.stdout)]


def things(shop):
    return [thing for thing, _ in problems(shop)]


def test_lint_is_told_although_no_database_answers(shop):
    shop.write(PLAN.replace("because: it does nothing", "because: TODO"))
    found = problems(shop)
    assert ("waivers: item_stamp", found[-1][1]) == found[-1]
    assert found[-1][1].startswith("todo-left: ")
    assert any("127.0.0.1" in thing + reason for thing, reason in found[:-1])
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("old", "new", "thing", "reason"),
    [
        ('path: "/items/{id}"', 'path: "items/{id}"', "rule 'item.get'", "does not start with a slash"),
        ("path: /items}", 'path: "/items?x=1"}', "rule 'item.create'", "neither a literal"),
        ("methods: [POST]", "methods: [post]", "rule 'item.create'", "not a method"),
        ("id: item.create", "id: item.get", "rule of move 'shop' 'item.get'", "twice"),
        ("header: x-user", "header: X-User", "sticky key 'X-User'", "capitals"),
    ],
)
def test_X72_what_the_router_would_refuse_later_is_told_before_anything_is_made(shop, old, new, thing, reason):
    assert old in PLAN
    shop.write(PLAN.replace(old, new))
    assert [(found, why) for found, why in problems(shop) if found == thing and reason in why]


def test_a_head_beside_a_read_of_get_collides(shop):
    head = '  - {id: item.head, kind: read, methods: [HEAD], path: "/items/{other}"}\n'
    shop.write(PLAN.replace("routes:\n", "routes:\n" + head))
    assert any("both claim HEAD" in reason for _, reason in problems(shop))


def test_S13_a_key_whose_action_would_write_what_has_moved_is_refused_until_waived(new_database, tmp_path):
    shop = PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))
    thing = "foreign key item_shelf (item → shelf)"
    assert thing not in things(shop)
    shop.in_legacy(
        "ALTER TABLE item DROP CONSTRAINT item_shelf, ADD CONSTRAINT item_shelf FOREIGN KEY (shelf_id)"
        " REFERENCES shelf ON DELETE SET NULL ON UPDATE CASCADE"
    )
    (reason,) = (why for found, why in problems(shop) if found == thing)
    assert "ON DELETE and ON UPDATE action" in reason
    shop.write(PLAN.replace("waivers:", "waivers:\n  - {object: item_shelf, because: shelves are never deleted}"))
    assert thing not in things(shop)


def test_a_table_named_twice_is_one_problem_and_lint_goes_on(shop):
    twice = "  public.item: {targets: {items2: {id: id}}}\n"
    shop.write(PLAN.replace("tables:\n", "tables:\n" + twice).replace("why: a test", "why: TODO"))
    assert things(shop) == ["mapping of table item", "why"]


def test_another_services_plan_is_compared_and_a_broken_one_is_named(shop):
    (shop.folder / "other.yaml").write_text(
        PLAN.replace("shop", "other").replace("  item:", "  public.item:").replace("/items", "/others")
    )
    settings = shop.folder / "strangler.toml"
    settings.write_text(
        settings.read_text() + f'[services.other]\ndatabase = "{NOWHERE}"\nurl = "http://127.0.0.1:9"\n'
        'plan = "other.yaml"\n'
    )
    assert things(shop)[-1] == "tables.item (also in the plan of other)"
    (shop.folder / "other.yaml").write_text("move: [")
    done = shop.run("check", "shop")
    assert "not compared with" in done.stderr
    assert "other.yaml" in done.stderr.replace("\n", "")


class _Shop(BaseHTTPRequestHandler):
    """Knows `/items/{id}` by GET alone, and says the same of a row that is not there as of a path that is not."""

    protocol_version = "HTTP/1.1"
    rows = frozenset({"/items/42", "/items/k%2F7"})

    def do_GET(self):
        self.answer(200 if self.path in self.rows else 404)

    def do_OPTIONS(self):
        self.answer(404)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def black_box():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_path_with_parameters_is_asked_with_a_key_that_exists_or_as_clients_asked(new_database, tmp_path, black_box):
    shop = PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))
    settings = tmp_path / "strangler.toml"
    settings.write_text(settings.read_text().replace("http://127.0.0.1:9", black_box))

    def untold(*arguments):
        done = shop.run("check", "shop", "--json", *arguments)
        of_service = [each["thing"] for each in json.loads(done.stdout) if "could not tell" in each["reason"]]
        return re.findall(r"route ([\w.]+) [^:]*: could not tell", " ".join(done.stderr.split())), of_service

    posts = "route item.create (POST /items)"
    assert untold() == (["item.get", "item.create"], ["route item.get (GET /items/{id})", posts])
    shop.in_legacy("INSERT INTO item (id, name) VALUES (42, 'a')")
    assert untold() == (["item.create"], [posts])
    shop.in_legacy("DELETE FROM item")
    (tmp_path / "run.jsonl").write_text(
        '{"method": "GET", "path": "/items/k%2F7?x=1", "start": 1, "end": 2, "status": 200}\n'
    )
    assert untold("--requests", str(tmp_path / "run.jsonl")) == (["item.create"], [posts])
    done = shop.run("check", "shop", "--requests", str(tmp_path / "none.jsonl"))
    assert isinstance(done.exception, BadInput)
    assert "none.jsonl" in str(done.exception)
