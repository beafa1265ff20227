"""Route values: what is refused, and in which order rules are tried."""

import dataclasses

import pytest

from router.errors import BadRoute, CollidingRoutes, UnknownMove, UnservedRoute
from router.paths import normalise
from router.routes import WHOLE, Backend, MoveRoutes, Pin, RouteRule, RouteTable, StickyKey
from strangler.errors import BadInput

LEGACY = Backend(name="legacy", url="http://127.0.0.1:8000")
CATALOG = Backend(name="catalog", url="http://127.0.0.1:8001")


def rule(id="get", methods=("GET",), path="/api/products/{id}", kind="read"):
    return RouteRule(id=id, methods=methods, path=path, kind=kind)


def move(*rules, **fields):
    given = {"move": "catalog", "service": "catalog", "sticky": StickyKey(header="x-customer-id"), **fields}
    return MoveRoutes(rules=rules or (rule(),), **given)


def table(*moves, **fields):
    return RouteTable(**{"version": 1, "legacy": LEGACY, "services": (CATALOG,), **fields}, moves=moves)


@pytest.mark.parametrize(
    "path",
    ["api", "/api/", "/a//b", "/a/{id}.json", "/a/{", "/a/{1x}", "/a?b", "/a b", "/a/../b", "/{x}/{x}", "/ä", "/%2f"],
)
def test_a_template_that_cannot_be_matched_as_meant_is_refused(path):
    with pytest.raises(BadRoute) as refused:
        rule(path=path)
    assert refused.value.thing == "rule 'get'"
    assert refused.value.mend


@pytest.mark.parametrize("methods", [(), ("get",), ("GET", "GET"), ("G T",)])
def test_methods_are_checked(methods):
    with pytest.raises(BadRoute):
        rule(methods=methods)


@pytest.mark.parametrize("share", [-1, WHOLE + 1, True])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(BadRoute, match="read_share"):
        move(read_share=share)
    with pytest.raises(BadRoute, match="inspect_share"):
        move(inspect_share=share)


def test_requests_without_key_are_never_the_canary():
    with pytest.raises(BadRoute, match="keyless_reads"):
        move(read_share=WHOLE - 1, keyless_reads="service")
    assert move(read_share=WHOLE, keyless_reads="service").keyless_reads == "service"


@pytest.mark.parametrize("fields", [{}, {"header": "a", "cookie": "b"}, {"header": "X-Id"}, {"cookie": "a b"}])
def test_a_sticky_key_is_one_header_or_one_cookie(fields):
    with pytest.raises(BadRoute):
        StickyKey(**fields)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://a", "http://a/b", "http://u:p@a", "http://a:0", "http://a:99999", "http://"]
)
def test_a_backend_is_a_bare_http_url(url):
    with pytest.raises(BadRoute) as refused:
        Backend(name="b", url=url)
    assert "u:p" not in str(refused.value)


def test_a_pin_is_given_once():
    pins = (Pin(key="7", side="service"), Pin(key="7", side="legacy"))
    with pytest.raises(BadRoute):
        move(pins=pins)


@pytest.mark.parametrize(
    ("routes", "fields"),
    [
        (move(service="nobody"), {}),
        (move(inspect_share=1), {}),
        (move(gate_armed=True), {}),
    ],
)
def test_X72_a_route_nobody_serves_is_refused_as_a_whole(routes, fields):
    with pytest.raises(UnservedRoute) as refused:
        table(routes, **fields)
    assert isinstance(refused.value, BadInput)
    assert "catalog" in refused.value.thing


def test_two_rules_of_the_same_shape_and_method_collide_even_across_moves():
    other = move(rule(id="other", methods=("POST", "GET"), path="/api/products/{sku}"), move="second")
    with pytest.raises(CollidingRoutes) as refused:
        table(move(), other)
    assert "catalog/get" in refused.value.thing
    assert "second/other" in refused.value.thing


def test_the_same_path_with_other_methods_does_not_collide():
    table(move(rule(), rule(id="patch", methods=("PATCH",), kind="write")))


def test_head_follows_get_of_a_read_only():
    assert rule().effective_methods == ("GET", "HEAD")
    assert rule(kind="write").effective_methods == ("GET",)
    assert rule(methods=("POST",)).effective_methods == ("POST",)


def test_the_more_specific_template_is_tried_first_however_they_are_given():
    paths = ["/api/{a}/{b}/c", "/api/{a}/x/{c}", "/api/products/{id}", "/api/products/by-sku/{sku}", "/"]
    rules = [rule(id=str(index), path=path) for index, path in enumerate(paths)]
    forward = [each.path for _, each in table(move(*rules)).ordered_rules]
    backward = [each.path for _, each in table(move(*reversed(rules))).ordered_rules]
    assert forward == backward
    assert forward.index("/api/products/by-sku/{sku}") < forward.index("/api/{a}/x/{c}")
    assert forward.index("/api/{a}/x/{c}") < forward.index("/api/{a}/{b}/c")


def test_a_move_is_replaced_by_name_and_removed_by_name():
    first = table(move())
    changed = first.with_move(dataclasses.replace(first.move("catalog"), read_share=5))
    assert changed.move("catalog").read_share == 5
    assert not changed.without_move("catalog").moves
    with pytest.raises(UnknownMove):
        first.move("billing")


def test_the_force_token_is_not_shown():
    assert "secret-token" not in repr(table(force_token="secret-token"))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?c=/d//e", "/a/b"),
        ("//a///b", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/%61pi%2Fx%5cy", "/api/x/y"),
        ("/a/..", "/"),
        ("/../../a", "/a"),
        ("/a/b/", "/a/b/"),
        ("/a%20b%C3%A4", "/a%20b%C3%A4"),
        ("/a/.", "/a/"),
    ],
)
def test_X62_spellings_of_one_path_are_one_path(target, path):
    assert normalise(target) == path


def test_normalising_twice_is_normalising_once():
    for target in ["//a/../%2e/b", "/%2561", "/a%2f%2fb/.", "/..//x"]:
        once = normalise(target)
        assert once == normalise(once) or "%25" in target
