"""The traffic generator decides the same things from the same seed, and its ledger says what happened."""

import itertools
import json
from random import Random

import pytest

from legacy_monolith.traffic.actions import OwnedCategory, OwnedProduct, User
from legacy_monolith.traffic.bootstrap import owned_product
from legacy_monolith.traffic.choosing import choose_read, choose_write
from legacy_monolith.traffic.crowd import Crowd
from legacy_monolith.traffic.ledger import FinishedRequest, Ledger, Tally
from legacy_monolith.traffic.market import READABLE_AFTER_S, Market, Start
from legacy_monolith.traffic.profiles import (
    BURST_PERIOD_S,
    PROFILES,
    arrivals,
    burst_factor,
    think_time_s,
    users_needed,
)
from legacy_monolith.traffic.settling import Settlement, outcome_of
from legacy_monolith.traffic.shop import choices_of

START = Start(products=[(1, "a"), (2, "b")], sellable=[7, 8, 9], categories=[1, 2, 3], customers=[5])
PRODUCT_FIELDS = (
    "name", "description", "category_id", "status", "tags", "attributes", "weight_grams", "version", "created_at",
    "updated_at",
)  # fmt: skip


def new_user(**fields):
    return User(number=1, customer_id=5, **fields)


def new_product(**fields):
    return OwnedProduct(**{"id": 10, "sku": "s", "made_here": False, "open_prices": {}, **fields})


def answer_to(action, number):
    """What a store that accepts everything would say."""
    columns = {"descr": "description", "attrs": "attributes"}
    values = action.write.values if action.write else None
    if action.write is None or values is None:
        return {"id": number}
    if action.write.entity != "product":
        return {"id": number, **values}
    shown = dict.fromkeys(PRODUCT_FIELDS) | {columns.get(name, name): value for name, value in values.items()}
    return {"id": number, "sku": "?", **shown, **action.write.key}


def decisions(seed, count=400):
    random, market, user = Random(seed), Market(run="r", start=START), new_user(products=[new_product()])
    settlement, made = Settlement(market), []
    for number in range(count):
        choose = choose_read if number % 3 == 0 else choose_write
        action = choose(market, user, number / 10, random)
        write = settlement.settle(user, action, 200, answer_to(action, 1000 + number), number / 10)
        made.append((action.endpoint, action.method, action.path, json.dumps(action.body), json.dumps(write)))
    return made


def test_same_seed_same_requests():
    assert decisions(3) == decisions(3)
    assert decisions(3) != decisions(4)


def test_every_kind_of_write_happens():
    endpoints = {endpoint for endpoint, *_ in decisions(5, 3000)}
    assert endpoints >= {
        "product.create", "product.update", "product.retire", "price.create", "price.delete", "assignment.put",
        "assignment.delete", "category.create", "category.update", "order.place", "order.pay", "order.cancel",
        "stock.adjust", "review.create", "product.get", "product.by_sku", "product.list", "product.search",
        "price.list", "category.get", "category.list", "category.products", "customer.available_credit", "order.get",
    }  # fmt: skip


def test_names_are_never_used_twice():
    bodies = [json.loads(body) or {} for _, method, _, body, _ in decisions(6, 2000) if method == "POST"]
    names = [body[field] for body in bodies for field in ("sku", "reference", "slug") if field in body]
    assert len(names) > 100
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("profile", PROFILES)
def test_arrivals_are_ordered_and_keep_the_rate(profile):
    starts = list(itertools.takewhile(lambda at: at < 200, arrivals(profile, 50, Random(1))))
    assert starts == sorted(starts)
    assert len(starts) == pytest.approx(50 * 200, rel=0.05)
    assert starts == list(itertools.takewhile(lambda at: at < 200, arrivals(profile, 50, Random(1))))


def test_no_rate_means_no_arrivals():
    assert list(arrivals("steady", 0, Random(1))) == []


def test_bursts_average_to_the_rate():
    moments = [burst_factor(BURST_PERIOD_S * n / 1000) for n in range(1000)]
    assert sum(moments) / len(moments) == pytest.approx(1.0)
    assert max(moments) > 2 * min(moments)


@pytest.mark.parametrize("profile", PROFILES)
def test_thinking_takes_time(profile):
    random = Random(2)
    assert all(think_time_s(profile, random) > 0 for _ in range(100))
    assert users_needed(profile, 300) >= 100


