"""`strangler plan diff` and `plan accept` on real databases: each change by its kind, and nothing else."""

import json

import pytest

from commands.context import Context
from commands.streams import MoveStreams
from commands.traffic import backends, move_routes
from migration_plans.errors import PlanInvalid, SourceUnreadable
from migration_plans.ownership import OwnershipLedger
from migration_plans.phases import Phase
from router.table_file import RouteTableFile
from strangler.clock import SystemClock
from strangler.errors import PromiseBroken, Unreachable
from strangler.journal import Journal
from tests.integration.test_worker_copy import running, until
from tests.plan_shop import LEGACY, PLAN, PlanShop

pytestmark = pytest.mark.integration


@pytest.fixture
def shop(new_database, tmp_path):
    return PlanShop.made(tmp_path, new_database("legacy"), new_database("service"))


@pytest.fixture
def accepted(shop):
    done = shop.run("accept")
    assert done.exit_code == 0, done.exception
    assert (shop.folder / "shop.baseline.json").exists()
    return shop


def test_nothing_changed_is_exit_code_0_with_and_without_a_baseline(shop):
    for _ in range(2):
        done = shop.run("diff")
        assert done.exit_code == 0, done.exception
        assert "nothing changed" in done.stdout
        shop.run("accept")


def test_what_changed_is_exit_code_1_like_git_diff(accepted):
    accepted.in_legacy("ALTER TABLE item ADD brand text")
    done = accepted.run("diff")
    assert isinstance(done.exception, PromiseBroken)
    assert done.exception.exit_code == 1
    assert "column item.brand" in done.stdout


def test_S13_each_change_of_the_monolith_is_told_by_its_kind(accepted):
    accepted.in_legacy(
        """
        ALTER TABLE item ADD brand text NOT NULL DEFAULT 'x';
        ALTER TABLE item ADD quiet text GENERATED ALWAYS AS (lower(name)) STORED;
        ALTER TABLE item RENAME mood TO temper;
        ALTER TABLE item DROP shelf_id;
        ALTER TABLE item ALTER price DROP DEFAULT, ALTER price SET NOT NULL;
        ALTER TABLE item REPLICA IDENTITY FULL;
        ALTER TABLE item RENAME TO thing;
        ALTER TABLE sale DROP CONSTRAINT sale_item, ADD CONSTRAINT sale_item FOREIGN KEY (item_id) REFERENCES thing;
        CREATE TABLE wish (id int PRIMARY KEY, item_id int CONSTRAINT wished REFERENCES thing ON DELETE SET NULL);
        DROP VIEW cheap;
        CREATE VIEW dear AS SELECT id FROM thing WHERE price > 5;
        CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE FUNCTION total() RETURNS numeric LANGUAGE sql AS 'SELECT sum(price) FROM thing';
        """
    )
    assert accepted.drifts() == [
        ("changed", "table item", "is called thing now"),
        ("changed", "column item.price", "numeric(10,2) NOT NULL"),
        ("changed", "column item.mood", "is called temper now"),
        ("removed", "column item.shelf_id", "does not exist"),
        ("added", "column item.brand", "text NOT NULL DEFAULT 'x'::text"),
        ("changed", "replica identity of item", "whole rows"),
        ("changed", "foreign key sale_item", "sale (item_id) → item (id)"),
        ("added", "foreign key wished", "wish (item_id) → item (id) ON DELETE SET NULL crosses the cut"),
        ("removed", "foreign key item_shelf", "no foreign key of that name crosses the cut"),
        ("added", "function total", "uses item"),
        ("changed", "trigger item_stamp", "its definition is another one now"),
        ("added", "view dear", "uses item"),
        ("removed", "waiver cheap", "nothing of that name uses a moved table"),
    ]


def test_changed_types_and_labels_are_told(accepted):
    accepted.in_legacy("ALTER TYPE mood ADD VALUE 'ugly'; ALTER TABLE item ALTER mood SET NOT NULL")
    accepted.in_legacy("CREATE OR REPLACE VIEW cheap AS SELECT id, name FROM item WHERE price < 6")
    assert accepted.drifts() == [
        ("changed", "column item.mood", "mood (good, bad, ugly) NOT NULL"),
        ("changed", "view cheap", "its definition is another one now"),
    ]
    accepted.run("accept")
    assert accepted.drifts() == []


