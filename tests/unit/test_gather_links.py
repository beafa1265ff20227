"""A recorded run becomes one that can be played again: what is taken from which answer, and what is not."""

import json

import pytest

from migration_plans.errors import LogUnreadable
from migration_plans.gather.exchanges import recorded_or_written, revealed, secrets_in
from migration_plans.gather.links import Exchange, linked
from migration_plans.gather.plays import filled, picked

SECRET = "hidden-0123456789abcdef"


def asked(method, path, answer=None, **more):
    headers = more.pop("headers", {})
    if "json" in more:
        headers = {"content-type": "application/json", **headers}
        more["body"] = json.dumps(more.pop("json"))
    return Exchange(method=method, path=path, headers=headers, body=more.get("body"), answer=answer or {})


def paths(*exchanges):
    return [play.path for play in linked(exchanges)]


def test_the_id_that_a_write_answers_with_is_used_in_paths_bodies_and_queries():
    first, *others = linked(
        [
            asked("POST", "/api/orders", {"json": {"order": {"id": 12, "total": 3}}}),
            asked("GET", "/api/orders/12/lines?order_id=12&limit=12"),
            asked("POST", "/api/payments", json={"order_id": 12, "amount": 12, "orderId": "12"}),
        ]
    )
    assert first.save == {"order_id": "order.id"}
    assert others[0].path == "/api/orders/${order_id}/lines?order_id=${order_id}&limit=12"
    assert json.loads(others[1].body) == {"order_id": "${order_id}", "amount": 12, "orderId": "${order_id}"}
    assert json.loads(filled(others[1].body, {"order_id": 70}, thing="x"))["order_id"] == 70
    assert others[0].recorded == {"order_id": 12}
    # Endpoints are named by the paths that were asked.
    assert others[0].template is None


def test_what_a_client_knew_before_any_answer_is_not_taken_from_one():
    assert paths(
        asked("GET", "/products/7", {"json": {"id": 7, "sku": "AB-00017"}}),
        asked("GET", "/products/7/stock"),
        asked("GET", "/skus/AB-00017"),
    ) == ["/products/7", "/products/7/stock", "/skus/${sku_id}"]


def test_small_numbers_that_are_equal_by_chance_are_no_links():
    assert paths(
        asked("POST", "/orders", {"json": {"id": 3, "quantity": 4}}),
        asked("GET", "/customers/3"),
        asked("GET", "/customers/4"),
        asked("GET", "/orders/3"),
    ) == ["/orders", "/customers/3", "/customers/4", "/orders/${order_id}"]


def test_a_write_that_has_no_ids_of_its_own_answers_with_those_of_others():
    checkout, order = asked("POST", "/checkout", {"json": {"id": 9}}), asked("GET", "/orders/9")
    assert paths(checkout, order) == ["/checkout", "/orders/${order_id}"]
    # Somebody else's 9 was there before: which one is meant cannot be told.
    listed = asked("GET", "/users", {"json": [{"id": number} for number in range(200)]})
    assert paths(listed, checkout, order) == ["/users", "/checkout", "/orders/9"]


def test_cookies_hidden_fields_redirects_and_tokens():
    signed_in, joined, last = linked(
        [
            asked("GET", "/login", {"inputs": {"csrf": "tok-12345678"}, "cookies": {"sid": SECRET}}),
            asked("POST", "/join", {"location": "/people/5?x=1", "json": {"token": "0123456789abcdef"}}),
            asked(
                "POST",
                "/people/5",
                headers={
                    "cookie": f"theme=dark; sid={SECRET}",
                    "authorization": "Bearer 0123456789abcdef",
                    "content-type": "application/x-www-form-urlencoded",
                },
                body="csrf=tok-12345678&name=a+b",
            ),
        ]
    )
    assert signed_in.save == {"csrf": "@input.csrf", "sid": "@cookie.sid"}
    assert joined.save == {"people_id": "@location.2", "authorization": "token"}
    assert last.headers["cookie"] == "theme=dark; sid=${sid}"
    assert last.headers["authorization"] == "Bearer ${authorization}"
    assert last.body == "csrf=${csrf}&name=a%20b"
    assert secrets_in([signed_in, joined, last]) == {}
    answer = {"inputs": {"csrf": "1"}, "cookies": {"sid": "2"}, "location": "http://x/people/6", "json": {"token": "3"}}
    saved = {**signed_in.save, **joined.save}
    assert {name: picked(answer, place) for name, place in saved.items()} == {
        "csrf": "1",
        "sid": "2",
        "people_id": "6",
        "authorization": "3",
    }


