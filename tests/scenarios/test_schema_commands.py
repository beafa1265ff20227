"""`strangler cdc schema` on a prepared move; what is verified, and which proofs still hold (promise 6)."""

import json

import psycopg
import pytest
from click.testing import CliRunner

import cli
from cdc.errors import NotProvisioned, SchemaChanged
from commands.context import Context
from commands.preflight import preflight_problems
from commands.streams import MoveStreams
from strangler.clock import SystemClock
from strangler.errors import BadInput
from tests.integration.test_worker_copy import running, settle, until

pytestmark = pytest.mark.scenario

PLAN = """
move: shop
service: shop
why: test
tables:
  t:
    targets:
      items: {item_id: id, label: v}
routes:
  - {id: t, kind: read, methods: [GET], path: /t}
sticky: {header: x-user}
"""


class Shop:
    def __init__(self, folder, legacy, service):
        self.folder, self.config = folder, folder / "strangler.toml"
        (folder / "shop.yaml").write_text(PLAN)
        self.config.write_text(
            f'[legacy]\ndatabase = "{legacy}"\nurl = "http://127.0.0.1:9"\n'
            f'[services.shop]\ndatabase = "{service}"\nurl = "http://127.0.0.1:9"\nplan = "shop.yaml"\n'
        )
        self.legacy = psycopg.connect(legacy, autocommit=True)
        self.service = psycopg.connect(service, autocommit=True)
        self.streams = self.opened()

    def opened(self):
        self.context = Context(config_path=self.config)
        return MoveStreams(self.context.settings, self.context.plan("shop"), SystemClock())

    def run(self, *arguments):
        done = CliRunner().invoke(cli.strangler, ["--config", str(self.config), "cdc", "schema", *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def states(self):
        rows = json.loads(self.run("--json"))["tables"]
        return [(row["direction"], row["state"]) for row in rows if row["form"] > 1]


@pytest.fixture
def shop(new_database, tmp_path):
    made = Shop(tmp_path, new_database("legacy"), new_database("service"))
    made.legacy.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    made.service.execute("CREATE TABLE items (item_id int PRIMARY KEY, label text)")
    made.streams.provision()
    made.legacy.execute("INSERT INTO t VALUES (1, 'one')")
    made.streams.request_copy()
    yield made
    made.streams.deprovision(empty_target=False)
    made.legacy.close()
    made.service.close()


def test_a_followed_column_is_verified_carried_back_and_shown_as_missing_in_the_plan(shop):
    links = shop.streams.links()
    with running(links):
        until(lambda: shop.streams.copy_progress().done)
        first = shop.streams.verify("forward")
        assert first.equal
        shop.legacy.execute("ALTER TABLE t ADD COLUMN x int DEFAULT 5")
        assert shop.streams.schema_hash() != first.schema_hash
        shop.legacy.execute("INSERT INTO t VALUES (2, 'two', 6)")
        proof = shop.streams.verify("forward")
        assert proof.equal
        assert proof.schema_hash not in (first.schema_hash, None)
        assert shop.service.execute("SELECT item_id, x FROM items ORDER BY 1").fetchall() == [(1, 5), (2, 6)]

        assert shop.streams.verify_changed("forward", first.position).equal
        with shop.service.transaction():
            shop.service.execute("SET LOCAL session_replication_role = replica")
            shop.service.execute("UPDATE items SET x = 7 WHERE item_id = 2")
        assert not shop.streams.verify_changed("forward", first.position).equal
        with shop.service.transaction():
            shop.service.execute("UPDATE items SET x = 6 WHERE item_id = 2")

        shop.service.execute("UPDATE items SET x = 99 WHERE item_id = 1")
        settle(links[1])
        assert shop.legacy.execute("SELECT id, x FROM t ORDER BY 1").fetchall() == [(1, 99), (2, 6)]
    told = json.loads(shop.run("--json"))
    assert told["not_in_plan"] == ["the plan does not name t.x, which came meanwhile: map it under items"]
    assert "x: – → x integer" in told["tables"][1]["changes"][0]
    problems = preflight_problems(shop.context.settings, shop.context.plan("shop"))
    assert not [problem for problem in problems if "x" in problem[0].split(".")]


def test_a_stopped_table_is_not_verified_until_it_was_reconciled(shop):
    links = shop.streams.links()
    with running(links[:1]):
        until(lambda: shop.streams.copy_progress().done)
        shop.legacy.execute("ALTER TABLE t RENAME v TO w")
        shop.legacy.execute("INSERT INTO t VALUES (2, 'two')")
        until(lambda: ("forward", "stopped") in shop.states())
        with pytest.raises(SchemaChanged, match=r"does not follow its schema change yet: v: v text → w text"):
            shop.streams.verification.await_schema("forward")
        [stopped] = [row for row in json.loads(shop.run("--json"))["tables"] if row["state"] == "stopped"]
        assert stopped["mend"] == "say 'w' for 'v' as a source column of t in the plan"

    (shop.folder / "shop.yaml").write_text(PLAN.replace("label: v", "label: w"))
    shop.streams = shop.opened()
    with running(shop.streams.links()):
        retried = CliRunner().invoke(cli.strangler, ["--config", str(shop.config), "parked", "retry", "--all"])
        assert retried.exit_code == 0, retried.output
        shop.legacy.execute("INSERT INTO t VALUES (3, 'three')")
        assert shop.streams.verify("forward").equal
        assert shop.service.execute("SELECT count(*) FROM items").fetchall() == [(3,)]


def test_accept_says_that_a_person_dealt_with_it(shop):
    shop.legacy.execute("ALTER TABLE t ALTER v TYPE varchar(3)")
    with pytest.raises(BadInput, match="not of this move"):
        shop.run("--accept", "nothing")
    shop.run("--accept", "t")
    assert shop.states() == [("forward", "met")]
    shop.streams.verification.await_schema("forward")


def test_what_is_asked_of_a_move_that_was_never_provisioned_is_refused_and_makes_nothing(new_database, tmp_path):
    made = Shop(tmp_path, new_database("legacy"), new_database("service"))
    with made.legacy, made.service:
        made.legacy.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
        made.service.execute("CREATE TABLE items (item_id int PRIMARY KEY, label text)")
        for _ in range(2):
            done = CliRunner().invoke(cli.strangler, ["--config", str(made.config), "verify", "shop"])
            assert isinstance(done.exception, NotProvisioned), done.exception
            assert "strangler run" in done.exception.mend
        assert made.service.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)
