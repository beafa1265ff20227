"""Rendering is pure, whole, and changes only what a change is about."""

import dataclasses
import json
from pathlib import Path

import pytest

from router.envoy.options import ProxyFiles, ProxyOptions
from router.envoy.publish import prune, publish, retired_clusters
from router.envoy.render import render
from router.errors import BadRoute
from router.routes import Backend, MoveRoutes, RouteRule, RouteTable, StickyKey

OPTIONS = ProxyOptions()
FILES = ProxyFiles(folder=Path("/proxy"))
RULES = (
    RouteRule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"),
    RouteRule(id="create", methods=("POST",), path="/api/products", kind="write"),
)
MOVE = MoveRoutes(move="catalog", service="catalog", rules=RULES, sticky=StickyKey(header="x-customer-id"))
TABLE = RouteTable(
    version=1,
    legacy=Backend(name="legacy", url="http://127.0.0.1:8000"),
    services=(Backend(name="catalog", url="https://catalog.internal"),),
    inspection=Backend(name="inspection", url="http://127.0.0.1:8002"),
    gate=Backend(name="gate", url="http://127.0.0.1:8003"),
    force_token="operator-token",
    moves=(MOVE,),
)


def with_move(**fields):
    return TABLE.with_move(dataclasses.replace(MOVE, **fields))


def route_names(table):
    content = json.loads(render(table, OPTIONS, FILES).routes)
    return [route["name"] for route in content["resources"][0]["virtual_hosts"][0]["routes"]]


def test_the_same_table_gives_the_same_bytes():
    assert render(TABLE, OPTIONS, FILES) == render(TABLE, OPTIONS, FILES)


def test_routes_are_tried_in_the_order_of_precedence_and_end_at_legacy():
    assert route_names(with_move(inspect_share=5, read_share=7)) == [
        "catalog/create/owner",
        "catalog/get/forced-legacy",
        "catalog/get/forced-service",
        "catalog/get/inspected",
        "catalog/get/inspected-keyless",
        "catalog/get/sticky",
        "catalog/get/keyless",
        "unmatched",
    ]


def test_an_armed_write_goes_nowhere_unless_the_gate_named_an_owner():
    content = json.loads(render(with_move(gate_armed=True), OPTIONS, FILES).routes)
    routes = {route["name"]: route for route in content["resources"][0]["virtual_hosts"][0]["routes"]}
    assert routes["catalog/create/gated"]["direct_response"]["status"] == 503
    assert routes["catalog/create/gated-service"]["route"]["cluster"] == "service-writes-catalog"
    asked = [name for name, route in routes.items() if "typed_per_filter_config" in route]
    assert asked == ["catalog/create/gated-legacy", "catalog/create/gated-service", "catalog/create/gated"]


def test_listeners_and_clusters_stay_the_same_whatever_the_progress():
    before = render(TABLE, OPTIONS, FILES)
    after = render(with_move(read_share=10, inspect_share=10, gate_armed=True, write_owner="service"), OPTIONS, FILES)
    assert (before.bootstrap, before.listeners, before.clusters) == (after.bootstrap, after.listeners, after.clusters)
    assert before.routes != after.routes


def test_X65_every_retry_is_safe_for_any_method():
    text = render(with_move(gate_armed=True, inspect_share=5), OPTIONS, FILES).routes
    content = json.loads(text)["resources"][0]["virtual_hosts"][0]["routes"]
    policies = [route["route"]["retry_policy"]["retry_on"] for route in content if "route" in route]
    assert set(policies) == {"connect-failure,refused-stream,reset-before-request"}


def test_an_https_backend_is_checked_against_its_name():
    clusters = {cluster["name"]: cluster for cluster in render(TABLE, OPTIONS, FILES).clusters}
    assert "transport_socket" not in clusters["legacy"]
    tls = clusters["service-catalog"]["transport_socket"]["typed_config"]
    assert tls["sni"] == "catalog.internal"
    assert tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert clusters["service-catalog"]["type"] == "STRICT_DNS"
    assert clusters["service-catalog"]["dns_lookup_family"] == "ALL"


def test_an_address_is_host_and_port():
    with pytest.raises(BadRoute):
        ProxyOptions(listen="8080")


def test_publishing_leaves_unchanged_files_alone_and_keeps_retired_clusters_until_pruned(tmp_path):
    def stamps():
        return {path.name: path.stat().st_ino for path in tmp_path.rglob("*.json")}

    publish(TABLE, tmp_path, OPTIONS)
    before = stamps()
    publish(TABLE, tmp_path, OPTIONS)
    assert stamps() == before
    publish(dataclasses.replace(with_move(read_share=9), version=2), tmp_path, OPTIONS)
    assert {name for name, inode in stamps().items() if inode != before[name]} == {"routes.json"}

    bare = dataclasses.replace(TABLE.without_move("catalog"), version=3)
    publish(bare, tmp_path, OPTIONS)
    assert retired_clusters(bare, tmp_path, OPTIONS) == {"legacy-writes-catalog", "service-writes-catalog"}
    prune(bare, tmp_path, OPTIONS)
    assert not retired_clusters(bare, tmp_path, OPTIONS)


def test_routes_stay_when_the_proxy_does_not_take_the_clusters(tmp_path):
    publish(TABLE, tmp_path, OPTIONS)
    before = (tmp_path / "rds" / "routes.json").read_text()

    def refuse(names):
        raise InterruptedError(*names)

    with pytest.raises(InterruptedError):
        publish(dataclasses.replace(TABLE, version=2), tmp_path, OPTIONS, before_routes=refuse)
    assert (tmp_path / "rds" / "routes.json").read_text() == before


def test_the_routes_file_is_private_as_it_holds_the_force_token(tmp_path):
    publish(TABLE, tmp_path, OPTIONS)
    assert (tmp_path / "rds" / "routes.json").stat().st_mode & 0o077 == 0
    texts = [path.read_text() for path in tmp_path.rglob("*.json") if path.name != "routes.json"]
    assert not any("operator-token" in text for text in texts)
