"""Either side of the thin store, as an ASGI application. `DATABASE_URL`, and `STRANGLER_BENCH_SIDE`: legacy or service.

GET /api/items/{id} · POST /api/items (one INSERT) · POST /api/items/{id} (one UPDATE) · GET /healthz. Anything that
goes wrong in the database is a 500 and fails the benchmark: the gate is there so that no write meets a fence.
"""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STATEMENTS: Final = {
    "legacy": {
        "GET": "SELECT id, name, amount::text, version FROM item WHERE id = %(id)s",
        "INSERT": "INSERT INTO item (name, amount) VALUES (%(name)s, 12.50) RETURNING id, name, amount::text, version",
        "UPDATE": "UPDATE item SET version = version + 1, amount = amount + 0.01, changed_at = now()"
        " WHERE id = %(id)s RETURNING id, name, amount::text, version",
    },
    "service": {
        "GET": "SELECT item_id, title, (amount_minor / 100.0)::numeric(12,2)::text, revision FROM items"
        " WHERE item_id = %(id)s",
        "INSERT": "INSERT INTO items (title, amount_minor) VALUES (%(name)s, 1250)"
        " RETURNING item_id, title, (amount_minor / 100.0)::numeric(12,2)::text, revision",
        "UPDATE": "UPDATE items SET revision = revision + 1, amount_minor = amount_minor + 1, changed_at = now()"
        " WHERE item_id = %(id)s RETURNING item_id, title, (amount_minor / 100.0)::numeric(12,2)::text, revision",
    },
}
_FIELDS = ("id", "name", "amount", "version")
_ITEMS = "/api/items"
_CONNECTIONS = 8


class ThinApp:
    """One process of one side."""

    def __init__(self, database: str, side: str) -> None:
        self._statements = _STATEMENTS[side]
        options = {"autocommit": True, "prepare_threshold": 0}
        self._pool = AsyncConnectionPool(
            database, min_size=_CONNECTIONS, max_size=_CONNECTIONS, timeout=30, open=False, kwargs=options
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            status, answer = await self._answer(scope["method"], scope["path"], body)
        except psycopg.Error as error:
            status, answer = 500, {"error": str(error).partition("\n")[0]}
        await _send(send, status, answer)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._pool.open(wait=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/healthz":
            return 200, {"status": "ok"}
        head, _, last = path.rpartition("/")
        if method == "POST" and path == _ITEMS:
            return 201, await self._row("INSERT", {"name": json.loads(body)["name"]})
        if head != _ITEMS or not last.isdigit():
            return (405, None) if path == _ITEMS else (404, None)
        if method not in ("GET", "POST"):
            return 405, None
        row = await self._row("GET" if method == "GET" else "UPDATE", {"id": int(last)})
        return (404, None) if row is None else (200, row)

    async def _row(self, statement: str, values: dict[str, Any]) -> dict[str, Any] | None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self._statements[statement].encode(), values)
            row = await cursor.fetchone()
        return None if row is None else dict(zip(_FIELDS, row, strict=True))


async def _send(send: Send, status: int, answer: Any) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def make_app() -> ThinApp:
    """For `uvicorn --factory`."""
    return ThinApp(os.environ["DATABASE_URL"], os.environ["STRANGLER_BENCH_SIDE"])
