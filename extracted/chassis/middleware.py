"""Around every request: its ids in and out, and its duration into the metrics."""

import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extracted.chassis.metrics import ServiceMetrics
from extracted.chassis.request_context import RequestContext, current_request, new_request_id, read_context

_KEY = "chassis.request_context"


def context_of(scope: Scope) -> RequestContext:
    """The context that the middleware put into this request's scope."""
    context: RequestContext = scope[_KEY]
    return context


class RequestMiddleware:
    """Sets `current_request`, echoes `x-request-id`, observes every answer once (a defect counts as 500)."""

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[], str] = new_request_id,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._new_id = new_id
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = scope[_KEY] = read_context(scope["headers"], self._new_id)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = context.request_id
            await send(message)

        started = self._monotonic()
        token = current_request.set(context)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            current_request.reset(token)
            metrics: ServiceMetrics = scope["state"]["metrics"]
            seconds = self._monotonic() - started
            metrics.observe(method=scope["method"], route=_route(scope), status=status, seconds=seconds)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "(none)")
