"""A keep-alive HTTP/1.1 connection that costs a load generator as little as Python allows. One request at a time."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

OnAnswer = Callable[["ClientConnection", int, bytes], None]
"""The connection, free again; status; body."""
OnLost = Callable[["ClientConnection"], None]
"""The connection ended without the answer that was due."""


class ClientConnection(asyncio.Protocol):
    """`send` takes the bytes of a whole request; its answer goes to `on_answer`. The parser calls `on_…` methods."""

    def __init__(self, on_answer: OnAnswer, on_lost: OnLost) -> None:
        self._answered, self._lost = on_answer, on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._due = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        assert self._transport is not None, "connect first"
        assert not self._due, "one request at a time"
        self._due = True
        self._transport.write(request)

    def close(self) -> None:
        self._due = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due:
            self._due = False
            self._lost(self)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        status, reusable = self._parser.get_status_code(), self._parser.should_keep_alive()
        self._due = False
        if not reusable:
            self.close()
        self._answered(self, status, body)


async def connect(host: str, port: int, on_answer: OnAnswer, on_lost: OnLost) -> ClientConnection:
    """Raises `OSError` when nobody listens."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: ClientConnection(on_answer, on_lost), host, port)
    return connection


def request_bytes(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A whole request."""
    lines = [f"{method} {target} HTTP/1.1", "host: bench", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if body or method not in ("GET", "HEAD"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
