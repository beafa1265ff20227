"""What all users know together: ids that may be read, and names that are not taken yet."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

READABLE_AFTER_S = 3.0
"""A new row is read only this long after its write was acknowledged, so that a lagging replica has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """What the store held when the run began."""

    products: Sequence[tuple[int, str]]
    """(id, sku) of products that may be read."""
    sellable: Sequence[int]
    """Active products with a price; no user writes to them."""
    categories: Sequence[int]
    customers: Sequence[int]


class Market:
    """Shared by the users of one run; single-threaded."""

    def __init__(self, *, run: str, start: Start) -> None:
        self._run = run
        self._made = 0
        self._products = list(start.products)
        self._categories = list(start.categories)
        self._fresh_products: deque[tuple[float, tuple[int, str]]] = deque()
        self._fresh_categories: deque[tuple[float, int]] = deque()
        self.sellable = start.sellable
        self.customers = start.customers
        self.staff_tokens: dict[str, str] = {}
        """Login → token of an open session."""

    def new_name(self, label: str) -> str:
        """A name that no other row of any run has."""
        self._made += 1
        return f"{label}-{self._run}-{self._made}"

    def product_made(self, at: float, product_id: int, sku: str) -> None:
        """A product's creation was acknowledged at that moment."""
        self._fresh_products.append((at, (product_id, sku)))

    def category_made(self, at: float, category_id: int) -> None:
        """A category's creation was acknowledged at that moment."""
        self._fresh_categories.append((at, category_id))

    def any_product(self, now: float, random: Random) -> tuple[int, str]:
        """(id, sku) of a product that every side has by now."""
        while self._fresh_products and self._fresh_products[0][0] < now - READABLE_AFTER_S:
            self._products.append(self._fresh_products.popleft()[1])
        return random.choice(self._products)

    def any_category(self, now: float, random: Random) -> int:
        """A category that every side has by now."""
        while self._fresh_categories and self._fresh_categories[0][0] < now - READABLE_AFTER_S:
            self._categories.append(self._fresh_categories.popleft()[1])
        return random.choice(self._categories)
