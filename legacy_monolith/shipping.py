"""The warehouse: pick an order, ship it."""

from typing import Any

from flask import Blueprint, Response
from sqlalchemy import func, select, update

from legacy_monolith import bodies
from legacy_monolith.actors import require_role
from legacy_monolith.answers import answer, timestamp, timestamp_or_none
from legacy_monolith.audit import audit
from legacy_monolith.bodies import Field
from legacy_monolith.database import database
from legacy_monolith.errors import Conflict, NotFound
from legacy_monolith.models import Invoice, OrderLine, PickItem, Shipment
from legacy_monolith.orders import locked_order, release_stock

area = Blueprint("shipping", __name__, url_prefix="/api")

_SHIP = {
    "carrier": Field(check=bodies.text(1, 40), required=True),
    "tracking": Field(check=bodies.text(1, 64)),
}


@area.post("/orders/<key:order_id>/pick")
def pick(order_id: int) -> Response:
    """Take the goods of an order off the shelf; a shipment begins."""
    actor = require_role("merchant", "admin")
    with database().session() as session:
        order = locked_order(session, order_id)
        if order.status != "placed":
            raise Conflict("only a placed order can be picked")
        order.status = "picking"
        shipment = Shipment(order_id=order_id)
        session.add(shipment)
        session.flush()
        for line in session.scalars(select(OrderLine).where(OrderLine.order_id == order_id)):
            picked = PickItem(
                shipment_id=shipment.id,
                order_id=order_id,
                line_no=line.line_no,
                quantity=line.quantity,
                picked_by=actor.name[:80],
            )
            session.add(picked)
        audit(session, "orders", order_id, "pick", actor.name)
        session.flush()
        shown = shipment_json(shipment)
    return answer(shown, 201)


@area.post("/orders/<key:order_id>/ship")
def ship(order_id: int) -> Response:
    """Hand the parcel over: the reservation ends, a draft invoice opens."""
    actor = require_role("merchant", "admin")
    given = bodies.read_body(_SHIP)
    with database().session() as session:
        order = locked_order(session, order_id)
        if order.status != "picking":
            raise Conflict("only a picked order can be shipped")
        order.status = "shipped"
        shipment = session.scalars(select(Shipment).where(Shipment.order_id == order_id)).one()
        shipment.status, shipment.carrier, shipment.tracking = "shipped", given["carrier"], given.get("tracking")
        shipment.shipped_at = session.execute(select(func.now())).scalar_one()
        session.flush()
        release_stock(session, order_id, back=False)
        draft = update(Invoice).where(Invoice.order_id == order_id, Invoice.status == "draft")
        session.execute(draft.values(status="open", issued_on=func.current_date()))
        audit(session, "orders", order_id, "ship", actor.name, carrier=given["carrier"])
        shown = shipment_json(shipment)
    return answer(shown)


@area.get("/shipments/<key:shipment_id>")
def show_shipment(shipment_id: int) -> Response:
    """A shipment with what was picked for it."""
    with database().session() as session:
        shipment = session.get(Shipment, shipment_id)
        if shipment is None:
            raise NotFound("there is no such shipment")
        items = session.scalars(
            select(PickItem).where(PickItem.shipment_id == shipment_id).order_by(PickItem.line_no)
        ).all()
    picked = [{"line_no": item.line_no, "quantity": item.quantity, "picked_by": item.picked_by} for item in items]
    return answer({**shipment_json(shipment), "items": picked})


def shipment_json(shipment: Shipment) -> dict[str, Any]:
    """The Shipment of the API."""
    return {
        "id": shipment.id,
        "order_id": shipment.order_id,
        "status": shipment.status,
        "carrier": shipment.carrier,
        "tracking": shipment.tracking,
        "created_at": timestamp(shipment.created_at),
        "shipped_at": timestamp_or_none(shipment.shipped_at),
    }