def test_a_new_row_is_read_only_after_a_while():
    market, random = Market(run="r", start=START), Random(1)
    market.product_made(10.0, 99, "fresh")
    early = {market.any_product(10.0 + READABLE_AFTER_S, random)[0] for _ in range(200)}
    late = {market.any_product(10.1 + READABLE_AFTER_S, random)[0] for _ in range(200)}
    assert 99 not in early
    assert 99 in late


def test_a_user_has_one_request_in_flight():
    crowd = Crowd(size=2, customers=[1], owned=[new_product(id=n) for n in range(5)], random=Random(1))
    first, second, newcomer = crowd.take(0.0), crowd.take(0.0), crowd.take(0.0)
    assert len({first.number, second.number, newcomer.number}) == 3
    assert len(first.products) + len(second.products) == 5
    assert newcomer.products == []
    crowd.give_back(first, ready_at=2.0)
    assert crowd.take(1.0) is not first
    assert crowd.take(2.0) is first


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, None, "ok"),
        (204, None, "ok"),
        (409, "credit_exceeded", "rejected"),
        (409, "out_of_stock", "rejected"),
        (409, "conflict", "failed"),
        (404, "not_found", "failed"),
        (503, "read_only", "failed"),
        (0, None, "failed"),
    ],
)
def test_outcomes(status, code, outcome):
    assert outcome_of(status, {"error": {"code": code}} if code else None) == outcome


def planned(endpoint, user, seed=0):
    """A write of that endpoint by that user."""
    random, market = Random(seed), Market(run="r", start=START)
    while (action := choose_write(market, user, 0.0, random)).endpoint != endpoint:
        pass
    return market, action


def test_acknowledged_writes_carry_key_values_and_count():
    product = new_product(open_prices={"EUR": 4, "USD": None})
    user = new_user(products=[product])
    market, action = planned("price.create", user)
    settlement = Settlement(market)
    currency = action.body["currency"]
    closed = product.open_prices[currency]
    body = {"id": 77, "product_id": 10, **action.body, "valid_from": "f", "valid_to": None}
    write = settlement.settle(user, action, 201, body, 0.0)
    assert write == {
        "entity": "price",
        "op": "upsert",
        "key": {"id": 77, "reference": action.body["reference"]},
        "values": body,
        "updates": 1,
        "closes": closed,
    }
    assert product.open_prices[currency] == 77
    _, deletion = planned("price.delete", user)
    write = settlement.settle(user, deletion, 204, None, 0.0)
    assert (write["op"], write["values"], write["updates"]) == ("delete", None, 2)
    assert product.open_prices[currency] is None
    assert product.made_prices == {}


def test_a_price_of_an_unknown_currency_does_not_say_what_it_closes():
    user = new_user(products=[new_product(open_prices={})])
    market, action = planned("price.create", user)
    body = {"id": 77, **action.write.values}
    assert "closes" not in Settlement(market).settle(user, action, 201, body, 0.0)


@pytest.mark.parametrize("status", [0, 500, 503])
def test_an_unknown_outcome_taints_the_product(status):
    product = new_product()
    user = new_user(products=[product])
    market, action = planned("product.update", user)
    write = Settlement(market).settle(user, action, status, None, 0.0)
    assert write["unknown"] is True
    assert write["values"] == action.write.values
    assert write["key"] == {"id": 10, "sku": "s"}
    assert product.tainted
    with_nothing_left = {choose_write(market, user, 0.0, Random(n)).product for n in range(200)}
    assert with_nothing_left == {None}


def test_an_unknown_creation_has_no_id():
    user = new_user()
    market, action = planned("product.create", user)
    write = Settlement(market).settle(user, action, 0, None, 0.0)
    assert write["key"] == {"sku": action.body["sku"]}
    assert user.products == []


def test_a_refused_write_leaves_no_write():
    category = OwnedCategory(id=1, slug="s")
    user = new_user(categories=[category])
    market, action = planned("category.update", user)
    assert Settlement(market).settle(user, action, 404, {"error": {"code": "not_found"}}, 0.0) is None
    assert not category.tainted


def test_an_order_is_paid_once_whatever_the_answer():
    user = new_user(unpaid_orders=[3])
    market, action = planned("order.pay", user)
    assert Settlement(market).settle(user, action, 0, None, 0.0) is None
    assert user.unpaid_orders == []


@pytest.mark.parametrize(
    ("price", "known"),
    [(None, {"EUR": None, "USD": None}), ({"currency": "EUR", "id": 4}, {"EUR": 4})],
)
def test_what_is_known_of_a_product_that_was_there(price, known):
    product = owned_product({"id": 1, "sku": "s", "price": price, "category_ids": [3, 2]})
    assert product.open_prices == known
    assert product.assigned == {2, 3}


