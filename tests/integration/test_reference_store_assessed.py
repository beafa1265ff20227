"""The reference store, assessed from its schema and its traffic alone: no hint, no code, the defaults of every system.

Every endpoint is played once; then the whole shop is driven by many at once, whose transactions are told by time.
"""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from cli import strangler
from tests.integration.gather_store import REQUESTS, logged_store

pytestmark = pytest.mark.integration

CAPABILITIES = {
    "customers": {"customers", "addresses", "regions"},
    "catalog": {"product", "price", "category", "product_category"},
    "inventory": {"stock", "reservations"},
    "orders": {"orders", "order_lines"},
    "accounting": {"invoices", "ledger_entries"},
    "shipping": {"shipments", "pick_items"},
    "users": {"users", "sessions", "roles"},
}
"""What an expert would keep together, and apart from each other."""
ANYWHERE = {"reviews", "promotions", "settings", "audit_log"}
"""An expert could place these with one capability or another, or by themselves."""
ROLES = {"admin", "customer", "merchant", "role", "roles"}


def invoke(*arguments):
    done = CliRunner().invoke(strangler, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    played, driven, out = folder / "played.jsonl", folder / "driven.jsonl", folder / "facts.json"
    with logged_store() as store:
        source = ("--source", store.database_url)
        invoke("gather", "replay", "--requests", REQUESTS, "--url", store.base_url, *source, "--out", played)
        options = ("--duration", "8", "--writes-per-second", "15", "--reads-per-second", "30", "--seed", "3")
        command = [sys.executable, "-m", "legacy_monolith.traffic", "--base-url", store.base_url, "--ledger", driven]
        command += [*options, "--scope", "shop"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=90)
        assert json.loads(done.stdout)["requests"] > 200
        recorded = ("--requests", played, "--requests", driven)
        invoke("gather", "facts", *source, "--log", store.log("json"), *recorded, "--out", out)
    return out


@pytest.fixture(scope="module")
def assessed(facts):
    return json.loads(invoke("assess", "--facts", facts, "--json"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_business_capabilities_are_found_and_named(facts, seed):
    services = json.loads(invoke("assess", "--facts", facts, "--json", "--seed", seed))["services"]
    found = {name: set(tables) - ANYWHERE for name, tables in services.items()}
    assert {name: tables for name, tables in found.items() if tables} == CAPABILITIES


def test_placing_an_order_is_a_saga_with_its_compensations(assessed):
    (saga,) = (saga for saga in assessed["sagas"] if saga["functionality"] == "POST /api/orders")
    steps = {step["service"]: step for step in saga["steps"]}
    assert set(steps) == {"customers", "catalog", "orders", "inventory", "accounting"}
    assert (steps["catalog"]["kind"], steps["catalog"]["compensation"]) == ("check", None)
    # Stock may refuse what the order has written; what follows is repeated until it works.
    assert (steps["orders"]["kind"], steps["orders"]["compensation"]) == (
        "compensatable",
        "cancel_order_line, cancel_order",
    )
    assert (saga["pivot"], saga["semantic_lock"], saga["coordination"]) == ("inventory", "orders", "orchestration")
    assert steps["accounting"]["kind"] == "retriable"
    undone = {
        step["service"]: step["compensation"]
        for saga in assessed["sagas"]
        if saga["functionality"].endswith("/cancel")
        for step in saga["steps"]
    }
    # Reservations are made by placing, and only changed here.
    assert undone["inventory"] == "release_stock, restore_reservation"


def test_regional_orders_is_a_read_model_and_available_credit_is_treated(assessed):
    reads = {read["name"]: read for read in [*assessed["joins"], *assessed["queries"]]}
    regional = reads["GET /api/reports/regional-orders"]
    assert (regional["kind"], regional["treatment"]) == ("statement", "read_model")
    assert regional["services"] == ["catalog", "customers", "orders"]
    assert reads["revenue_by_day"]["treatment"] == "read_model"
    assert reads["GET /api/reports/revenue"]["treatment"] == "read_model"
    credit = reads["GET /api/customers/{customer_id}/available-credit"]
    assert credit["services"] == ["customers", "orders"]
    assert credit["treatment"] in {"read_model", "composition"}


def test_roles_are_no_services_and_what_is_locked_by_several_is_named(assessed):
    assert assessed["coupling"]["roles"] == []
    assert not ROLES & set(assessed["services"])
    locks = {lock["table"]: lock for lock in assessed["coupling"]["hot_locks"]}
    assert {"customers", "stock"} <= set(locks)
    assert locks["stock"]["strengths"] == ["NO KEY UPDATE"]
    assert set(locks["stock"]["calls"]) == {"inventory", "orders"}
    assert locks["stock"]["held_ms"] > 0
    assert "orders asks inventory" in locks["stock"]["advice"]


def test_every_key_between_capabilities_has_a_treatment(assessed):
    services = {table: service for service, tables in assessed["services"].items() for table in tables}
    keys = {(key["from"], key["to"]) for key in assessed["cut_foreign_keys"]}
    assert ("orders", "customers") in keys
    assert ("order_lines", "product") in keys
    assert all(services[child] != services[parent] for child, parent in keys)
    assert all(key["treatment"] and key["reason"] and key["todo"] for key in assessed["cut_foreign_keys"])
