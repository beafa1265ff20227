"""Endpoints that somebody still has to write: they answer 501, and say so to whoever asks with OPTIONS."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from extracted.chassis.errors import ServiceError

KEY = "not_written"
"""In the answer to OPTIONS beside `error`: `METHOD /path` of all that is not written on that path."""

Handler = TypeVar("Handler", bound=Callable[..., object])


class NotWritten(ServiceError):
    """Nobody has written this endpoint's handler yet."""

    status = 501
    code = "not_written"


class Unwritten:
    """Stands where `@router.get("/path")` will stand: `@unwritten("GET", "/path", "what it has to do")`.

    The handler below it is never called; its name and signature wait for whoever writes it.
    """

    def __init__(self, router: APIRouter) -> None:
        self._router = router
        self._methods: dict[str, list[str]] = {}

    def __call__(self, method: str, path: str, todo: str) -> Callable[[Handler], Handler]:
        """Answer `method` on `path` with 501; the message names the handler and `todo`."""

        def register(handler: Handler) -> Handler:
            place = f"{handler.__module__}.{handler.__name__}"

            async def answer(_: Request) -> Response:
                raise NotWritten(f"{method} {path} is not written yet: {place} has to do this: {todo}")

            self._router.add_api_route(path, answer, methods=[method], name=handler.__name__)
            self._tell(method, path)
            return handler

        return register

    def _tell(self, method: str, path: str) -> None:
        if path not in self._methods:
            methods = self._methods[path] = []

            async def options(_: Request) -> Response:
                missing = [f"{each} {path}" for each in methods]
                body = NotWritten(f"not written yet: {', '.join(missing)}").as_dict()
                return JSONResponse({**body, KEY: missing}, status_code=NotWritten.status)

            self._router.add_api_route(path, options, methods=["OPTIONS"], include_in_schema=False)
        self._methods[path].append(method)