def test_the_first_answer_that_held_a_value_is_asked_and_two_values_have_two_names():
    orders = [asked("POST", "/orders", {"json": {"id": number}}) for number in (5, 6)]
    listed = asked("GET", "/orders", {"json": [{"id": 5}, {"id": 6}]})
    first, second, third, *shown = linked([*orders, listed, asked("GET", "/orders/6"), asked("GET", "/orders/5")])
    assert (first.save, second.save, third.save) == ({"order_id_2": "id"}, {"order_id": "id"}, {})
    assert [play.path for play in shown] == ["/orders/${order_id}", "/orders/${order_id_2}"]


@pytest.mark.parametrize("text", ["${a}", "a${", '"${a}"', "$${a}"])
def test_what_looks_like_a_place_stays_what_it_was(text):
    (play,) = linked([asked("POST", "/x", json={"note": text})])
    assert json.loads(filled(play.body, play.recorded, thing="x")) == {"note": text}


def test_a_body_without_places_is_played_as_it_was_sent():
    body = '{"price":1.10,   "n": 1e2}'
    (play,) = linked([asked("POST", "/x", headers={"content-type": "application/json"}, body=body)])
    assert play.body == body


@pytest.mark.parametrize("tree", [[], {}, None, 7, {"a": {"b": [[[]]]}}, {"": 5, "a.b": 7}, [True, 1.5, "x" * 9999]])
def test_answers_of_any_form_are_read(tree):
    play, _ = linked([asked("GET", "/a", {"json": tree}), asked("POST", "/b/7", json=tree)])
    assert play.path == "/a"


def test_secrets_that_no_answer_gave_are_named_and_can_be_given():
    (play,) = linked([asked("POST", "/login", json={"password": SECRET}, headers={"authorization": f"Basic {SECRET}"})])
    assert secrets_in([play]) == {SECRET: "POST /login"}
    known = revealed(play, {SECRET: 'a"b'})
    assert json.loads(known.body) == {"password": 'a"b'}
    assert known.headers["authorization"] == 'Basic a"b'


def test_lines_of_a_record_are_played_in_order_of_time_and_what_cannot_be_is_named():
    lines = [
        {
            "method": "get",
            "path": "/orders/8",
            "start": 2.0,
            "end": 3,
            "answer": {},
            "headers": {"Host": "x", "A": "b"},
        },
        {"method": "POST", "path": "/orders", "start": 1.0, "end": 2, "answer": {"json": {"id": 8}}},
        {"method": "GET", "path": "/ws", "start": 1.0, "end": 2, "status": 101, "answer": {}},
        {"method": "POST", "path": "/upload", "start": 4.0, "end": 5, "answer": {}, "body_left_out": 7},
        {"method": "GET", "path": "/bare", "start": 4.0, "end": 5},
    ]
    said = []
    text = "\n".join(map(json.dumps, lines)) + '\n{"method": "GE'
    plays = recorded_or_written(text, thing="x", known={}, say=said.append)
    assert [(play.method, play.path) for play in plays] == [("POST", "/orders"), ("GET", "/orders/${order_id}")]
    assert plays[1].headers == {"a": "b"}
    assert len(said) == 3 and "line 6" in said[0] and "/upload" in said[1] and "--bodies" in said[2]
    with pytest.raises(LogUnreadable, match="line 2"):
        recorded_or_written(text.replace('{"method": "POST"', '{"method" "POST"', 1), thing="x", known={}, say=print)


def test_a_har_document_is_linked_by_its_contents():
    def entry(method, path, answer):
        return {
            "request": {"method": method, "url": f"https://shop.example{path}", "headers": []},
            "response": {"content": {"mimeType": "application/json; charset=utf-8", "text": json.dumps(answer)}},
        }

    har = {"log": {"entries": [entry("POST", "/orders", {"id": 4}), entry("GET", "/orders/4?a=b", {})]}}
    plays = recorded_or_written(json.dumps(har), thing="x", known={}, say=print)
    assert [play.path for play in plays] == ["/orders", "/orders/${order_id}?a=b"]
    with pytest.raises(LogUnreadable, match="entry 1"):
        recorded_or_written(json.dumps({"log": {"entries": [{}]}}), thing="x", known={}, say=print)
