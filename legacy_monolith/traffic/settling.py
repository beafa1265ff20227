"""What an answer means: for the ledger, and for what the user knows from now on. Pure but for the values it updates."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from legacy_monolith.traffic.actions import Action, OwnedCategory, OwnedProduct, PlannedWrite, User
from legacy_monolith.traffic.market import Market

Outcome = Literal["ok", "rejected", "failed"]
_LEGAL_REJECTIONS = {"credit_exceeded", "out_of_stock"}
_PRODUCT_COLUMNS = {
    "id": "id",
    "sku": "sku",
    "name": "name",
    "descr": "description",
    "category_id": "category_id",
    "status": "status",
    "tags": "tags",
    "attrs": "attributes",
    "weight_grams": "weight_grams",
    "version": "version",
    "created_at": "created_at",
    "updated_at": "updated_at",
}


def outcome_of(status: int, body: Any) -> Outcome:
    """ok, rejected for a legal business reason, or failed. Status 0 is a transport error."""
    if 200 <= status < 300:
        return "ok"
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return "rejected" if status == 409 and code in _LEGAL_REJECTIONS else "failed"


class Settlement:
    """Keeps the count of acknowledged writes per key, over all users of a run."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._updates: Counter[tuple[object, ...]] = Counter()

    def settle(self, user: User, action: Action, status: int, body: Any, now: float) -> dict[str, Any] | None:
        """Learn from an answer; returns the `write` of the ledger line, or None if it has none."""
        acknowledged = 200 <= status < 300
        if action.learn is not None and acknowledged:
            action.learn(body)
        if action.write is None:
            _learn_of_order(user, action, body if acknowledged else None)
            return None
        if acknowledged:
            return self._acknowledged(user, action, action.write, body, now)
        if status == 0 or status >= 500:
            return self._unknown(action, action.write)
        return None

    def _acknowledged(self, user: User, action: Action, write: PlannedWrite, body: Any, now: float) -> dict[str, Any]:
        values = None if write.op == "delete" else _values(write, body)
        key = {**({"id": values["id"]} if values and "id" in values else {}), **write.key}
        identity = _identity(write)
        self._updates[identity] += 1
        line: dict[str, Any] = {"entity": write.entity, "op": write.op, "key": key, "values": values}
        line["updates"] = self._updates[identity]
        if action.endpoint == "price.create" and action.product is not None:
            line |= _closes(action.product, write)
        self._learn(user, action, write, values, now)
        return line

    def _unknown(self, action: Action, write: PlannedWrite) -> dict[str, Any]:
        line: dict[str, Any] = {"entity": write.entity, "op": write.op, "key": dict(write.key)}
        line |= {"values": write.values, "updates": self._updates[_identity(write)], "unknown": True}
        if action.product is not None:
            if action.endpoint == "price.create":
                line |= _closes(action.product, write)
            action.product.tainted = True
        if action.category is not None:
            action.category.tainted = True
        return line

    def _learn(
        self, user: User, action: Action, write: PlannedWrite, values: Mapping[str, Any] | None, now: float
    ) -> None:
        product = action.product
        if action.endpoint == "product.create" and values:
            made = OwnedProduct(
                id=values["id"], sku=values["sku"], made_here=True, open_prices={"EUR": None, "USD": None}
            )
            user.products.append(made)
            self._market.product_made(now, made.id, made.sku)
        elif action.endpoint == "category.create" and values:
            user.categories.append(OwnedCategory(id=values["id"], slug=values["slug"]))
            self._market.category_made(now, values["id"])
        elif action.endpoint == "price.create" and values and product:
            product.open_prices[values["currency"]] = values["id"]
            product.made_prices[values["id"]] = values["reference"]
        elif action.endpoint == "price.delete" and product:
            _forget_price(product, write.key["id"])
        elif action.endpoint == "assignment.put" and product:
            product.assigned.add(write.key["category_id"])
        elif action.endpoint == "assignment.delete" and product:
            product.assigned.discard(write.key["category_id"])


def _values(write: PlannedWrite, body: Mapping[str, Any]) -> dict[str, Any]:
    """The returned row under legacy column names."""
    if write.entity == "product":
        return {column: body[name] for column, name in _PRODUCT_COLUMNS.items()}
    return dict(body)


def _identity(write: PlannedWrite) -> tuple[object, ...]:
    """What tells rows apart before and after they have an id."""
    natural = {"product": "sku", "price": "reference", "category": "slug"}.get(write.entity)
    if natural:
        return write.entity, write.key[natural]
    return write.entity, write.key["product_id"], write.key["category_id"]


def _closes(product: OwnedProduct, write: PlannedWrite) -> dict[str, int | None]:
    currency = write.values["currency"] if write.values else ""
    return {"closes": product.open_prices[currency]} if currency in product.open_prices else {}


def _forget_price(product: OwnedProduct, price_id: int) -> None:
    del product.made_prices[price_id]
    for currency, open_id in product.open_prices.items():
        if open_id == price_id:
            product.open_prices[currency] = None


def _learn_of_order(user: User, action: Action, body: Any) -> None:
    """An order that is paid, cancelled or of unknown state is left alone from now on."""
    if action.endpoint == "order.place" and body is not None:
        user.unpaid_orders.append(body["id"])
    elif action.order_id is not None:
        user.unpaid_orders.remove(action.order_id)
