"""Rows of the catalog tables, made from a seed. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from legacy_monolith.seed.sizes import Sizes

Row = tuple[object, ...]

_MATERIALS = ("Oak", "Steel", "Linen", "Copper", "Glass", "Bamboo", "Wool", "Stone", "Ceramic", "Leather")
_ADJECTIVES = ("plain", "folding", "heavy", "round", "small", "double", "striped", "quiet", "gross für innen", "été")
_NOUNS = ("kettle", "lamp", "chair", "basket", "mirror", "shelf", "blanket", "board", "clock", "vase", "stool", "tray")
_ROOMS = ("Kitchen", "Bath", "Garden", "Office", "Bedroom", "Hall", "Küche & Bar", "Workshop", "Cellar", "Nursery")
_TAGS = ("new", "sale", "eco", "gift", "bulky", "fragile", "import", "hand-made", "last, few", 'says "yes"')
_COLOURS = ("red", "green", "blue", "white", "black", "natural")
_SENTENCES = (
    "Made to be used every day.",
    "Wipe with a damp cloth; do not soak.",
    "Delivered flat, assembled in ten minutes.",
    "Passt in jede Küche.",
    "The colour may differ from the picture.",
    "Spare parts are kept for ten years.\n",
)
_LONG_DESCRIPTION_SHARE = 0.02
_NO_DESCRIPTION_SHARE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogRows:
    """Rows per table, in the column order of `legacy_monolith.seed.load`."""

    category: list[Row]
    product: list[Row]
    price: list[Row]
    product_category: list[Row]
    open_amounts_cents: list[int]
    """The open price of product n at index n - 1."""


def catalog_rows(sizes: Sizes, random: Random, as_of: datetime) -> CatalogRows:
    """The whole catalog as it stood at `as_of`."""
    products = [_product(number, sizes, random, as_of) for number in range(1, sizes.products + 1)]
    prices: list[Row] = []
    open_amounts: list[int] = []
    for number in range(1, sizes.products + 1):
        open_amounts.append(_add_prices(prices, number, random, as_of))
    return CatalogRows(
        category=list(_categories(sizes, random)),
        product=products,
        price=prices,
        product_category=list(_assignments(sizes, random)),
        open_amounts_cents=open_amounts,
    )


def _categories(sizes: Sizes, random: Random) -> Iterator[Row]:
    roots = max(2, sizes.categories // 20)
    for number in range(1, sizes.categories + 1):
        parent = None if number <= roots else random.randint(1, (number - 1) // 2 + 1)
        name = f"{random.choice(_ROOMS)} {random.choice(_NOUNS)}s"
        yield number, parent, name, f"category-{number}", number % 10


def _product(number: int, sizes: Sizes, random: Random, as_of: datetime) -> Row:
    created = as_of - timedelta(minutes=random.randint(300_000, 2_000_000))
    touched = created + timedelta(seconds=random.randint(0, 10_000_000))
    tags = random.sample(_TAGS, random.randint(0, 3))
    return (
        number,
        f"SKU-{number:07d}",
        f"{random.choice(_MATERIALS)} {random.choice(_NOUNS)}, {random.choice(_ADJECTIVES)}",
        _description(random),
        random.randint(1, sizes.categories),
        random.choices(("active", "draft", "retired"), (82, 12, 6))[0],
        "{" + ",".join('"' + tag.replace('"', '\\"') + '"' for tag in tags) + "}",
        _attributes(random),
        random.choice((None, random.randint(5, 60_000))),
        random.randint(1, 9),
        created.isoformat(),
        touched.isoformat(),
    )


def _description(random: Random) -> str | None:
    """Mostly a few sentences; some none, and some so long and dense that they are stored out of line."""
    dice = random.random()
    if dice < _NO_DESCRIPTION_SHARE:
        return None
    if dice < _NO_DESCRIPTION_SHARE + _LONG_DESCRIPTION_SHARE:
        return "Data sheet: " + random.randbytes(random.randint(4_500, 12_000)).hex()
    return " ".join(random.choices(_SENTENCES, k=random.randint(1, 5)))


def _attributes(random: Random) -> str:
    attributes: dict[str, object] = {"colour": random.choice(_COLOURS)}
    if random.random() < 0.5:
        attributes["size_cm"] = {"w": random.randint(1, 200), "h": random.randint(1, 200), "d": random.random() < 0.5}
    if random.random() < 0.3:
        attributes["rating"] = random.randint(10, 50) / 10
    if random.random() < 0.1:
        attributes["notes"] = ["ü", None, 1, {"deep": []}]
    return json.dumps(attributes, ensure_ascii=False)


def _add_prices(prices: list[Row], product_id: int, random: Random, as_of: datetime) -> int:
    """Add a product's price history, the last price open; returns the open amount in cents."""
    count = random.choices((1, 2, 3), (50, 33, 17))[0]
    cents = random.randint(99, 50_000)
    starts = as_of - timedelta(minutes=random.randint(200_000, 290_000))
    for left in range(count - 1, -1, -1):
        ends = starts + timedelta(seconds=random.randint(60, 5_000_000), microseconds=random.randint(0, 999_999))
        number = len(prices) + 1
        reference = None if random.random() < 0.1 else f"seed-{number}"
        amount = f"{cents // 100}.{cents % 100:02d}"
        valid_to = ends.isoformat() if left else None
        prices.append((number, product_id, "EUR", amount, reference, starts.isoformat(), valid_to))
        if left:
            starts, cents = ends, max(99, cents + random.randint(-500, 700))
    return cents


def _assignments(sizes: Sizes, random: Random) -> Iterator[Row]:
    for product_id in range(1, sizes.products + 1):
        count = random.choices((0, 1, 2), (22, 35, 43))[0]
        for category_id in random.sample(range(1, sizes.categories + 1), count):
            yield product_id, category_id, random.randint(0, 5)
