"""Steady traffic from a thread of its own, each request with an id and its outcome kept."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

MAX_OUTCOMES = 500_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One request: `status` is 0 and `error` set when there was no answer. `at` and `seconds` are monotonic."""

    request_id: str
    method: str
    status: int
    side: str
    table_version: int
    at: float
    seconds: float
    error: str = ""

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 500


MakeRequest = Callable[[int], tuple[str, str, dict[str, str]]]
"""From a running number: method, target and headers."""


class Load:
    """Outcomes so far, of requests that are complete."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.stop = threading.Event()

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.failed]

    def wait_for(self, count: int, timeout_s: float = 60.0) -> None:
        """Until `count` more requests are complete."""
        wanted, deadline = len(self.outcomes) + count, time.monotonic() + timeout_s
        while len(self.outcomes) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{wanted - len(self.outcomes)} of {count} requests did not come back")
            time.sleep(0.005)

    async def run(self, url: str, make_request: MakeRequest, workers: int, pause_s: float) -> None:
        numbers = itertools.count()
        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=90, trust_env=False) as client:
            await asyncio.gather(*(self._work(client, numbers, make_request, pause_s) for _ in range(workers)))

    async def _work(
        self, client: httpx.AsyncClient, numbers: Iterator[int], make_request: MakeRequest, pause_s: float
    ) -> None:
        while not self.stop.is_set() and len(self.outcomes) < MAX_OUTCOMES:
            number = next(numbers)
            method, target, headers = make_request(number)
            started = time.monotonic()
            status, side, version, error = 0, "", -1, ""
            try:
                answer = await client.request(method, target, headers={**headers, "x-request-id": str(number)})
                status, side = answer.status_code, answer.headers.get("x-strangler-side", "")
                version = int(answer.headers.get("x-strangler-version", "-1"))
            except httpx.HTTPError as failure:
                error = repr(failure)
            self.outcomes.append(
                Outcome(
                    request_id=str(number),
                    method=method,
                    status=status,
                    side=side,
                    table_version=version,
                    at=started,
                    seconds=time.monotonic() - started,
                    error=error,
                )
            )
            await asyncio.sleep(pause_s)


@contextlib.contextmanager
def running_load(url: str, make_request: MakeRequest, *, workers: int = 8, pause_s: float = 0.002) -> Iterator[Load]:
    """Traffic while the context lasts; on leaving, requests under way are waited for."""
    load = Load()
    thread = threading.Thread(target=lambda: asyncio.run(load.run(url, make_request, workers, pause_s)), daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        thread.join(timeout=120)
