"""How much of everything a scale means."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Row counts of the independent tables; what hangs below them follows by chance of the seed."""

    categories: int
    products: int
    customers: int
    orders: int
    reviews: int


def sizes_of(scale: float) -> Sizes:
    """Scale 1.0 is about 115,000 rows in the four catalog tables; small scales keep a store that works."""
    if scale <= 0:
        raise ValueError(f"scale must be positive, not {scale}")
    return Sizes(
        categories=max(8, round(200 * scale)),
        products=max(40, round(30_000 * scale)),
        customers=max(20, round(2_000 * scale)),
        orders=max(10, round(4_000 * scale)),
        reviews=max(5, round(3_000 * scale)),
    )
