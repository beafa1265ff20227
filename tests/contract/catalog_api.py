"""The catalog HTTP contract, told by plain functions, so that any server that answers it can be held to it.

Every check takes an `httpx.Client` (or something with its `get/post/patch/put/delete`), already pointed at the server,
and creates its own data through the API alone. Run them all with `check_catalog_contract(client)`, or one by one from
`CHECKS` for a test per check. What the one-line description of an endpoint leaves open is settled here:

* Validation comes first (400 `invalid`), then existence of what the *path* names (404 `not_found`), then unique keys
  (409 `conflict`). A category or parent named in the *body* that does not exist is 400 `invalid`.
* A body must be a JSON object; unknown fields, wrong JSON types (booleans are no integers, numbers are no amounts),
  text with U+0000, and a PATCH without any field are 400 `invalid`. `null` is accepted for description, weight_grams,
  parent_id and reference; everywhere else it is `invalid`.
* Ids in a path that are no non-negative bigint are 404. Query parameters out of range are 400 (`limit` is 1..100).
* Lengths: sku 1..40, name 1..200, category name and slug 1..80, reference 1..64. Integers fit in int4.
  weight_grams is not negative.
  `amount` is a string of 1..10 digits with at most two decimals and comes back with exactly two;
  currency is `[A-Z]{3}`.
* `next_after_id` is the last id of a full page and null for a page shorter than `limit`.
* `category_id=` filters by the product's own category; `/api/categories/{id}/products` lists products *assigned* by
  `/api/products/{id}/categories/{category_id}`. `q` is a literal, case-insensitive part of name or sku.
* PUT of an assignment without a body or without `rank` means rank 0. A rank change moves `category_ids`.
* Only PATCH and retire count `version` up; prices and assignments leave the product row alone.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
PRODUCT_KEYS = [
    "id", "sku", "name", "description", "category_id", "status", "tags", "attributes", "weight_grams", "version",
    "created_at", "updated_at", "price", "category_ids",
]  # fmt: skip
PRICE_KEYS = ["id", "product_id", "currency", "amount", "reference", "valid_from", "valid_to"]
OPEN_PRICE_KEYS = ["id", "currency", "amount", "reference", "valid_from"]
CATEGORY_KEYS = ["id", "parent_id", "name", "slug", "position"]
NO_SUCH_ID = 9_000_000_000_000_000_000


class Answer(Protocol):
    """What a check looks at; `httpx.Response` has it."""

    @property
    def status_code(self) -> int: ...
    @property
    def content(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def json(self) -> Any: ...


class Client(Protocol):
    """The part of `httpx.Client` that the checks use."""

    def get(self, url: str, *, params: Any = None, headers: Any = None) -> Answer: ...
    def post(self, url: str, *, json: Any = None, content: Any = None, headers: Any = None) -> Answer: ...
    def patch(self, url: str, *, json: Any = None) -> Answer: ...
    def put(self, url: str, *, json: Any = None) -> Answer: ...
    def delete(self, url: str) -> Answer: ...


def check_catalog_contract(client: Client) -> None:
    """Run every check, in order."""
    for check in CHECKS:
        check(client)


# --- products ---------------------------------------------------------------------------------------------------------


def check_product_is_created_with_defaults(client: Client) -> None:
    category = _new_category(client)
    sku = _unique("sku")
    product = _body(
        client.post("/api/products", json={"sku": sku, "name": "Kettle", "category_id": category["id"]}), 201
    )
    assert list(product) == PRODUCT_KEYS
    assert product["sku"] == sku
    assert product["name"] == "Kettle"
    assert product["category_id"] == category["id"]
    assert product["status"] == "draft"
    assert product["version"] == 1
    assert (product["description"], product["weight_grams"], product["price"]) == (None, None, None)
    assert (product["tags"], product["attributes"], product["category_ids"]) == ([], {}, [])
    assert TIMESTAMP.fullmatch(product["created_at"])
    assert TIMESTAMP.fullmatch(product["updated_at"])


def check_product_keeps_every_field(client: Client) -> None:
    category = _new_category(client)
    fields = {
        "sku": _unique("sku"),
        "name": 'Tee "pot" Ünïcode 茶 \\ %_',
        "description": "long " * 4000 + "\n\ttail\u2028",
        "category_id": category["id"],
        "status": "active",
        "tags": ["b", "a", "", 'q"uote', "ü,{}"],
        "attributes": {"z": 1, "a": {"deep": [1, 2.5, None, True, "x"]}, "big": 12345678901234567890, "text": "1"},
        "weight_grams": 0,
    }
    product = _body(client.post("/api/products", json=fields), 201)
    assert {key: product[key] for key in fields} == fields
    assert _body(client.get(f"/api/products/{product['id']}")) == product
    assert _body(client.get(f"/api/products/by-sku/{fields['sku']}")) == product


def check_product_creation_refuses(client: Client) -> None:
    category = _new_category(client)
    good = {"sku": _unique("sku"), "name": "ok", "category_id": category["id"]}
    bad: list[dict[str, Any]] = [
        {},
        {**good, "sku": ""},
        {**good, "sku": "s" * 41},
        {**good, "sku": None},
        {**good, "name": "n" * 201},
        {**good, "name": 5},
        {**good, "name": "nul\u0000"},
        {**good, "description": 5},
        {**good, "category_id": None},
        {**good, "category_id": "1"},
        {**good, "category_id": True},
        {**good, "category_id": NO_SUCH_ID},
        {**good, "status": "live"},
        {**good, "status": None},
        {**good, "tags": "a"},
        {**good, "tags": [1]},
        {**good, "attributes": []},
        {**good, "attributes": None},
        {**good, "weight_grams": -1},
        {**good, "weight_grams": 1.5},
        {**good, "weight_grams": 2**31},
        {**good, "version": 7},
        {**good, "unknown": 1},
    ]
    for fields in bad:
        _refused(client.post("/api/products", json=fields), 400, "invalid", fields)
    _refused(client.post("/api/products", json=[good]), 400, "invalid")
    json_type = {"content-type": "application/json"}
    _refused(client.post("/api/products", content=b"{not json", headers=json_type), 400, "invalid")
    _body(client.post("/api/products", json=good), 201)
    _refused(client.post("/api/products", json=good), 409, "conflict")


def check_product_patch_counts_versions(client: Client) -> None:
    product = _new_product(client, description="before", weight_grams=5)
    other = _new_category(client)
    url = f"/api/products/{product['id']}"
    changes: list[dict[str, Any]] = [
        {"name": "after"},
        {"description": None},
        {"category_id": other["id"]},
        {"status": "active"},
        {"tags": ["x", "y"]},
        {"attributes": {"k": [1, {"n": None}]}},
        {"weight_grams": None},
        {"name": "both", "weight_grams": 7, "description": "again"},
        {"name": "both"},
    ]
    expected = product
    for count, change in enumerate(changes, start=2):
        changed = _body(client.patch(url, json=change))
        assert list(changed) == PRODUCT_KEYS
        assert changed["updated_at"] > expected["updated_at"], change
        expected = {**expected, **change, "version": count, "updated_at": changed["updated_at"]}
        assert changed == expected, change
    assert _body(client.get(url)) == expected


def check_product_patch_refuses(client: Client) -> None:
    product = _new_product(client)
    url = f"/api/products/{product['id']}"
    bad: list[Any] = [
        {},
        [],
        {"sku": "other"},
        {"name": None},
        {"name": ""},
        {"status": "live"},
        {"tags": None},
        {"category_id": NO_SUCH_ID},
        {"id": 5},
        {"version": 9},
    ]
    for change in bad:
        _refused(client.patch(url, json=change), 400, "invalid", change)
    _refused(client.patch(f"/api/products/{NO_SUCH_ID}", json={"name": "x"}), 404, "not_found")
    assert _body(client.get(url)) == product


def check_product_retires(client: Client) -> None:
    product = _new_product(client, status="active")
    retired = _body(client.post(f"/api/products/{product['id']}/retire"))
    assert (retired["status"], retired["version"]) == ("retired", 2)
    again = _body(client.post(f"/api/products/{product['id']}/retire"))
    assert (again["status"], again["version"]) == ("retired", 3)
    _refused(client.post(f"/api/products/{NO_SUCH_ID}/retire"), 404, "not_found")


def check_unknown_product_is_not_found(client: Client) -> None:
    missing = ("/api/products/", "/api/products/by-sku/")
    paths = [
        f"{missing[0]}{NO_SUCH_ID}",
        f"{missing[0]}0",
        f"{missing[0]}{2**63}",
        f"{missing[0]}abc",
        f"{missing[1]}{_unique('no')}",
        f"{missing[0]}{NO_SUCH_ID}/prices",
    ]
    for path in paths:
        _refused(client.get(path), 404, "not_found", path)


def check_product_list_pages_and_filters(client: Client) -> None:
    category = _new_category(client)
    mark = uuid.uuid4().hex[:12]
    made = [
        _new_product(client, category_id=category["id"], name=f"Lamp {mark} {n}", status=("draft", "active")[n % 2])
        for n in range(5)
    ]
    ids = [product["id"] for product in made]
    assert ids == sorted(ids)
    first = _body(client.get("/api/products", params={"category_id": category["id"], "limit": 2}))
    assert list(first) == ["items", "next_after_id"]
    assert first == {"items": made[:2], "next_after_id": ids[1]}
    rest = {"category_id": category["id"], "after_id": ids[1], "limit": 100}
    assert _body(client.get("/api/products", params=rest)) == {"items": made[2:], "next_after_id": None}
    assert _listed(client, category_id=category["id"], status="active") == [ids[1], ids[3]]
    assert _listed(client, q=f"lAMP {mark}") == ids
    assert _listed(client, q=made[3]["sku"].upper()) == [ids[3]]
    assert _listed(client, q=f"{mark}%") == []
    assert _listed(client, q=f"Lamp_{mark}") == []
    assert _listed(client, category_id=NO_SUCH_ID) == []
    full = _body(client.get("/api/products"))
    assert len(full["items"]) <= 20
    listed = [product["id"] for product in full["items"]]
    assert listed == sorted(listed)


def check_list_parameters_are_validated(client: Client) -> None:
    bad = [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"after_id": "x"},
        {"category_id": "x"},
        {"status": "live"},
    ]
    for params in bad:
        _refused(client.get("/api/products", params=params), 400, "invalid", params)
    category = _new_category(client)
    _refused(client.get(f"/api/categories/{category['id']}/products", params={"limit": "0"}), 400, "invalid")


# --- prices -----------------------------------------------------------------------------------------------------------


def check_price_replaces_the_open_one(client: Client) -> None:
    product = _new_product(client)
    url = f"/api/products/{product['id']}/prices"
    assert _body(client.get(url)) == {"items": []}
    first = _new_price(client, product, amount="12.30")
    assert list(first) == PRICE_KEYS
    assert first["product_id"] == product["id"]
    assert first["valid_to"] is None
    assert TIMESTAMP.fullmatch(first["valid_from"])
    second = _new_price(client, product, amount="9999999999.99")
    assert second["valid_from"] > first["valid_from"]
    assert _body(client.get(url)) == {"items": [second, {**first, "valid_to": second["valid_from"]}]}
    shown = _body(client.get(f"/api/products/{product['id']}"))
    assert list(shown["price"]) == OPEN_PRICE_KEYS
    assert shown["price"] == {key: second[key] for key in OPEN_PRICE_KEYS}
    assert shown == {**product, "price": shown["price"]}


def check_prices_of_two_currencies_stay_open(client: Client) -> None:
    product = _new_product(client)
    euro = _new_price(client, product, currency="EUR", amount="1")
    dollar = _new_price(client, product, currency="USD", amount="2.5")
    assert (euro["amount"], dollar["amount"]) == ("1.00", "2.50")
    prices = _body(client.get(f"/api/products/{product['id']}/prices"))["items"]
    assert prices == [dollar, euro]
    assert _body(client.get(f"/api/products/{product['id']}"))["price"]["id"] == dollar["id"]


def check_price_reference_is_optional_and_unique(client: Client) -> None:
    product = _new_product(client)
    url = f"/api/products/{product['id']}/prices"
    assert _body(client.post(url, json={"currency": "EUR", "amount": "3"}), 201)["reference"] is None
    assert _body(client.post(url, json={"currency": "EUR", "amount": "4", "reference": None}), 201)["reference"] is None
    taken = _new_price(client, product)
    again = {"currency": "EUR", "amount": "5", "reference": taken["reference"]}
    _refused(client.post(url, json=again), 409, "conflict")
    assert _body(client.get(f"/api/products/{product['id']}"))["price"]["id"] == taken["id"]


def check_price_creation_refuses(client: Client) -> None:
    product = _new_product(client)
    url = f"/api/products/{product['id']}/prices"
    good = {"currency": "EUR", "amount": "1.00", "reference": _unique("ref")}
    bad: list[dict[str, Any]] = [
        {},
        {**good, "currency": "eur"},
        {**good, "currency": "EURO"},
        {**good, "amount": 1},
        {**good, "amount": "1.001"},
        {**good, "amount": "-1"},
        {**good, "amount": "1e3"},
        {**good, "amount": "12345678901"},
        {**good, "amount": ""},
        {**good, "reference": "r" * 65},
        {**good, "reference": ""},
        {**good, "valid_from": "2026-01-01T00:00:00.000000Z"},
    ]
    for fields in bad:
        _refused(client.post(url, json=fields), 400, "invalid", fields)
    _refused(client.post(f"/api/products/{NO_SUCH_ID}/prices", json=good), 404, "not_found")
    assert _body(client.get(url)) == {"items": []}


def check_price_is_deleted_once(client: Client) -> None:
    product = _new_product(client)
    first, second = _new_price(client, product), _new_price(client, product)
    _gone(client.delete(f"/api/prices/{second['id']}"))
    _refused(client.delete(f"/api/prices/{second['id']}"), 404, "not_found")
    _refused(client.delete(f"/api/prices/{NO_SUCH_ID}"), 404, "not_found")
    left = _body(client.get(f"/api/products/{product['id']}/prices"))["items"]
    assert [(price["id"], price["valid_to"]) for price in left] == [(first["id"], second["valid_from"])]
    assert _body(client.get(f"/api/products/{product['id']}")) == product


# --- assignments ------------------------------------------------------------------------------------------------------


def check_assignment_is_an_upsert(client: Client) -> None:
    product = _new_product(client)
    one, two, three = _new_category(client), _new_category(client), _new_category(client)
    url = f"/api/products/{product['id']}/categories"
    assigned = _body(client.put(f"{url}/{one['id']}", json={"rank": 5}))
    assert list(assigned) == ["product_id", "category_id", "rank"]
    assert assigned == {"product_id": product["id"], "category_id": one["id"], "rank": 5}
    assert _body(client.put(f"{url}/{two['id']}"))["rank"] == 0
    assert _body(client.put(f"{url}/{three['id']}", json={"rank": 5}))["rank"] == 5
    assert _assigned(client, product) == [two["id"], one["id"], three["id"]]
    _body(client.put(f"{url}/{one['id']}", json={"rank": -1}))
    assert _assigned(client, product) == [one["id"], two["id"], three["id"]]
    assert _body(client.put(f"{url}/{one['id']}", json={}))["rank"] == 0
    assert _body(client.get(f"/api/products/{product['id']}"))["version"] == 1


def check_assignment_is_deleted_once(client: Client) -> None:
    product, category = _new_product(client), _new_category(client)
    url = f"/api/products/{product['id']}/categories/{category['id']}"
    _refused(client.delete(url), 404, "not_found")
    _body(client.put(url, json={"rank": 1}))
    _gone(client.delete(url))
    _refused(client.delete(url), 404, "not_found")
    assert _assigned(client, product) == []


def check_assignment_refuses(client: Client) -> None:
    product, category = _new_product(client), _new_category(client)
    url = f"/api/products/{product['id']}/categories"
    for body in ({"rank": "1"}, {"rank": None}, {"rank": 2**31}, {"rank": True}, {"order": 1}):
        _refused(client.put(f"{url}/{category['id']}", json=body), 400, "invalid", body)
    _refused(client.put(f"{url}/{NO_SUCH_ID}", json={}), 404, "not_found")
    _refused(client.put(f"/api/products/{NO_SUCH_ID}/categories/{category['id']}", json={}), 404, "not_found")


# --- categories -------------------------------------------------------------------------------------------------------


def check_category_is_created_and_listed(client: Client) -> None:
    parent = _new_category(client)
    assert list(parent) == CATEGORY_KEYS
    assert (parent["parent_id"], parent["position"]) == (None, 0)
    child = _new_category(client, parent_id=parent["id"], position=-3, name="Küche")
    assert (child["parent_id"], child["position"], child["name"]) == (parent["id"], -3, "Küche")
    assert _body(client.get(f"/api/categories/{child['id']}")) == child
    listed = _body(client.get("/api/categories"))
    assert list(listed) == ["items"]
    ids = [category["id"] for category in listed["items"]]
    assert ids == sorted(ids)
    assert parent in listed["items"]
    assert child in listed["items"]


def check_category_is_patched(client: Client) -> None:
    parent, category = _new_category(client), _new_category(client)
    url = f"/api/categories/{category['id']}"
    change = {"name": "Renamed", "slug": _unique("slug"), "parent_id": parent["id"], "position": 4}
    assert _body(client.patch(url, json=change)) == {**category, **change}
    assert _body(client.patch(url, json={"parent_id": None})) == {**category, **change, "parent_id": None}
    assert _body(client.get(url)) == {**category, **change, "parent_id": None}


def check_category_refuses(client: Client) -> None:
    category = _new_category(client)
    good = {"name": "ok", "slug": _unique("slug")}
    bad: list[dict[str, Any]] = [
        {},
        {**good, "slug": "s" * 81},
        {**good, "slug": ""},
        {**good, "name": None},
        {**good, "parent_id": NO_SUCH_ID},
        {**good, "position": "1"},
        {**good, "position": None},
        {**good, "id": 4},
    ]
    for fields in bad:
        _refused(client.post("/api/categories", json=fields), 400, "invalid", fields)
    _refused(client.post("/api/categories", json={**good, "slug": category["slug"]}), 409, "conflict")
    url = f"/api/categories/{category['id']}"
    for change in ({}, {"parent_id": category["id"]}, {"parent_id": NO_SUCH_ID}, {"slug": None}, {"extra": 1}):
        _refused(client.patch(url, json=change), 400, "invalid", change)
    other = _new_category(client)
    _refused(client.patch(url, json={"slug": other["slug"]}), 409, "conflict")
    _refused(client.get(f"/api/categories/{NO_SUCH_ID}"), 404, "not_found")
    _refused(client.patch(f"/api/categories/{NO_SUCH_ID}", json={"name": "x"}), 404, "not_found")
    _refused(client.get(f"/api/categories/{NO_SUCH_ID}/products"), 404, "not_found")
    assert _body(client.get(url)) == category


def check_category_lists_assigned_products(client: Client) -> None:
    category = _new_category(client)
    url = f"/api/categories/{category['id']}/products"
    assert _body(client.get(url)) == {"items": [], "next_after_id": None}
    _new_product(client, category_id=category["id"])
    products = [_new_product(client) for _ in range(3)]
    for product in products:
        _body(
            client.put(f"/api/products/{product['id']}/categories/{category['id']}", json={"rank": -product["id"] % 7})
        )
    shown = [{**product, "category_ids": [category["id"]]} for product in products]
    assert _body(client.get(url, params={"limit": 2})) == {"items": shown[:2], "next_after_id": products[1]["id"]}
    after = {"limit": 2, "after_id": products[1]["id"]}
    assert _body(client.get(url, params=after)) == {"items": shown[2:], "next_after_id": None}


# --- around -----------------------------------------------------------------------------------------------------------


def check_health_and_request_id(client: Client) -> None:
    assert _body(client.get("/healthz")) == {"status": "ok"}
    token = _unique("req")
    answer = client.get("/api/categories", headers={"x-request-id": token, "x-customer-id": "7"})
    assert answer.headers["x-request-id"] == token
    assert answer.headers["content-type"] == "application/json"
    missing = client.get(f"/api/products/{NO_SUCH_ID}", headers={"x-request-id": token})
    assert missing.headers["x-request-id"] == token


CHECKS: tuple[Callable[[Client], None], ...] = (
    check_health_and_request_id,
    check_product_is_created_with_defaults,
    check_product_keeps_every_field,
    check_product_creation_refuses,
    check_product_patch_counts_versions,
    check_product_patch_refuses,
    check_product_retires,
    check_unknown_product_is_not_found,
    check_product_list_pages_and_filters,
    check_list_parameters_are_validated,
    check_price_replaces_the_open_one,
    check_prices_of_two_currencies_stay_open,
    check_price_reference_is_optional_and_unique,
    check_price_creation_refuses,
    check_price_is_deleted_once,
    check_assignment_is_an_upsert,
    check_assignment_is_deleted_once,
    check_assignment_refuses,
    check_category_is_created_and_listed,
    check_category_is_patched,
    check_category_refuses,
    check_category_lists_assigned_products,
)


def _unique(label: str) -> str:
    return f"{label}-{uuid.uuid4().hex[:20]}"


def _body(answer: Answer, status: int = 200) -> Any:
    assert answer.status_code == status, (answer.status_code, answer.content[:300])
    return answer.json()


def _refused(answer: Answer, status: int, code: str, about: object = None) -> None:
    assert answer.status_code == status, (about, answer.status_code, answer.content[:300])
    error = answer.json()
    assert list(error) == ["error"]
    assert list(error["error"]) == ["code", "message"]
    assert error["error"]["code"] == code, about
    assert isinstance(error["error"]["message"], str)


def _gone(answer: Answer) -> None:
    assert answer.status_code == 204, (answer.status_code, answer.content[:300])
    assert answer.content == b""


def _new_category(client: Client, **fields: Any) -> Any:
    body = {"name": "Contract", "slug": _unique("slug"), **fields}
    return _body(client.post("/api/categories", json=body), 201)


def _new_product(client: Client, **fields: Any) -> Any:
    body = {"sku": _unique("sku"), "name": "Contract product", **fields}
    if "category_id" not in body:
        body["category_id"] = _new_category(client)["id"]
    return _body(client.post("/api/products", json=body), 201)


def _new_price(client: Client, product: Any, *, currency: str = "EUR", amount: str = "10.00") -> Any:
    body = {"currency": currency, "amount": amount, "reference": _unique("ref")}
    return _body(client.post(f"/api/products/{product['id']}/prices", json=body), 201)


def _listed(client: Client, **params: Any) -> list[int]:
    return [product["id"] for product in _body(client.get("/api/products", params=params))["items"]]


def _assigned(client: Client, product: Any) -> list[int]:
    shown: list[int] = _body(client.get(f"/api/products/{product['id']}"))["category_ids"]
    return shown