def finished(**fields):
    shown = {
        "seq": 1, "t": 1.5, "ms": 2.0, "late_ms": 2.5, "endpoint": "product.get", "kind": "read", "moving": True,
        "method": "GET", "path": "/p", "status": 200, "outcome": "ok", "error": None, "side": None, "request_id": "r",
    }  # fmt: skip
    return FinishedRequest(**{**shown, **fields})


def test_ledger_lines(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.append({"type": "start"})
    ledger.append(finished(side="service").as_dict())
    ledger.append(finished(kind="write", write={"entity": "product", "x": "ü\u2028"}).as_dict())
    ledger.flush()
    lines = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    ledger.close()
    assert [line["type"] for line in lines] == ["start", "request", "request"]
    assert list(lines[1]) == [
        "type", "seq", "t", "ms", "late_ms", "endpoint", "kind", "moving", "method", "path", "status", "outcome",
        "error", "side", "request_id",
    ]  # fmt: skip
    assert lines[1]["side"] == "service"
    assert lines[2]["write"] == {"entity": "product", "x": "ü\u2028"}


def test_tally():
    tally = Tally()
    assert tally.summary(1.0)["p50_ms"] is None
    for number in range(100):
        tally.add(finished(ms=float(number)))
    tally.add(finished(kind="write", outcome="failed", ms=500.0, write={"unknown": True}))
    tally.add(finished(kind="write", ms=1.0, write={"entity": "product"}))
    summary = tally.summary(2.0)
    assert (summary["requests"], summary["ok"], summary["failed"], summary["writes"]) == (102, 101, 1, 2)
    assert (summary["acknowledged_writes"], summary["unknown_writes"]) == (1, 1)
    assert (summary["p99_ms"], summary["max_ms"]) == (99.0, 500.0)


class TinyStore:
    """Knows orders and sessions, and refuses what the store refuses."""

    def __init__(self):
        self.numbers, self.orders, self.tokens = itertools.count(1), {}, set()

    def answer(self, action):
        if action.token is not None:
            assert action.token in self.tokens
        area, _, verb = action.endpoint.partition(".")
        if action.endpoint == "session.open":
            token = f"token {next(self.numbers)}"
            self.tokens.add(token)
            return {"token": token}
        if action.endpoint == "session.close":
            self.tokens.remove(action.token)
        if action.endpoint == "order.place":
            number = next(self.numbers)
            self.orders[number] = {"status": "placed", "paid": False}
            return {"id": number, "invoice": {"id": number}}
        if area == "order" and verb in {"pay", "pick", "ship", "cancel"}:
            self._step(self.orders[int(action.path.split("/")[3])], verb)
        return answer_to(action, next(self.numbers))

    def _step(self, order, verb):
        if verb == "pay":
            assert not order["paid"]
            assert order["status"] != "cancelled"
            order["paid"] = True
            return
        assert order["status"] == {"pick": "placed", "ship": "picking", "cancel": "placed"}[verb]
        assert verb != "cancel" or not order["paid"]
        order["status"] = {"pick": "picking", "ship": "shipped", "cancel": "cancelled"}[verb]


def test_the_whole_shop_is_driven_and_no_order_takes_a_step_that_it_may_not():
    random, market, store = Random(3), Market(run="r", start=START), TinyStore()
    user, settlement, choices, seen = new_user(products=[new_product()]), Settlement(market), choices_of("shop"), set()
    for number in range(3000):
        action = choices["read" if number % 2 else "write"](market, user, number / 10, random)
        settlement.settle(user, action, 200, store.answer(action), number / 10)
        seen.add(action.endpoint)
    assert len(seen) == 51
    assert {"session.close", "order.cancel", "shipment.get", "report.regional_orders", "setting.put"} <= seen


def test_an_order_whose_step_has_no_answer_is_left_alone():
    random, market, store = Random(3), Market(run="r", start=START), TinyStore()
    user, settlement, write = new_user(), Settlement(market), choices_of("shop")["write"]
    for number in range(400):
        action = write(market, user, number / 10, random)
        lost = action.endpoint in {"order.pay", "order.pick"}
        settlement.settle(user, action, 0 if lost else 200, None if lost else store.answer(action), number / 10)
        assert not lost or int(action.path.split("/")[3]) not in {order.id for order in user.orders}
