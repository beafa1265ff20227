"""A stand-in backend that says who it is and what it got.

Answers any request with JSON `{"side", "method", "path", "headers": [[name, value]…], "body_bytes"}`.
`?delay_ms=N` waits first; `?chunks=N&gap_ms=M` streams N chunks instead. `GET /-/writes` lists the `x-request-id` of
each request that was not a read, in order of arrival, so that a doubled write shows.

    python -m router.testing.echo --name legacy --listen 127.0.0.1:8001
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import uvicorn

Message = MutableMapping[str, Any]


class Echo:
    """The ASGI application of one backend."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._writes: list[str] = []

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        body_bytes = await _body_bytes(receive)
        if scope["path"] == "/-/writes":
            await _answer(send, {"side": self._name, "writes": self._writes})
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope["method"] not in ("GET", "HEAD"):
            self._writes.append(dict(headers).get("x-request-id", ""))
        query = {
            name: int(values[0])
            for name, values in parse_qs(scope["query_string"].decode()).items()
            if name in ("delay_ms", "chunks", "gap_ms")
        }
        await asyncio.sleep(query.get("delay_ms", 0) / 1000)
        if chunks := query.get("chunks"):
            await self._stream(send, chunks, query.get("gap_ms", 0) / 1000)
            return
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        report = {"side": self._name, "method": scope["method"], "path": target}
        await _answer(send, {**report, "headers": headers, "body_bytes": body_bytes})

    async def _stream(self, send: Callable[[Message], Awaitable[None]], chunks: int, gap_s: float) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": self._name.encode() + b"\n", "more_body": True})
            await asyncio.sleep(gap_s)
        await send({"type": "http.response.body", "body": b""})


async def _body_bytes(receive: Callable[[], Awaitable[Message]]) -> int:
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    return total


async def _answer(send: Callable[[Message], Awaitable[None]], value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"keep-alive, x-hop"),
        (b"x-hop", b"between backend and proxy only"),
        (b"keep-alive", b"timeout=75"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """`python -m router.testing.echo`."""
    parser = argparse.ArgumentParser(prog="python -m router.testing.echo")
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    uvicorn.run(
        Echo(options.name),
        host=host,
        port=int(port),
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