def test_S3_without_a_baseline_a_rename_is_one_column_gone_and_one_that_came(shop):
    shop.in_legacy("ALTER TABLE item RENAME mood TO temper")
    assert shop.drifts() == [
        ("removed", "column item.mood", "does not exist"),
        ("added", "column item.temper", "mood (good, bad)"),
    ]


def test_the_plan_may_be_mended_before_the_baseline(accepted):
    accepted.in_legacy("ALTER TABLE item RENAME mood TO temper; ALTER TABLE item ADD brand text")
    accepted.write(
        PLAN.replace("mood: mood,", "mood: temper,").replace("routes:", "    dropped: {brand: ours}\nroutes:")
    )
    assert [drift for drift in accepted.drifts() if drift[1].startswith("column")] == []


def test_S7_a_table_that_was_dropped_or_made_anew_is_named(accepted):
    accepted.in_legacy("DROP TABLE item CASCADE")
    assert ("removed", "table item", "does not exist") in accepted.drifts()
    statement = LEGACY.split(";")[2] + ";"
    assert "CREATE TABLE item" in statement
    accepted.in_legacy(statement)
    found = accepted.drifts()
    assert ("changed", "table item", "was dropped and made anew") in found
    assert [drift for drift in found if drift[1].startswith("column")] == []


def test_H13_a_table_that_became_partitioned_or_lost_its_key_is_named(accepted):
    accepted.in_legacy("ALTER TABLE sale DROP CONSTRAINT sale_item; ALTER TABLE item DROP CONSTRAINT item_pkey")
    assert ("changed", "primary key of item", "none") in accepted.drifts()
    accepted.in_legacy(
        "ALTER TABLE item RENAME TO item_old; CREATE TABLE item (LIKE item_old) PARTITION BY RANGE (id);"
        "DROP TABLE item_old CASCADE"
    )
    assert ("changed", "table item", "partitioned") in accepted.drifts()


def test_a_restored_copy_is_compared_by_name(accepted):
    path = accepted.folder / "shop.baseline.json"
    baseline = json.loads(path.read_text())
    baseline["legacy"]["database"] = "another/1"
    baseline["legacy"]["tables"]["item"]["oid"] = 1
    for column in baseline["legacy"]["tables"]["item"]["columns"]:
        column["number"] += 7
    path.write_text(json.dumps(baseline))
    assert accepted.drifts() == []
    accepted.in_legacy("ALTER TABLE item ALTER shelf_id SET NOT NULL")
    assert accepted.drifts() == [("changed", "column item.shelf_id", "integer NOT NULL")]


def test_changes_of_the_services_own_tables_are_told(accepted):
    accepted.in_service("ALTER TABLE items DROP mood, ADD must int NOT NULL, ALTER title TYPE text")
    assert accepted.drifts() == [
        ("changed", "column items.title", "text NOT NULL"),
        ("removed", "column items.mood", "does not exist"),
        ("added", "column items.must", "integer NOT NULL"),
    ]
    accepted.in_service("DROP TABLE items")
    assert accepted.drifts() == [("removed", "the service's database", "has none of them")]


def test_a_service_behind_its_migrations_is_told(accepted):
    versions = accepted.folder / "service" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "env.py").write_text("")
    for number, before in (("0001", None), ("0002", "0001")):
        (versions / f"{number}.py").write_text(f"revision = {number!r}\ndown_revision = {before!r}\n")
    assert accepted.drifts() == []
    accepted.in_service("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0001')")
    assert accepted.drifts() == [("changed", "revision of the service's database", "is at 0001")]
    accepted.in_service("UPDATE alembic_version SET version_num = '0002'")
    assert accepted.drifts() == []


