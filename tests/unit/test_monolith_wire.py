"""The traffic's transport: keeps connections, sends nothing twice, tells what broke as httpx does."""

import asyncio
import contextlib

import httpx
import pytest

from legacy_monolith.traffic.wire import WireTransport


class Server:
    """Answers each request with the next script: bytes to send, `None` to hang up, `...` to stay silent."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []
        self.connections = 0
        self.tasks = set()

    async def handle(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                self.seen.append(head + await reader.readexactly(length))
                answer = self.script.pop(0)
                if answer is None:
                    break
                if answer is not ...:
                    writer.write(answer)
                    await writer.drain()
        writer.close()
        await writer.wait_closed()


def answer(body, *headers):
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def run(scenario, *script):
    async def main():
        server = Server(*script)
        listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=WireTransport(), timeout=5)
        async with client:
            await scenario(client, server)
        await asyncio.gather(*server.tasks)
        listener.close()
        await listener.wait_closed()

    asyncio.run(main())


def test_requests_share_a_connection():
    async def scenario(client, server):
        assert (await client.get("/a")).json() == {"n": 1}
        second = await client.patch("/b", json={"x": "ü"}, headers={"x-request-id": "7"})
        assert (second.json(), second.headers["x-side"]) == ({"n": 2}, "legacy")
        assert server.connections == 1
        assert server.seen[0].startswith(b"GET /a HTTP/1.1\r\n")
        assert b"x-request-id: 7\r\n" in server.seen[1]
        assert server.seen[1].endswith('{"x":"ü"}'.encode())

    run(scenario, answer(b'{"n":1}'), answer(b'{"n":2}', b"x-side: legacy"))


def test_parallel_requests_take_a_connection_each():
    async def scenario(client, server):
        await asyncio.gather(*(client.get("/") for _ in range(5)))
        assert server.connections == 5

    run(scenario, *[answer(b"1")] * 5)


def test_an_empty_answer_and_a_closing_one():
    async def scenario(client, server):
        empty = await client.delete("/a")
        assert (empty.status_code, empty.content) == (204, b"")
        await client.get("/b")
        await client.get("/c")
        assert server.connections == 2

    run(scenario, b"HTTP/1.1 204 No Content\r\n\r\n", answer(b"", b"connection: close"), answer(b""))


def test_a_chunked_answer():
    async def scenario(client, _server):
        assert (await client.get("/")).text == "hello world"

    run(scenario, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")


def test_a_broken_connection_fails_one_request_and_is_not_asked_again():
    async def scenario(client, server):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post("/a", json={})
        assert len(server.seen) == 1
        assert (await client.get("/b")).status_code == 200
        assert server.connections == 2

    run(scenario, None, answer(b"1"))


def test_half_an_answer_is_an_error():
    async def scenario(client, _server):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")

    run(scenario, b"no http at all\r\n\r\n")


def test_silence_is_a_timeout_and_the_late_answer_is_never_mistaken():
    async def scenario(client, server):
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/slow", timeout=0.05)
        assert (await client.get("/b")).text == "mine"
        assert server.connections == 2

    run(scenario, ..., answer(b"mine"))


def test_nobody_there_is_a_connect_error():
    async def main():
        async with httpx.AsyncClient(transport=WireTransport(), timeout=5) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("https://127.0.0.1:1/")

    asyncio.run(main())
