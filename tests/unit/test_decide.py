"""The pure decision: precedence, stickiness, granularity."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from router.decide import RequestFacts, bucket, decide
from router.routes import WHOLE, Backend, MoveRoutes, Pin, RouteRule, RouteTable, StickyKey

RULES = (
    RouteRule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"),
    RouteRule(id="create", methods=("POST",), path="/api/products", kind="write"),
)
MOVE = MoveRoutes(move="catalog", service="catalog", rules=RULES, sticky=StickyKey(header="x-customer-id"))
TOKEN = "operator-token"


def decision(path="/api/products/1", method="GET", headers=None, *, owner=None, draw=None, token=TOKEN, **fields):
    table = RouteTable(
        version=1,
        legacy=Backend(name="legacy", url="http://127.0.0.1:1"),
        services=(Backend(name="catalog", url="http://127.0.0.1:2"),),
        inspection=Backend(name="inspection", url="http://127.0.0.1:3"),
        gate=Backend(name="gate", url="http://127.0.0.1:4"),
        force_token=token,
        moves=(dataclasses.replace(MOVE, **fields),),
    )
    facts = RequestFacts(method=method, path=path, headers=headers or {}, gate_owner=owner, inspect_draw=draw)
    return decide(table, facts)


def outcome(*arguments, **options):
    found = decision(*arguments, **options)
    return found.backend, found.reason


def test_what_no_rule_matches_goes_to_legacy():
    assert outcome("/orders/1", read_share=WHOLE) == ("legacy", "unmatched")
    assert outcome(method="PATCH", read_share=WHOLE) == ("legacy", "unmatched")


def test_X59_a_request_without_key_goes_to_legacy_whatever_the_share():
    assert outcome(read_share=WHOLE) == ("legacy", "keyless")
    assert outcome(headers={"x-customer-id": ""}, read_share=WHOLE) == ("legacy", "keyless")


def test_once_everybody_moved_requests_without_key_may_follow():
    assert outcome(read_share=WHOLE, keyless_reads="service") == ("service-catalog", "keyless")


def test_X61_forced_before_pinned_before_inspected_before_share():
    key = {"x-customer-id": "7"}
    pins = (Pin(key="7", side="service"),)
    forced = {**key, "x-strangler-force": f"{TOKEN} legacy"}
    assert outcome(headers=forced, pins=pins, draw=0, inspect_share=WHOLE) == ("legacy", "forced")
    assert outcome(headers=key, pins=pins, draw=0, inspect_share=WHOLE) == ("service-catalog", "pinned")
    assert outcome(headers=key, draw=9, inspect_share=10, read_share=WHOLE) == ("inspection", "inspected")
    assert outcome(headers=key, draw=10, inspect_share=10, read_share=WHOLE) == ("service-catalog", "sticky")


def test_X61_a_forged_force_header_has_no_effect():
    for forged in ["service", "wrong service", f"{TOKEN}", f"{TOKEN}  service", f"{TOKEN} service,x", f"{TOKEN} both"]:
        assert outcome(headers={"x-strangler-force": forged}) == ("legacy", "keyless"), forged
    assert outcome(headers={"x-strangler-force": "None service"}, token=None) == ("legacy", "keyless")


def test_a_forced_header_never_moves_a_write():
    forced = {"x-strangler-force": f"{TOKEN} service"}
    assert outcome("/api/products", "POST", forced) == ("legacy-writes-catalog", "owner")


def test_writes_go_to_the_owner_or_where_the_gate_says():
    assert outcome("/api/products", "POST", write_owner="service") == ("service-writes-catalog", "owner")
    armed = {"gate_armed": True, "write_owner": "legacy"}
    assert outcome("/api/products", "POST", **armed) == (None, "gated")
    assert outcome("/api/products", "POST", owner="service", **armed) == ("service-writes-catalog", "gated")


def test_X62_no_spelling_of_a_path_gets_round_a_rule():
    for path in ["//api/products", "/api/x/../products", "/api/%70roducts/", "/api%2Fproducts?x", "/./api/products"]:
        assert decision(path, "POST", gate_armed=True).reason == "gated", path


def test_a_cookie_can_be_the_sticky_key():
    sticky = StickyKey(cookie="sid")
    found = decision(headers={"cookie": "a=1; sid=u7; sid=u8"}, sticky=sticky, pins=(Pin(key="u7", side="service"),))
    assert found.reason == "pinned"
    assert decision(headers={"cookie": "xsid=u7"}, sticky=sticky).reason == "keyless"


@given(st.text("abc123", min_size=1), st.integers(0, WHOLE), st.integers(0, WHOLE))
def test_X57_a_growing_share_moves_nobody_back(key, one, other):
    small, large = sorted((one, other))
    headers = {"x-customer-id": key}
    if decision(headers=headers, read_share=small).backend == "service-catalog":
        assert decision(headers=headers, read_share=large).backend == "service-catalog"


def test_X63_a_share_of_one_in_ten_thousand_is_met():
    moved = sum(bucket(f"customer-{number}") < 100 for number in range(200_000))
    assert 5 <= moved <= 45
    assert len({bucket(str(number)) for number in range(20_000)}) > 19_500