def test_a_database_that_does_not_answer_stays_an_error_without_its_password(shop):
    text = (shop.folder / "strangler.toml").read_text()
    broken = text.replace(shop.service, "postgresql://app:s3cret@127.0.0.1:1/none")
    (shop.folder / "strangler.toml").write_text(broken)
    done = shop.run("diff")
    assert isinstance(done.exception, Unreachable)
    assert "s3cret" not in str(done.exception) + done.output
    accepted = shop.run("accept")
    assert accepted.exit_code == 0
    assert "does not have its tables yet" in accepted.stderr
    assert "service" not in json.loads((shop.folder / "shop.baseline.json").read_text())


def test_the_running_move_is_held_against_an_edited_plan(accepted):
    context = Context(config_path=accepted.folder / "strangler.toml")
    settings, plan = context.settings, context.plan("shop")
    journal = Journal(settings.state_path("moves", "shop", "journal.jsonl"))
    ledgers = [
        OwnershipLedger(side="legacy", dsn=accepted.legacy, move="shop", tables=("item",)),
        OwnershipLedger(side="service", dsn=accepted.service, move="shop", tables=("items",)),
    ]
    with MoveStreams(settings, plan, SystemClock()) as streams:
        file = RouteTableFile(settings.state_path("routes.json"))
        file.save(backends(settings).with_move(move_routes(plan)), None)
        for ledger in ledgers:
            ledger.install(owner="legacy")
        streams.provision()
        try:
            assert {drift[1] for drift in accepted.drifts()} == {
                "ownership row in the legacy database",
                "ownership row in the service database",
                "routes of shop",
            }
            journal.append("phase", event="prepare", phase=str(Phase.PREPARED))
            assert accepted.drifts() == []
            accepted.in_legacy("CREATE TABLE extra (id int PRIMARY KEY)")
            accepted.in_service("CREATE TABLE extras (id int PRIMARY KEY)")
            accepted.write(
                PLAN.replace("  item:", "  extra: {targets: {extras: {id: id}}}\n  item:")
                .replace("path: /items}", "path: /things}")
                .replace("header: x-user", "cookie: user")
            )
            assert accepted.drifts() == [
                ("removed", "table extra (legacy)", "was never prepared: it has no fence"),
                ("removed", "table extras (service)", "was never prepared: it has no fence"),
                ("changed", "sticky key", "header x-user"),
                ("changed", "route item.create", "write POST /items"),
            ]
            accepted.write(PLAN)
            journal.append("phase", event="flipped", phase=str(Phase.SERVICE_OWNED))
            assert {drift[2] for drift in accepted.drifts()} == {"legacy owns"}
        finally:
            streams.deprovision(empty_target=False)
            for ledger in ledgers:
                ledger.uninstall()
                ledger.close()


def test_facts_show_who_else_writes_the_moved_tables(accepted):
    facts = {
        "functionalities": {
            "GET /items/{item_id}": {"transactions": [[["item", "R"]]]},
            "POST /items": {"transactions": [[["item", "W"], ["sale", "W"]]]},
            "DELETE /items/{id}": {"calls": 7, "transactions": [[["public.item", "W"]]]},
            "job:nightly": {"transactions": [[["item", "W"]]]},
            "job:known": {"transactions": [[["item", "W"]]]},
        }
    }
    path = accepted.folder / "facts.json"
    path.write_text(json.dumps(facts))
    accepted.write(PLAN + '  - {object: "job:known", because: it goes through the service}\n')
    assert accepted.drifts() == []
    assert accepted.drifts("--facts", str(path)) == [
        ("added", "endpoint DELETE /items/{id}", "writes item (7 calls)"),
        ("changed", "transaction of POST /items", "writes item together with sale, which stay"),
        ("added", "job job:nightly", "writes item (1 calls)"),
    ]
    accepted.run("accept", "--facts", str(path))
    assert [drift[1] for drift in accepted.drifts("--facts", str(path))] == [
        "endpoint DELETE /items/{id}",
        "job job:nightly",
    ]
    accepted.write(PLAN.replace("path: /items}", "path: /itmes}"))
    assert ("removed", "route item.create", "was not called while the facts were recorded") in accepted.drifts(
        "--facts", str(path)
    )


