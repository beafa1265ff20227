"""The Flask application: blueprints per area, one place where errors become answers."""

import logging
import uuid

from flask import Flask, Response, g, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, Map

from legacy_monolith import accounting, customers, office, orders, reports, reviews, sessions, shipping, stock
from legacy_monolith.answers import answer
from legacy_monolith.bodies import MAX_INT8
from legacy_monolith.catalog import categories, prices, products
from legacy_monolith.database import Database
from legacy_monolith.errors import StoreError, Unavailable, refusal_of

log = logging.getLogger(__name__)

_AREAS = (
    products.area,
    prices.area,
    categories.area,
    sessions.area,
    customers.area,
    orders.area,
    shipping.area,
    stock.area,
    reviews.area,
    accounting.area,
    reports.area,
    office.area,
)
_HTTP_CODES = {400: "invalid", 404: "not_found", 405: "method_not_allowed", 413: "invalid", 415: "invalid"}


class KeyConverter(IntegerConverter):
    """A path segment that is a bigint key; anything else is 404."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=MAX_INT8)


def create_app(database_url: str, *, pool_size: int = 8) -> Flask:
    """The store on that database. It connects when the first request comes."""
    app = Flask("legacy_monolith", static_folder=None)
    app.url_map.converters["key"] = KeyConverter
    Database(database_url, pool_size=pool_size).attach(app.extensions)
    app.before_request(_note_request_id)
    app.after_request(_echo_request_id)
    app.register_error_handler(StoreError, _refuse)
    app.register_error_handler(DBAPIError, _refuse_for_database)
    app.register_error_handler(PoolTimeout, _refuse_for_pool)
    app.register_error_handler(HTTPException, _refuse_for_http)
    app.add_url_rule("/healthz", "healthz", healthz)
    for area in _AREAS:
        app.register_blueprint(area)
    return app


def healthz() -> Response:
    """The process answers; the database is not asked."""
    return answer({"status": "ok"})


def _note_request_id() -> None:
    g.request_id = request.headers.get("x-request-id") or str(uuid.uuid4())


def _echo_request_id(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    return response


def _refuse(error: StoreError) -> Response:
    return answer({"error": {"code": error.code, "message": error.message}}, error.status)


def _refuse_for_database(error: DBAPIError) -> Response:
    refusal = refusal_of(getattr(error.orig, "sqlstate", None))
    if refusal is None:
        log.error("request %s failed in the database: %s", g.request_id, error.orig)
        refusal = StoreError("the store failed; the request id is in its log")
    return _refuse(refusal)


def _refuse_for_pool(_error: PoolTimeout) -> Response:
    return _refuse(Unavailable("all database connections are busy"))


def _refuse_for_http(error: HTTPException) -> Response:
    status = error.code or 500
    code = _HTTP_CODES.get(status, "internal" if status >= 500 else "invalid")
    return answer({"error": {"code": code, "message": error.description or error.name}}, status)
