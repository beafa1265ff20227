"""The application factory: one FastAPI service with a database, health, metrics, ids and one error shape."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from extracted.chassis.database import Database
from extracted.chassis.errors import Invalid, ServiceError
from extracted.chassis.metrics import ServiceMetrics
from extracted.chassis.middleware import RequestMiddleware, context_of
from extracted.chassis.settings import ServiceSettings, load_settings

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def create_service(
    name: str, router: APIRouter, *, read_settings: Callable[[], ServiceSettings] = load_settings
) -> FastAPI:
    """A service named `name` that answers `router`, `GET /healthz` and `GET /metrics`.

    Settings are read and the database is connected when the application starts, not when it is built; a start that
    cannot reach the database fails. Routes find their `Database` in `request.state.database`. When the server stops
    it first lets running requests end, then the pool closes.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        database = Database(read_settings(), application_name=name)
        await database.open()
        try:
            yield {"database": database, "metrics": ServiceMetrics(database.stats)}
        finally:
            await database.close()

    app = FastAPI(title=name, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(RequestMiddleware)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)
    app.add_api_route("/healthz", _healthz, methods=["GET"])
    app.add_api_route("/metrics", _metrics, methods=["GET"], include_in_schema=False)
    app.include_router(router)
    return app


async def _healthz() -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(request: Request) -> Response:
    metrics: ServiceMetrics = request.state.metrics
    return Response(metrics.text(), media_type="text/plain; version=0.0.4")


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return JSONResponse(error.as_dict(), status_code=error.status)


async def _not_understood(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse(Invalid(f"{where}: {first['msg']}").as_dict(), status_code=Invalid.status)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = {"error": {"code": _CODES.get(error.status_code, "invalid"), "message": str(error.detail)}}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


async def _defect(request: Request, _: Exception) -> Response:
    """The server logs the traceback; the client gets no detail, but the id to ask about."""
    request_id = context_of(request.scope).request_id
    body = {"error": {"code": "internal", "message": f"this is a defect of the service; request {request_id}"}}
    return JSONResponse(body, status_code=500, headers={"x-request-id": request_id})
