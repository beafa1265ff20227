"""The monolith's JSON to the catalog's words and back, without HTTP or a database."""

import json
import string
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extracted.catalog import compat, compat_answers
from extracted.catalog.domain import (
    KEEP,
    CategoryChange,
    Lifecycle,
    NewPrice,
    OpenPrice,
    Price,
    Product,
    ProductChange,
    ProductFilter,
)
from extracted.catalog.statements import literal_part, product_list
from extracted.chassis.errors import Invalid, NotFound

MOMENT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=999_999_999_999))
def test_amounts_round_trip_through_text(minor):
    assert compat.read_amount(compat_answers.show_amount(minor)) == minor


@pytest.mark.parametrize(("text", "minor"), [("0", 0), ("12.3", 1230), ("12.34", 1234), ("0.05", 5), ("007", 700)])
def test_amount_texts(text, minor):
    assert compat.read_amount(text) == minor


@pytest.mark.parametrize(("minor", "text"), [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-1234, "-12.34")])
def test_shown_amounts(minor, text):
    assert compat_answers.show_amount(minor) == text


def test_times_have_six_digits_and_a_z():
    assert compat_answers.show_time(MOMENT) == "2026-03-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("status", "lifecycle"), [("draft", Lifecycle.DRAFT), ("active", Lifecycle.LIVE), ("retired", Lifecycle.RETIRED)]
)
def test_status_is_looked_up_both_ways(status, lifecycle):
    body = json.dumps({"sku": "s", "name": "n", "category_id": 1, "status": status}).encode()
    assert compat.read_new_product(body).lifecycle is lifecycle
    assert compat_answers.show_product(_product(lifecycle=lifecycle))["status"] == status


def test_a_change_keeps_what_was_not_sent_and_empties_what_was_null():
    change = compat.read_product_change(b'{"description": null, "name": "t", "status": "active", "tags": ["a"]}')
    assert change == ProductChange(title="t", description=None, lifecycle=Lifecycle.LIVE, tags=("a",))
    assert change.weight_grams is KEEP


def test_a_category_change_is_renamed_and_cannot_name_itself_parent():
    assert compat.read_category_change(b'{"position": 4, "parent_id": null}', 7) == CategoryChange(
        sort_order=4, parent_id=None
    )
    with pytest.raises(Invalid):
        compat.read_category_change(b'{"parent_id": 7}', 7)


def test_a_price_is_read():
    body = b'{"currency": "EUR", "amount": "12.3", "reference": null}'
    assert compat.read_new_price(body) == NewPrice(currency="EUR", amount_minor=1230)


@pytest.mark.parametrize("amount", ["", "1.", ".5", "1.234", "-1", "+1", "1e3", " 1", "1\n", "١", "12345678901"])
def test_amounts_that_are_none(amount):
    with pytest.raises(Invalid):
        compat.read_new_price(json.dumps({"currency": "EUR", "amount": amount}).encode())


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"", b"{", b'"x"', b'{"name": "\\u0000"}', b'{"unknown": 1}'])
def test_changes_that_are_none(body):
    with pytest.raises(Invalid):
        compat.read_product_change(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.floats(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_any_json_is_either_read_or_invalid(value):
    for read in (compat.read_new_product, compat.read_product_change, compat.read_new_price, compat.read_new_category):
        with pytest.raises(Invalid):
            read(json.dumps({"attributes": value, "?": value}).encode())


@given(st.text(max_size=30))
def test_path_ids_are_bigints_or_nothing(text):
    is_id = bool(text) and set(text) <= set(string.digits) and int(text) <= compat.BIGINT_MAX and len(text) <= 19
    if is_id:
        assert compat.read_path_id(text) == int(text)
    else:
        with pytest.raises(NotFound):
            compat.read_path_id(text)


def test_the_query_of_a_list():
    assert compat.read_filter({}) == ProductFilter()
    assert compat.read_filter(
        {"category_id": "3", "status": "active", "q": "a%", "after_id": "9", "limit": "100"}
    ) == ProductFilter(category_id=3, lifecycle=Lifecycle.LIVE, text="a%", after_id=9, limit=100)


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"limit": "-1"}, {"status": ""}, {"after_id": "1_0"}]
)
def test_queries_that_are_invalid(query):
    with pytest.raises(Invalid):
        compat.read_filter(query)


def test_search_text_is_literal():
    assert literal_part("50%_\\") == "%50\\%\\_\\\\%"
    assert "ILIKE" in product_list({"text"})
    assert "ILIKE" not in product_list({"after_id", "limit"})


def test_a_product_is_shown_in_the_monoliths_words():
    price = OpenPrice(price_id=3, currency="EUR", amount_minor=1230, reference=None, effective_from=MOMENT)
    shown = compat_answers.show_product(_product(price=price))
    assert shown["price"] == {
        "id": 3,
        "currency": "EUR",
        "amount": "12.30",
        "reference": None,
        "valid_from": "2026-03-01T12:00:00.000000Z",
    }
    assert (shown["name"], shown["version"], shown["category_ids"], shown["tags"]) == ("Kettle", 2, [5, 4], ["a"])


def test_pages_and_prices_are_shown():
    assert compat_answers.show_products([_product()], 1)["next_after_id"] == 1
    assert compat_answers.show_products([_product()], 2)["next_after_id"] is None
    price = Price(
        price_id=1,
        product_id=2,
        currency="EUR",
        amount_minor=99,
        reference="r",
        effective_from=MOMENT,
        effective_to=MOMENT,
    )
    assert compat_answers.show_price(price)["valid_to"] == "2026-03-01T12:00:00.000000Z"


def _product(**fields):
    defaults = {
        "product_id": 1,
        "sku": "k-1",
        "title": "Kettle",
        "description": None,
        "category_id": 4,
        "lifecycle": Lifecycle.LIVE,
        "tags": ("a",),
        "attributes": {"x": 1},
        "weight_grams": None,
        "revision": 2,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "price": None,
        "assigned_category_ids": (5, 4),
    }
    return Product(**{**defaults, **fields})
