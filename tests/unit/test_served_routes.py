"""Does an application serve an endpoint? Asked of applications that answer as the known frameworks do."""

import itertools
import re

import httpx
import pytest

from commands.asked_paths import filled, recorded_paths
from commands.served import verdicts
from migration_plans.gather.requests import RecordedRequest
from migration_plans.plan import Plan, RoutePlan

ORDER = RoutePlan(id="order", kind="read", methods=("GET",), path="/orders/{id}")
LINE = RoutePlan(id="line", kind="read", methods=("GET",), path="/orders/{id}/lines")
PAY = RoutePlan(id="pay", kind="write", methods=("POST",), path="/orders/{id}/pay")
LIST = RoutePlan(id="list", kind="read", methods=("GET",), path="/orders")
NEW = RoutePlan(id="new", kind="write", methods=("POST",), path="/orders")
EVERY = (ORDER, LINE, PAY, LIST, NEW)


def judged(answer, routes=EVERY, values=("1",)):
    """`answer`: (method, path) → (status, body) or a response."""

    def handle(request):
        found = answer(request.method, request.url.path)
        return found if isinstance(found, httpx.Response) else httpx.Response(found[0], text=found[1])

    def paths(route):
        return [re.sub(r"\{[^}]*\}", value, route.path) for value in values]

    with httpx.Client(transport=httpx.MockTransport(handle), base_url="http://app") as client:
        return dict(zip((route.id for route in routes), verdicts(client, routes, paths), strict=True))


def test_an_applications_own_404_is_told_from_the_routers():
    def flask(method, path):
        if method == "GET" and (found := re.fullmatch(r"/orders/(\w+)", path)):
            return httpx.Response(404, json={"error": f"order {found[1]} does not exist"})
        return 404, "<h1>Not Found</h1>"

    assert judged(flask)["order"] == "served"
    assert judged(flask)["line"] == "untold"
    assert judged(flask)["list"] == "unserved"


def test_a_404_that_names_path_time_and_request_is_still_the_routers():
    numbers = itertools.count(7)

    def spring(method, path):
        body = {"timestamp": f"2026-01-01T00:00:0{next(numbers)}", "status": 404, "path": path, "id": "7f3a90bc"}
        return httpx.Response(404, json=body)

    assert judged(spring) == {"order": "untold", "line": "untold", "pay": "untold", "list": "unserved", "new": "untold"}


def test_where_rows_and_paths_are_missed_with_the_same_page_a_value_that_exists_tells():
    def rails(method, path):
        return (200, "order") if method == "GET" and re.fullmatch(r"/orders/77(/lines)?", path) else (404, "public/404")

    assert judged(rails)["order"] == judged(rails)["line"] == "untold"
    assert judged(rails, values=("77", "1"))["order"] == judged(rails, values=("77", "1"))["line"] == "served"
    assert judged(rails)["pay"] == "untold"


def test_an_application_that_knows_options_says_what_is_not_there():
    def fastapi(method, path):
        return (200, "") if (method, path) == ("GET", "/orders") else (405 if path == "/orders" else 404, "")

    wrong = RoutePlan(id="wrong", kind="write", methods=("POST",), path="/order")
    found = judged(fastapi, (LIST, NEW, wrong))
    assert found == {"list": "served", "new": "served", "wrong": "unserved"}


@pytest.mark.parametrize("status", [200, 302, 401, 502])
def test_who_answers_every_path_alike_says_nothing(status):
    assert set(judged(lambda method, path: (status, f"you asked for {path}")).values()) == {"alike"}


def test_a_page_that_is_never_the_same_twice_is_compared_by_its_kind():
    tokens = (f"token-{letter * 9}" for letter in itertools.cycle("qwyu"))
    assert judged(lambda method, path: (404, next(tokens)))["order"] == "untold"
    assert judged(lambda method, path: (404, next(tokens)))["list"] == "unserved"


def test_only_one_form_of_the_slash_need_be_known():
    assert judged(lambda method, path: (200 if path == "/orders/" else 404, ""), (LIST,)) == {"list": "served"}


def test_recorded_paths_are_those_of_the_route_the_well_answered_first():
    item = {"targets": {"t": {"id": "id"}}}
    plan = Plan(move="m", service="s", why="w", tables={"t": item}, routes=(ORDER, PAY), sticky={"header": "x"})
    asked = [
        ("GET", "/orders/5?x=1", 404),
        ("GET", "/orders/6/", 200),
        ("GET", "/orders/6/", 200),
        ("GET", "/else", 200),
        ("HEAD", "/orders/8", 200),
        ("POST", "/orders/7/pay", 0),
    ]
    requests = [
        RecordedRequest(method=method, path=path, start=at, end=at, status=status)
        for at, (method, path, status) in enumerate(asked)
    ]
    assert recorded_paths(plan, requests) == {
        "order": ["/orders/6/", "/orders/8", "/orders/5"],
        "pay": ["/orders/7/pay"],
    }


def test_a_parameter_gets_a_value_by_the_word_before_it():
    values = {("orders", "id"): "a/b ä", ("lines", "sku"): None}
    path = filled("/orders/{id}/lines/{sku}", lambda word, name: values[word, name])
    assert path == "/orders/a%2Fb%20%C3%A4/lines/1"
    assert filled("/{id}", lambda word, name: word + name) == "/id"
