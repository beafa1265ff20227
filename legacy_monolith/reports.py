"""Reports across the whole schema: what one database makes easy."""

from datetime import date, timedelta

from flask import Blueprint, Response, request
from sqlalchemy import text

from legacy_monolith import bodies
from legacy_monolith.actors import require_role
from legacy_monolith.answers import answer, money, timestamp
from legacy_monolith.database import database
from legacy_monolith.errors import Invalid

area = Blueprint("reports", __name__, url_prefix="/api/reports")

_MAX_DAYS = 3660
_REGIONAL = text("""
SELECT c.id AS customer_id, c.name, c.region_code, o.id AS order_id, o.status, o.total, o.placed_at,
       count(l.line_no) AS lines, string_agg(DISTINCT p.name, '; ' ORDER BY p.name) AS products
FROM customers c
JOIN orders o ON o.customer_id = c.id
JOIN order_lines l ON l.order_id = o.id
JOIN product p ON p.id = l.product_id
WHERE c.region_code = :region AND o.placed_at >= now() - make_interval(days => :days)
GROUP BY c.id, o.id
ORDER BY c.id, o.placed_at DESC, o.id DESC
LIMIT :limit
""")
_REVENUE = text("""
SELECT day, category_id, category_name, currency, units, revenue
FROM revenue_by_day
WHERE day >= :first AND day < :past
ORDER BY day, category_id, currency
""")


@area.get("/regional-orders")
def regional_orders() -> Response:
    """Customers of a region with their orders of the last days, in one join."""
    require_role("merchant", "admin")
    region = bodies.text(1, 8)("region", request.args.get("region"))
    values = {
        "region": region,
        "days": bodies.query_integer("days", 30, 1, _MAX_DAYS),
        "limit": bodies.query_integer("limit", 500, 1, 5000),
    }
    with database().statement() as connection:
        rows = connection.execute(_REGIONAL, values).all()
    customers: dict[int, dict[str, object]] = {}
    orders: dict[int, list[dict[str, object]]] = {}
    for row in rows:
        customers.setdefault(row.customer_id, {"id": row.customer_id, "name": row.name, "region": row.region_code})
        orders.setdefault(row.customer_id, []).append(
            {
                "id": row.order_id,
                "status": row.status,
                "total": money(row.total),
                "placed_at": timestamp(row.placed_at),
                "lines": row.lines,
                "products": row.products,
            }
        )
    return answer({"items": [{**customer, "orders": orders[key]} for key, customer in customers.items()]})


@area.get("/revenue")
def revenue() -> Response:
    """Revenue per day, category and currency; `from` and `to` are days, `to` included."""
    require_role("merchant", "admin")
    first, last = _day("from"), _day("to")
    with database().statement() as connection:
        rows = connection.execute(_REVENUE, {"first": first, "past": last + timedelta(days=1)}).all()
    items = [
        {
            "day": row.day.isoformat(),
            "category_id": row.category_id,
            "category_name": row.category_name,
            "currency": row.currency,
            "units": row.units,
            "revenue": money(row.revenue),
        }
        for row in rows
    ]
    return answer({"from": first.isoformat(), "to": last.isoformat(), "items": items})


def _day(name: str) -> date:
    try:
        return date.fromisoformat(request.args.get(name, ""))
    except ValueError as error:
        raise Invalid(f"{name} must be a day like 2026-01-31") from error
