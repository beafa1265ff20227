"""The seeded rows: the same from the same seed, and true to their keys."""

from datetime import UTC, datetime
from random import Random

import pytest

from legacy_monolith.seed.catalog_rows import catalog_rows
from legacy_monolith.seed.load import AS_OF
from legacy_monolith.seed.shop_rows import shop_rows
from legacy_monolith.seed.sizes import sizes_of

SIZES = sizes_of(0.02)


def made(seed):
    random = Random(seed)
    catalog = catalog_rows(SIZES, random, AS_OF)
    return catalog, shop_rows(SIZES, catalog, random, AS_OF)


def test_same_seed_same_rows():
    assert made(7) == made(7)
    assert made(7) != made(8)


def test_full_scale_is_large_enough():
    sizes = sizes_of(1.0)
    catalog = catalog_rows(sizes, Random(7), AS_OF)
    rows = [catalog.category, catalog.product, catalog.price, catalog.product_category]
    assert sum(map(len, rows)) >= 110_000
    assert sum(1 for product in catalog.product if product[3] and len(product[3]) > 8192) > 300


def test_rows_are_true_to_their_keys():
    catalog, shop = made(7)
    product_ids = [row[0] for row in catalog.product]
    assert product_ids == list(range(1, SIZES.products + 1))
    assert all(parent is None or parent < key for key, parent, *_ in catalog.category)
    assert len({row[:2] for row in catalog.product_category}) == len(catalog.product_category)
    assert len({row[1] for row in catalog.price if row[6] is None}) == SIZES.products
    assert {row[0] for row in shop.stock} == set(product_ids)
    totals = {row[0]: 0.0 for row in shop.orders}
    for order_id, _, _, _, quantity, unit_price in shop.order_lines:
        totals[order_id] += quantity * float(unit_price)
    assert all(float(row[5]) == pytest.approx(totals[row[0]]) for row in shop.orders)


def test_history_ends_in_the_past():
    catalog, shop = made(7)
    moments = [datetime.fromisoformat(row[11]) for row in catalog.product]
    moments += [datetime.fromisoformat(row[5]) for row in catalog.price]
    moments += [datetime.fromisoformat(row[6]) for row in shop.orders]
    assert max(moments) <= AS_OF < datetime(2025, 7, 1, tzinfo=UTC)


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        sizes_of(0)
