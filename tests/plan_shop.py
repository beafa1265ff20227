"""A small monolith with views, triggers and keys across the cut, a service's database, a plan, and the commands."""

import json
from dataclasses import dataclass
from pathlib import Path

import psycopg
from click.testing import CliRunner, Result

import cli

LEGACY = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE shelf (id int PRIMARY KEY);
CREATE TABLE item (
    id int PRIMARY KEY, name varchar(40) NOT NULL, price numeric(10,2) DEFAULT 1, mood mood,
    shelf_id int CONSTRAINT item_shelf REFERENCES shelf, loud text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE TABLE sale (id int PRIMARY KEY, item_id int NOT NULL CONSTRAINT sale_item REFERENCES item ON DELETE CASCADE);
CREATE VIEW cheap AS SELECT id, name FROM item WHERE price < 5;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER item_stamp BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION stamp();
"""
SERVICE = """
CREATE TABLE items (
    item_id int PRIMARY KEY, title varchar(40) NOT NULL, price numeric(10,2), mood text, shelf_id int
);
"""
PLAN = """\
move: shop
service: shop
why: a test
tables:
  item:
    targets:
      items: {item_id: id, title: name, price: price, mood: mood, shelf_id: shelf_id}
routes:
  - {id: item.get, kind: read, methods: [GET], path: "/items/{id}"}
  - {id: item.create, kind: write, methods: [POST], path: /items}
sticky: {header: x-user}
foreign_keys:
  - {constraint: item_shelf, decision: api_check, because: shelves stay}
  - {constraint: sale_item, decision: keep_on_copy, because: it holds on the live copy}
waivers:
  - {object: cheap, because: it reads the live copy}
  - {object: item_stamp, because: it does nothing}
"""


@dataclass(frozen=True, kw_only=True)
class PlanShop:
    """`folder` has strangler.toml and shop.yaml."""

    folder: Path
    legacy: str
    service: str

    @classmethod
    def made(cls, folder: Path, legacy: str, service: str, plan: str = PLAN) -> "PlanShop":
        shop = cls(folder=folder, legacy=legacy, service=service)
        shop.in_legacy(LEGACY)
        shop.in_service(SERVICE)
        shop.write(plan)
        shop.write_settings()
        return shop

    def write(self, plan: str) -> None:
        (self.folder / "shop.yaml").write_text(plan)

    def write_settings(self) -> None:
        (self.folder / "strangler.toml").write_text(
            f'[legacy]\ndatabase = "{self.legacy}"\nurl = "http://127.0.0.1:9"\n'
            f'[services.shop]\ndatabase = "{self.service}"\nurl = "http://127.0.0.1:9"\nplan = "shop.yaml"\n'
        )

    def in_legacy(self, statements: str) -> None:
        _execute(self.legacy, statements)

    def in_service(self, statements: str) -> None:
        _execute(self.service, statements)

    def run(self, *arguments: str) -> Result:
        config = str(self.folder / "strangler.toml")
        return CliRunner().invoke(cli.strangler, ["--config", config, "plan", *arguments])

    def drifts(self, *arguments: str) -> list[tuple[str, str, str]]:
        """(kind, object, reality) of `plan diff --json`."""
        done = self.run("diff", "shop", "--json", *arguments)
        assert done.stdout, done.exception
        return [(each["kind"], each["object"], each["reality"]) for each in json.loads(done.stdout)["drifts"]]


def _execute(dsn: str, statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements.encode())
