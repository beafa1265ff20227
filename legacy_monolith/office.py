"""The back office: listings, promotions, settings, the audit trail."""

import json
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import select, text

from legacy_monolith import bodies
from legacy_monolith.actors import require_role
from legacy_monolith.answers import answer, money, timestamp, timestamp_or_none
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import Invalid, NotFound
from legacy_monolith.models import AuditEntry, Promotion, Region

area = Blueprint("office", __name__, url_prefix="/api/admin")

_PROMOTION = {
    "code": Field(check=bodies.text(1, 32), required=True),
    "category_id": Field(check=bodies.or_null(bodies.key)),
    "percent": Field(check=bodies.amount, required=True),
    "region_codes": Field(check=bodies.texts),
}
_LISTING = text("""
SELECT id, sku, name, status, version, category_name, currency, amount, updated_at
FROM product_listing
WHERE id > :after_id
ORDER BY id LIMIT :limit
""")
_SHOW_SETTING = text("SELECT key, value, updated_at FROM settings WHERE key = :key")
_PUT_SETTING = text("""
INSERT INTO settings (key, value) VALUES (:key, CAST(:value AS jsonb))
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = now()
RETURNING key, value, updated_at
""")
_NEW_PROMOTION = text("""
INSERT INTO promotions (code, category_id, percent, region_codes, valid_from)
VALUES (:code, :category_id, :percent, :region_codes, now())
RETURNING id, code, category_id, percent, region_codes, valid_from, valid_to
""")


@area.get("/products")
def list_products() -> Response:
    """The merchant's list of products, as the view has it."""
    require_role("merchant", "admin")
    limit = bodies.query_limit()
    with database().statement() as connection:
        rows = connection.execute(_LISTING, {"after_id": bodies.query_integer("after_id", 0), "limit": limit}).all()
    items = [
        {
            "id": row.id,
            "sku": row.sku,
            "name": row.name,
            "status": row.status,
            "version": row.version,
            "category": row.category_name,
            "price": None if row.amount is None else f"{money(row.amount)} {row.currency}",
            "updated_at": timestamp(row.updated_at),
        }
        for row in rows
    ]
    return answer({"items": items, "next_after_id": items[-1]["id"] if len(items) == limit else None})


@area.get("/regions")
def list_regions() -> Response:
    """All regions."""
    with database().session() as session:
        regions = session.scalars(select(Region).order_by(Region.code)).all()
    return answer({"items": [{"code": r.code, "name": r.name, "currency": r.currency} for r in regions]})


@area.get("/promotions")
def list_promotions() -> Response:
    """All promotions, newest first."""
    require_role("merchant", "admin")
    with database().session() as session:
        found = session.scalars(select(Promotion).order_by(Promotion.id.desc()).limit(bodies.query_limit())).all()
    return answer({"items": [promotion_json(promotion) for promotion in found]})


@area.post("/promotions")
def create_promotion() -> Response:
    """A promotion from now on, until somebody ends it."""
    require_role("merchant", "admin")
    values = {"category_id": None, "region_codes": [], **bodies.read_body(_PROMOTION)}
    if not 0 < values["percent"] <= 100:
        raise Invalid("percent must be above 0 and at most 100")
    with database().statement() as connection:
        row = connection.execute(_NEW_PROMOTION, values).one()
    return answer(promotion_json(row), 201)


@area.get("/audit")
def list_audit() -> Response:
    """The newest acts, of one kind of row when `entity` is given."""
    require_role("admin")
    newest = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(bodies.query_limit())
    if entity := request.args.get("entity"):
        newest = newest.where(AuditEntry.entity == entity)
    with database().session() as session:
        entries = session.scalars(newest).all()
    return answer({"items": [audit_json(entry) for entry in entries]})


@area.get("/settings/<name>")
def show_setting(name: str) -> Response:
    """One setting."""
    with database().statement() as connection:
        row = connection.execute(_SHOW_SETTING, {"key": name}).first()
    if row is None:
        raise NotFound("there is no such setting")
    return answer({"key": row.key, "value": row.value, "updated_at": timestamp(row.updated_at)})


@area.put("/settings/<name>")
def put_setting(name: str) -> Response:
    """Set a setting to any JSON value."""
    require_role("admin")
    key = bodies.text(1, 64)("key", name)
    value = bodies.read_body({"value": Field(check=lambda _, given: json.dumps(given), required=True)})["value"]
    with database().statement() as connection:
        row = connection.execute(_PUT_SETTING, {"key": key, "value": value}).one()
    return answer({"key": row.key, "value": row.value, "updated_at": timestamp(row.updated_at)})


def promotion_json(promotion: Any) -> dict[str, Any]:
    """The Promotion of the API, from a model or a row."""
    return {
        "id": promotion.id,
        "code": promotion.code,
        "category_id": promotion.category_id,
        "percent": money(promotion.percent),
        "region_codes": promotion.region_codes,
        "valid_from": timestamp(promotion.valid_from),
        "valid_to": timestamp_or_none(promotion.valid_to),
    }


def audit_json(entry: AuditEntry) -> dict[str, Any]:
    """A line of the audit trail."""
    return {
        "id": entry.id,
        "entity": entry.entity,
        "entity_id": entry.entity_id,
        "action": entry.action,
        "actor": entry.actor,
        "detail": entry.detail,
        "at": timestamp(entry.at),
    }