ODD = """\
move: odd
service: shop
why: a test
tables:
  Order:
    targets:
      Orders: {"id": "id", "to": "select"}
  crm.user:
    targets:
      crm.people: {"id": "id", "e-mail": "e-mail"}
routes:
  - {id: item.get, kind: read, methods: [GET], path: "/items/{id}"}
  - {id: item.create, kind: write, methods: [POST], path: /items}
sticky: {header: x-user}
"""


def test_D33_odd_names_and_other_schemas_are_compared_as_they_are(shop):
    shop.in_legacy(
        """
        CREATE SCHEMA crm; CREATE TYPE crm.kind AS ENUM ('a');
        CREATE TABLE "Order" (id int PRIMARY KEY, "select" text);
        CREATE TABLE crm.user (id int PRIMARY KEY, "e-mail" crm.kind);
        CREATE FUNCTION crm.noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
        """
    )
    shop.in_service(
        """
        CREATE SCHEMA crm;
        CREATE TABLE "Orders" (id int PRIMARY KEY, "to" text);
        CREATE TABLE crm.people (id int PRIMARY KEY, "e-mail" text);
        """
    )
    shop.write(ODD)
    assert shop.drifts() == []
    assert shop.run("accept").exit_code == 0
    shop.in_legacy(
        """
        ALTER TABLE "Order" RENAME "select" TO "Se'lect";
        ALTER TABLE crm.user RENAME TO "us.er";
        ALTER TYPE crm.kind ADD VALUE 'b';
        CREATE TRIGGER "T 1" BEFORE UPDATE ON crm."us.er" FOR EACH ROW EXECUTE FUNCTION crm.noop();
        """
    )
    shop.in_service('ALTER TABLE "Orders" ADD "from" text')
    assert shop.drifts() == [
        ("changed", "column Order.select", "is called Se'lect now"),
        ("changed", "table crm.user", "is called crm.us.er now"),
        ("changed", "column crm.user.e-mail", "crm.kind (a, b)"),
        ("added", "trigger T 1", "uses crm.user"),
        ("added", "column Orders.from", "text"),
    ]


def test_a_column_that_the_stream_follows_is_told_once(accepted):
    settings, plan = (context := Context(config_path=accepted.folder / "strangler.toml")).settings, context.plan("shop")
    with MoveStreams(settings, plan, SystemClock()) as streams:
        streams.provision()
        try:
            streams.request_copy()
            with running(streams.links()[:1]):
                until(lambda: streams.copy_progress().done)
                accepted.in_legacy("ALTER TABLE item ADD brand text DEFAULT 'x'; INSERT INTO item VALUES (1, 'one')")
                assert streams.verify("forward").equal
            brand = [drift for drift in accepted.drifts() if "brand" in drift[1]]
            assert brand == [
                ("added", "column item.brand", "text DEFAULT 'x'::text; the stream follows it as brand"),
            ]
        finally:
            streams.deprovision(empty_target=False)


def test_a_damaged_baseline_is_named_and_can_be_written_anew(accepted):
    path = accepted.folder / "shop.baseline.json"
    for content, reason in (
        (b"{", "Invalid JSON"),
        (b'{"form": 2}', "Input should be 1"),
        (b"[]", "should be an object"),
        (b"\x80", "Invalid JSON"),
    ):
        path.write_bytes(content)
        done = accepted.run("diff")
        assert isinstance(done.exception, PlanInvalid)
        assert str(path) in done.exception.thing
        assert reason in done.exception.reason
    assert accepted.run("accept").exit_code == 0
    assert accepted.drifts() == []


