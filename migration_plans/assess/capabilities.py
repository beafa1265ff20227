"""Words that name business capabilities in any shop, bank or office. Pure; they only name services, they never cut."""

from collections import Counter
from collections.abc import Iterable

_WORDS = {
    "customers": ("customer", "client", "patron", "address", "contact"),
    "catalog": ("product", "catalog", "catalogue", "category", "price", "pricelist", "sku", "brand", "article"),
    "inventory": ("stock", "inventory", "warehouse", "reservation", "replenishment"),
    "orders": ("order", "purchase"),
    "baskets": ("basket", "cart", "wishlist"),
    "accounting": ("invoice", "ledger", "journal", "posting", "tax", "dunning"),
    "payments": ("payment", "charge", "refund", "payout", "chargeback"),
    "shipping": ("shipment", "shipping", "delivery", "parcel", "carrier", "pick", "picking", "dispatch"),
    "users": ("user", "session", "login", "role", "permission", "credential", "password"),
    "reviews": ("review", "rating"),
    "promotions": ("promotion", "voucher", "coupon", "offer", "campaign", "discount"),
    "notifications": ("notification", "message", "email", "alert", "newsletter"),
    "settings": ("setting", "configuration", "preference"),
    "audit": ("audit",),
}
_CAPABILITY = {word: capability for capability, words in _WORDS.items() for word in words}


def capability_of(tables: Iterable[Iterable[str]]) -> str | None:
    """The one that most of these tables speak of, at least half of all. A table is its words, in the singular.

    A table speaks of the capability of its first known word: an `order_payment` is the order's.
    """
    spoken = [next((_CAPABILITY[word] for word in table if word in _CAPABILITY), None) for table in tables]
    counted = Counter(one for one in spoken if one is not None).most_common(2)
    if not counted or 2 * counted[0][1] < len(spoken) or (len(counted) > 1 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]
