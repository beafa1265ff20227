"""As many requests as a proxy can take: some connections, each with its next request as soon as it has its answer."""

import asyncio
import itertools
import time
from dataclasses import dataclass

import uvloop

from benchmarks.connection import ClientConnection, connect
from benchmarks.errors import WrongResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """`client_cpu_s`: what this process spent on it."""

    requests: int
    seconds: float
    client_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds


def saturate(port: int, requests: list[bytes], *, connections: int, seconds: float) -> Throughput:
    """Send `requests` round and round for `seconds`. Raises `WrongResult` for any answer but 200."""
    return uvloop.run(_Saturation(requests).run(port, connections, seconds))


class _Saturation:
    def __init__(self, requests: list[bytes]) -> None:
        self._requests = itertools.cycle(requests)
        self._answers = 0
        self._stopping = False
        self._wrong: str | None = None

    async def run(self, port: int, connections: int, seconds: float) -> Throughput:
        opened = [await connect("127.0.0.1", port, self._on_answer, self._on_lost) for _ in range(connections)]
        began, cpu_began = time.monotonic(), time.process_time()
        for connection in opened:
            connection.send(next(self._requests))
        await asyncio.sleep(seconds)
        result = Throughput(
            requests=self._answers,
            seconds=time.monotonic() - began,
            client_cpu_s=time.process_time() - cpu_began,
        )
        self._stopping = True
        for connection in opened:
            connection.close()
        if self._wrong is not None or not result.requests:
            raise WrongResult(
                thing="proxy", reason=self._wrong or "answered nothing", mend="see what the backend answers"
            )
        return result

    def _on_answer(self, connection: ClientConnection, status: int, body: bytes) -> None:
        self._answers += 1
        if status != 200 or not connection.is_open:
            self._wrong = f"answered {status}" if connection.is_open else "closed a connection"
        elif not self._stopping:
            connection.send(next(self._requests))

    def _on_lost(self, connection: ClientConnection) -> None:
        self._wrong = "closed a connection under a request"
