"""`strangler parked` on a prepared move, and what parked rows forbid."""

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

import cli
from cdc.errors import RowsParked
from commands.context import Context
from commands.streams import MoveStreams
from migration_plans.gates import Verdict, stream_alive
from strangler.clock import SystemClock
from strangler.errors import BadInput, Refused
from tests.integration.test_worker_copy import running, settle, until

pytestmark = pytest.mark.scenario

PLAN = """
move: shop
service: shop
why: test
tables:
  t:
    targets:
      t: {id: id, v: v}
routes:
  - {id: t, kind: read, methods: [GET], path: /t}
sticky: {header: x-user}
"""
DDL = "CREATE TABLE t (id int PRIMARY KEY, v {})"


class Shop:
    def __init__(self, folder: Path, legacy: str, service: str):
        self.config = folder / "strangler.toml"
        (folder / "shop.yaml").write_text(PLAN)
        self.config.write_text(
            f'[legacy]\ndatabase = "{legacy}"\nurl = "http://127.0.0.1:9"\n'
            f'[services.shop]\ndatabase = "{service}"\nurl = "http://127.0.0.1:9"\nplan = "shop.yaml"\n'
        )
        context = Context(config_path=self.config)
        self.streams = MoveStreams(context.settings, context.plan("shop"), SystemClock())
        self.legacy = psycopg.connect(legacy, autocommit=True)
        self.service = psycopg.connect(service, autocommit=True)

    def run(self, *arguments):
        done = CliRunner().invoke(cli.strangler, ["--config", str(self.config), "parked", *arguments])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def listed(self):
        return [(each["id"], each["key"], each["state"]) for each in json.loads(self.run("list", "--json"))]


@pytest.fixture
def shop(new_database, tmp_path):
    made = Shop(tmp_path, new_database("legacy"), new_database("service"))
    made.legacy.execute(DDL.format("text"))
    made.service.execute(DDL.format("varchar(5)"))
    made.streams.provision()
    made.streams.request_copy()
    yield made
    made.streams.deprovision(empty_target=False)
    made.legacy.close()
    made.service.close()


def test_T19_parked_rows_are_listed_shown_retried_and_skipped_and_forbid_to_go_on(shop):
    forward = shop.streams.links()[0]
    shop.legacy.execute("INSERT INTO t VALUES (0, 'copied, too long')")
    with running([forward]):
        until(lambda: shop.streams.copy_progress().done)
        shop.legacy.execute("INSERT INTO t VALUES (1, 'far too long'), (2, 'ok'), (3, 'also too long')")
        shop.legacy.execute("UPDATE t SET v = 'short' WHERE id = 3")
        settle(forward)
        assert shop.service.execute("SELECT id FROM t ORDER BY id").fetchall() in ([(2,)], [(2,), (3,)])
        parked = shop.listed()
        assert [(key["id"], state) for _, key, state in parked][:2] == [("0", "refused"), ("1", "refused")]

        decision = stream_alive(shop.streams.lag("forward"))
        assert (decision.verdict, "strangler parked list" in decision.reason) == (Verdict.FAIL, True)
        with pytest.raises(RowsParked):
            shop.streams.verify("forward")
        with pytest.raises(RowsParked):
            shop.streams.verify_changed("forward", "0/0")

        shown = json.loads(shop.run("show", parked[1][0], "--json"))
        assert shown["events"] == [{"op": "c", "before": None, "after": {"id": "1", "v": "far too long"}}]
        assert (shown["code"], shown["attempts"]) == ("22001", 1)
        assert "far too long" not in shop.run("list")
        with pytest.raises(RowsParked, match="too long"):
            shop.run("retry", parked[1][0])
        shop.run("skip", parked[1][0], "--reason", "test data", "--by", "ann")
        assert parked[1][0] not in [each[0] for each in shop.listed()]
    # Now without a worker.
    shop.service.execute("ALTER TABLE t ALTER v TYPE text")
    shop.run("retry", "--all")
    assert shop.listed() == []
    assert shop.service.execute("SELECT id, v FROM t ORDER BY id").fetchall() == [
        (0, "copied, too long"), (2, "ok"), (3, "short"),
    ]  # fmt: skip
    audit = "SELECT key, skipped_by, skip_reason FROM strangler.parked_audit"
    assert shop.service.execute(audit).fetchall() == [({"id": "1"}, "ann", "test data")]


def test_T19_only_the_first_of_a_row_is_skipped_or_its_whole_queue(shop):
    forward = shop.streams.links()[0]
    with running([forward]):
        until(lambda: shop.streams.copy_progress().done)
        shop.legacy.execute("INSERT INTO t VALUES (1, 'far too long')")
        settle(forward)
        shop.legacy.execute("UPDATE t SET v = 'again too long' WHERE id = 1")
        shop.legacy.execute("UPDATE t SET v = 'x' WHERE id = 1")
        settle(forward)
        first, second, _ = [each[0] for each in shop.listed()]
        with pytest.raises(Refused, match="waits behind"):
            shop.run("skip", second, "--reason", "r", "--by", "ann")
        shop.run("skip", first, "--queue", "--reason", "r", "--by", "ann")
        assert shop.listed() == []
    for wrong in ("12", "f0", "x1"):
        with pytest.raises(BadInput):
            shop.run("show", wrong)
    with pytest.raises(BadInput):
        shop.run("retry")
