"""A lean httpx transport: plain HTTP/1.1 with keep-alive, for a load generator that must not be the bottleneck.

httpx's own connection pool looks at every connection for every request, which costs a core at a few hundred requests
per second over a few hundred connections. Here a request takes the connection that was idle last, in constant time.
Nothing is ever sent twice: a connection that breaks fails the one request that it carries.
"""

import asyncio
from typing import cast

import httptools
import httpx


class WireTransport(httpx.AsyncBaseTransport):
    """For one event loop; `http://` only. Opens as many connections as there are requests in flight."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its whole answer, each wait within the request's timeouts."""
        if request.url.scheme != "http":
            raise httpx.UnsupportedProtocol(f"the traffic speaks http, not {request.url.scheme}", request=request)
        timeouts = request.extensions.get("timeout", {})
        origin = (request.url.host, request.url.port or 80)
        connection = self._take_idle(origin) or await _connect(origin, timeouts.get("connect"))
        message = _head(request) + await request.aread()
        try:
            async with asyncio.timeout(timeouts.get("read")):
                response = await connection.ask(message)
        except TimeoutError as error:
            connection.close()
            raise httpx.ReadTimeout("no answer in time") from error
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle.setdefault(origin, []).append(connection)
        else:
            connection.close()
        return response

    async def aclose(self) -> None:
        """Close the idle connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _take_idle(self, origin: tuple[str, int]) -> "_Connection | None":
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if connection.reusable:
                return connection
        return None


class _Connection(asyncio.Protocol):
    """One connection; carries one request at a time. The parser calls the `on_…` methods."""

    def __init__(self) -> None:
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def ask(self, message: bytes) -> httpx.Response:
        """Send the bytes of a request; returns the answer to it."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._body = [], []
        self.reusable = False
        self._transport.write(message)
        return await self._answer

    def close(self) -> None:
        """Close it, whatever it carries."""
        self.reusable = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(f"the answer is no HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        reason = f"the connection broke before the answer: {exc}" if exc else "the server closed before the answer"
        self._fail(httpx.RemoteProtocolError(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.reusable = bool(self._parser.should_keep_alive())
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            stream = httpx.ByteStream(b"".join(self._body))
            self._answer.set_result(httpx.Response(status, headers=self._headers, stream=stream))

    def _fail(self, error: httpx.HTTPError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


async def _connect(origin: tuple[str, int], timeout_s: float | None) -> _Connection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(_Connection, *origin)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(f"no connection to {origin[0]}:{origin[1]} in time") from error
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    return connection


def _head(request: httpx.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    return b"\r\n".join(lines) + b"\r\n\r\n"
