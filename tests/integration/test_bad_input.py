"""Bad input through the real command: a clear error, a non-zero exit code, and nothing changed anywhere."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from sandbox.postgres import create_database, postgres_server

PLAN = """\
move: shop
service: shop
why: a test
tables:
  item:
    targets:
      items: {item_id: id, title: name}
routes:
  - {id: item.get, kind: read, methods: [GET], path: "/items/{id}"}
  - {id: item.create, kind: write, methods: [POST], path: /items}
sticky: {header: x-user}
shadow: {min_compared: 300, max_upper_bound: 0.02}
"""


class _App(http.server.BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        self.send_response(405 if self.path.startswith("/items") else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        self.do_OPTIONS()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def app_url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def shop(new_database, tmp_path, app_url):
    legacy, service = new_database("bad_legacy"), new_database("bad_service")
    with psycopg.connect(legacy) as connection:
        connection.execute("CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL)")
        connection.execute("CREATE TABLE keyless (id int, name text)")
    with psycopg.connect(service) as connection:
        connection.execute("CREATE TABLE items (item_id int PRIMARY KEY, title text NOT NULL)")
        connection.execute("CREATE TABLE keyless (id int, name text)")
    return Shop(tmp_path, legacy, service, app_url)


class Shop:
    def __init__(self, folder: Path, legacy, service, app_url):
        self.folder, self.legacy, self.service, self.app_url = folder, legacy, service, app_url
        self.write(PLAN)

    def write(self, plan, *, legacy=None):
        (self.folder / "shop.yaml").write_text(plan)
        (self.folder / "strangler.toml").write_text(
            f'[legacy]\ndatabase = "{legacy or self.legacy}"\nurl = "{self.app_url}"\n'
            f'[services.shop]\ndatabase = "{self.service}"\nurl = "{self.app_url}"\nplan = "shop.yaml"\n'
        )

    def run(self, *arguments):
        config = str(self.folder / "strangler.toml")
        return subprocess.run(
            [sys.executable, "-m", "cli", "--config", config, *arguments], capture_output=True, text=True, check=False
        )

    def untouched(self):
        for database in (self.legacy, self.service):
            with psycopg.connect(database) as connection:
                for query in (
                    "SELECT count(*) FROM pg_namespace WHERE nspname = 'strangler'",
                    "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()",
                    "SELECT count(*) FROM pg_publication",
                    "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal",
                ):
                    assert connection.execute(query).fetchone() == (0,), query
        assert not list(self.folder.glob(".strangler/moves/*/journal.jsonl"))
        assert not (self.folder / ".strangler/routes.json").exists()


def refusal(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    lines = dict(line.strip().split(maxsplit=1) for line in done.stderr.splitlines() if line.strip())
    assert set(lines) >= {"error", "why", "mend"}, done.stderr
    return lines


@pytest.mark.parametrize(
    ("old", "new", "error", "why"),
    [
        ("  item:\n", "  itme:\n", "itme", "does not exist"),
        ("title: name", "title: nmae", "nmae", "does not exist"),
        (", title: name", "", "name", "neither mapped nor dropped"),
        ("items: {", "itemz: {", "itemz", "does not exist"),
        (
            "  item:\n    targets:\n      items: {item_id: id, title: name}",
            "  keyless:\n    targets:\n      keyless: {id: id, name: name}",
            "keyless",
            "primary key",
        ),
        ("/items/{id}", "/itemz/{id}", "route item.get", "as to a path that nobody serves"),
        ("service: shop", "service: other", "service", "'other'"),
        ("tables:", "tables: [", "shop.yaml:", "malformed YAML"),
        ("kind: write", "kind: wirte", "routes.1.kind", "'read' or 'write'"),
    ],
)
def test_a_plan_that_names_something_wrong_is_refused_by_name(shop, old, new, error, why):
    assert old in PLAN
    shop.write(PLAN.replace(old, new, 1))
    seen = refusal(shop.run("run"), 2)
    assert error in seen["error"], seen
    assert why in seen["why"], seen
    shop.untouched()


def test_an_unreachable_database_is_named_without_its_password(shop):
    shop.write(PLAN, legacy="postgresql://app:s3cret@127.0.0.1:1/none")
    done = shop.run("run")
    refusal(done, 4)
    assert "s3cret" not in done.stderr + done.stdout
    shop.untouched()


def test_a_database_without_logical_decoding_says_how_to_switch_it_on(shop):
    with postgres_server({"wal_level": "replica"}) as url:
        legacy = create_database(url, "plain")
        with psycopg.connect(legacy) as connection:
            connection.execute("CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL)")
        shop.write(PLAN, legacy=legacy)
        seen = refusal(shop.run("run"), 2)
        assert "wal_level" in seen["why"] + seen["error"]
        assert "logical" in seen["mend"]
    shop.untouched()


def test_everything_that_is_wrong_is_listed_at_once_by_plan_check(shop):
    shop.write(PLAN.replace("title: name", "title: nmae").replace("/items/{id}", "/itemz/{id}"))
    done = shop.run("plan", "check", "--json")
    things = [problem["thing"] for problem in json.loads(done.stdout)]
    assert done.returncode == 2
    assert any("nmae" in thing for thing in things)
    assert any("item.get" in thing for thing in things)
    *_, refused = done.stderr.splitlines()
    assert json.loads(refused)["mend"]


def test_commands_without_a_settings_file_say_what_is_missing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--config", str(tmp_path / "none.toml"), "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no such file" in refusal(done, 2)["why"]


def test_a_misspelt_step_of_the_demo_lists_the_steps():
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--break", "flpi"], capture_output=True, text=True, check=False
    )
    assert "7 flip" in refusal(done, 2)["mend"]