def test_what_a_table_refuses_is_held_against_the_baseline_on_both_sides(shop):
    shop.in_legacy(
        "ALTER TABLE item ADD CONSTRAINT dear CHECK (price > 0); CREATE UNIQUE INDEX one ON item (lower(name))"
    )
    shop.in_service("ALTER TABLE items ADD CONSTRAINT once UNIQUE (title, price)")
    assert shop.run("accept").exit_code == 0
    assert shop.drifts() == []
    shop.in_legacy(
        "ALTER TABLE item DROP CONSTRAINT dear, ADD CONSTRAINT dear CHECK (price > 1); DROP INDEX one;"
        "ALTER TABLE item ADD CONSTRAINT named UNIQUE (name); CREATE INDEX harmless ON item (price)"
    )
    shop.in_service("ALTER TABLE items DROP CONSTRAINT once")
    assert shop.drifts() == [
        ("changed", "constraint dear of item", "CHECK ((price > (1)::numeric))"),
        ("added", "constraint named of item", "UNIQUE (name)"),
        ("removed", "constraint one of item", "does not exist"),
        ("removed", "constraint once of items", "does not exist"),
    ]


def test_a_role_that_may_not_read_is_told_so(accepted):
    accepted.in_service("CREATE TABLE alembic_version (version_num text)")
    accepted.in_service("CREATE ROLE drift_reader LOGIN")
    settings = accepted.folder / "strangler.toml"
    versions = accepted.folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "env.py").write_text("")
    try:
        settings.write_text(settings.read_text().replace("postgres@", "drift_reader@"))
        done = accepted.run("diff")
        assert isinstance(done.exception, SourceUnreadable)
        assert "permission denied" in done.exception.reason
        accepted.in_service("GRANT SELECT ON alembic_version TO drift_reader")
        assert [drift for drift in accepted.drifts() if drift[1] != "revision of the service's database"] == []
    finally:
        settings.write_text(settings.read_text().replace("drift_reader@", "postgres@"))
        accepted.in_service("DROP OWNED BY drift_reader; DROP ROLE drift_reader")


def test_accept_says_what_the_plan_itself_still_says_otherwise(accepted):
    accepted.in_legacy("ALTER TABLE item DROP mood, ALTER price SET NOT NULL")
    done = accepted.run("accept")
    assert done.exit_code == 0, done.exception
    assert "still says otherwise of column item.mood:" in " ".join(done.stderr.split())
    assert "price" not in done.stderr
    accepted.write(PLAN.replace("mood: mood, ", ""))
    accepted.in_service("ALTER TABLE items DROP mood")
    assert accepted.run("accept").stderr == ""


def test_a_new_plan_comes_with_its_baseline(shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new = shop.run("new", "shelves", "--tables", "item", "--sticky", "header:x-user", "--json")
    assert new.exit_code == 0, new.exception
    folder = tmp_path / "shelves"
    (folder / "plan.yaml").rename(tmp_path / "shop.yaml")
    (folder / "plan.baseline.json").rename(tmp_path / "shop.baseline.json")
    text = (tmp_path / "shop.yaml").read_text()
    (tmp_path / "shop.yaml").write_text(text.replace("service: shelves", "service: shop"))
    assert shop.drifts() == [("removed", "the service's database", "has none of them")]
    shop.in_legacy("ALTER TABLE item ALTER price SET NOT NULL; DROP VIEW cheap")
    assert shop.drifts()[:2] == [
        ("changed", "column item.price", "numeric(10,2) NOT NULL DEFAULT 1"),
        ("removed", "waiver cheap", "nothing of that name uses a moved table"),
    ]


def test_a_waiver_of_a_job_is_no_object_that_is_gone(shop):
    shop.write(PLAN + "  - {object: import, because: it calls the service}\n")
    assert [drift[1] for drift in shop.drifts()] == ["waiver import"]
    facts = shop.folder / "facts.json"
    facts.write_text(json.dumps({"functionalities": {"import": {"transactions": [[["item", "W"]]]}}}))
    assert shop.drifts("--facts", str(facts)) == []
    shop.run("accept")
    assert shop.drifts() == []


def test_a_baseline_of_another_move_is_refused(accepted):
    accepted.write(PLAN.replace("move: shop", "move: other"))
    done = accepted.run("diff")
    assert isinstance(done.exception, PlanInvalid)
    assert "'shop'" in done.exception.reason
