"""Facts of the reference store, from its traffic and its schema: compared with what its own code says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import legacy_monolith
from cli import strangler
from legacy_monolith.app import create_app
from migration_plans.assess.facts_file import load_facts
from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.paths import shape_of
from tests.integration.gather_store import PREFIX, REQUESTS, logged_store

pytestmark = pytest.mark.integration

PLACED = "customers:R product:R price:R orders:R stock:R stock:W orders:W order_lines:W reservations:W invoices:W"
SAID_BY_THE_CODE = {
    # placing.place_order, then orders.shown_order, in one transaction.
    "POST /api/orders": [f"{PLACED} ledger_entries:W audit_log:W order_lines:R invoices:R"],
    "GET /api/orders/{order_id}": ["orders:R order_lines:R invoices:R"],
    # The ledger and the audit trail are flushed with the commit, after the answer was read.
    "POST /api/orders/{order_id}/pay": [
        "orders:R customers:R orders:W invoices:W order_lines:R invoices:R ledger_entries:W audit_log:W"
    ],
    "POST /api/orders/{cancelled_id}/cancel": [
        "orders:R customers:R orders:W reservations:W stock:R stock:W invoices:W order_lines:R invoices:R "
        "ledger_entries:W audit_log:W"
    ],
    "POST /api/orders/{order_id}/pick": [
        "orders:R customers:R orders:W shipments:W order_lines:R audit_log:W pick_items:W"
    ],
    # The new status is flushed before the shipment is looked for.
    "POST /api/orders/{order_id}/ship": [
        "orders:R customers:R orders:W shipments:R shipments:W reservations:W stock:R stock:W invoices:W audit_log:W"
    ],
    "GET /api/customers/{customer_id}/available-credit": ["customers:R orders:R"],
    "GET /api/customers/{customer_id}/ledger": ["customers:R ledger_entries:R"],
    "GET /api/reports/regional-orders": ["customers:R orders:R order_lines:R product:R"],
    # The view revenue_by_day.
    "GET /api/reports/revenue": ["category:R order_lines:R orders:R product:R"],
    # The view product_listing.
    "GET /api/admin/products": ["category:R price:R product:R"],
    "POST /api/products/{product_id}/prices": ["product:R price:W"],
    "POST /api/products": ["product:W price:R product_category:R"],
    "GET /api/me": ["sessions:R users:R"],
    # Two transactions: who asks, and the end of the session.
    "DELETE /api/sessions/current": ["sessions:R users:R", "sessions:W"],
    "PUT /api/admin/settings/{name}": ["settings:W"],
    "POST /api/stock/{product_id}/adjust": ["product:R stock:R stock:W"],
}


@pytest.fixture(scope="module")
def store():
    with logged_store() as running:
        yield running


@pytest.fixture(scope="module")
def replayed(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("replay") / "run.jsonl"
    arguments = ["--requests", str(REQUESTS), "--url", store.base_url, "--source", store.database_url, "--json"]
    done = CliRunner().invoke(strangler, ["gather", "replay", *arguments, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), out


def spelled(functionality):
    return {" ".join(f"{table}:{mode}" for table, mode in accesses) for accesses in functionality.transactions}


@pytest.mark.parametrize("ending", ["log", "csv", "json"])
def test_serial_replay_names_every_endpoint_with_its_transactions(store, replayed, ending):
    summary, run = replayed
    assert (summary["refused"], summary["restless"]) == (1, 0)
    document = gather(
        GatherSettings(source=store.database_url, logs=(store.log(ending),), log_prefix=PREFIX, requests=(run,))
    )
    by_replay = {name: one for name, one in document.functionalities.items() if one.evidence == "replay"}
    app = create_app(store.database_url)
    routes = {
        shape_of(f"{method} {rule.rule}")
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    # /healthz asks no table.
    assert {shape_of(name) for name in by_replay} == routes - {"GET /healthz"}
    assert len(by_replay) == 50
    told = {name: spelled(by_replay[name]) for name in SAID_BY_THE_CODE}
    assert told == {name: set(said) for name, said in SAID_BY_THE_CODE.items()}
    assert by_replay["POST /api/orders"].calls == 3
    assert document.gathering.not_understood == ()
    assert document.gathering.ambiguous_transactions == 0


def test_schema_facts_are_those_of_the_store(store, tmp_path):
    document = gather(GatherSettings(source=store.database_url))
    tables = document.tables
    # Alembic's own is left out.
    assert len(tables) == 22
    assert tables["orders"].rows == 40
    assert tables["orders"].bytes > 0
    assert {key.to_columns for key in document.foreign_keys if key.source == "order_lines"} == {("id",)}
    assert document.views["product_listing"].tables == ("category", "price", "product")
    assert document.views["revenue_by_day"].tables == ("category", "order_lines", "orders", "product")
    assert set(document.views) == {"product_listing", "revenue_by_day"}
    assert document.triggers["product.product_touch"].routine == "product_touch"
    assert document.sequences["orders_id_seq"].table == "orders"
    out = tmp_path / "facts.json"
    out.write_text(document.as_json())
    assert len(load_facts(out).tables) == 22


def test_counted_statements_are_functionalities_where_there_is_no_log(store, replayed):
    document = gather(GatherSettings(source=store.database_url))
    assert {one.evidence for one in document.functionalities.values()} == {"statements"}
    placed = "write orders, order_lines, reservations, invoices, ledger_entries, audit_log"
    assert document.functionalities[placed].calls >= 2
    assert document.functionalities["read customers, orders, order_lines, product"].calls >= 1
    assert not any("strangler" in name or "pg_" in name for name in document.functionalities)


def test_all_sources_become_one_document_that_assess_reads(store, replayed, tmp_path):
    _, run = replayed
    out = tmp_path / "facts.json"
    code = Path(legacy_monolith.__file__).parent
    arguments = ["--source", store.database_url, "--log", str(store.log("csv")), "--requests", str(run)]
    arguments += ["--code", str(code), "--out", str(out), "--json"]
    done = CliRunner().invoke(strangler, ["gather", "facts", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["by replay"], summary["not_understood"]) == (50, 0)
    functionalities = json.loads(out.read_text())["functionalities"]
    # Named as the code names it, and found there.
    assert functionalities["POST /api/orders/{order_id}/cancel"]["where"].startswith("legacy_monolith/orders.py:")
    assert functionalities["POST /api/orders/{order_id}/cancel"]["evidence"] == "replay"
    assert len(load_facts(out).functionalities) == summary["functionalities"]
    assessed = CliRunner().invoke(strangler, ["assess", "--facts", str(out), "--json"], catch_exceptions=False)
    assert assessed.exit_code == 0, assessed.output
    assert {table for tables in json.loads(assessed.stdout)["services"].values() for table in tables} >= {"orders"}


def test_own_traffic_is_attributed_by_time(store, tmp_path):
    """Concurrent requests, no comment, no mark: what is told is right, what cannot be told is counted."""
    ledger = tmp_path / "ledger.jsonl"
    options = ("--duration", "6", "--writes-per-second", "8", "--reads-per-second", "8", "--seed", "5")
    command = [sys.executable, "-m", "legacy_monolith.traffic", "--base-url", store.base_url, "--ledger", str(ledger)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, timeout=90)
    document = gather(
        GatherSettings(source=store.database_url, logs=(store.log("json"),), requests=(ledger,), statements=False)
    )
    assert json.loads(done.stdout)["requests"] > 40
    told = {name: one for name, one in document.functionalities.items() if one.evidence == "time"}
    expected = {shape_of(name): set(said) for name, said in SAID_BY_THE_CODE.items()}
    compared = 0
    for name, one in told.items():
        if shape_of(name) in expected:
            compared += 1
            assert spelled(one) <= expected[shape_of(name)], name
    assert compared >= 3
    asked = {json.loads(line)["endpoint"] for line in ledger.read_text().splitlines() if '"request"' in line}
    assert len(told) >= 0.5 * len(asked)
