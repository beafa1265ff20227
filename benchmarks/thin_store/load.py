"""Clients of the thin store: writes and reads at fixed rates, whatever the answers' pace (an open loop).

    python -m benchmarks.thin_store.load --port 8080 --writes-per-s 500 --reads-per-s 20 --report load.json

On SIGTERM it sends no more, waits for the answers that are due, and writes what it saw: `LoadReport` as JSON.
"""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.connection import ClientConnection, connect, request_bytes
from benchmarks.thin_store.schema import FIRST_WRITTEN, READ_ONLY, SEEDED

_DRAIN_S = 8.0
_CUSTOMERS = 200


@dataclass(kw_only=True)
class LoadReport:
    """`acknowledged`: answers by kind of request. `failed`: what else came of a request, by kind. Milliseconds.

    `late_ms`: by how much the generator itself was behind its schedule, at most.
    """

    seconds: float = 0.0
    acknowledged: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    write_p50_ms: float = 0.0
    write_p99_ms: float = 0.0
    write_max_ms: float = 0.0
    late_ms: float = 0.0


class Load:
    """All clients, on one event loop."""

    def __init__(self, port: int, *, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._idle: list[ClientConnection] = []
        self._sent: dict[ClientConnection, tuple[str, float]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._write_s: list[float] = []
        self._report = LoadReport()
        self._number = 0

    async def run(self, stop: asyncio.Event, *, writes_per_s: float, reads_per_s: float) -> LoadReport:
        """Until `stop` is set and every answer is in."""
        began = time.monotonic()
        await asyncio.gather(self._pace(stop, "write", writes_per_s), self._pace(stop, "read", reads_per_s))
        self._report.seconds = time.monotonic() - began
        deadline = time.monotonic() + _DRAIN_S
        while (self._sent or self._connecting) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._report.failed.update(f"{kind} unanswered" for kind, _ in self._sent.values())
        ordered = sorted(self._write_s) or [0.0]
        self._report.write_p50_ms = ordered[len(ordered) // 2] * 1000
        self._report.write_p99_ms = ordered[-(-len(ordered) * 99 // 100) - 1] * 1000
        self._report.write_max_ms = ordered[-1] * 1000
        return self._report

    async def _pace(self, stop: asyncio.Event, kind: str, per_s: float) -> None:
        """One request every 1/`per_s` seconds; those that fell due meanwhile are sent at once."""
        due = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            self._report.late_ms = max(self._report.late_ms, (now - due) * 1000)
            while due <= now:
                self._begin(kind)
                due += 1 / per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _begin(self, kind: str) -> None:
        name, request = self._request(kind)
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._send(connection, name, request)
                return
        task = asyncio.ensure_future(self._connect_and_send(name, request))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _request(self, kind: str) -> tuple[str, bytes]:
        self._number += 1
        headers = {"x-customer-id": f"c{self._random.randrange(_CUSTOMERS)}", "x-request-id": f"b{self._number}"}
        if kind == "read":
            return "read", request_bytes("GET", f"/api/items/{self._random.randint(1, READ_ONLY)}", headers)
        if self._number % 2:
            body = json.dumps({"name": f"new-{self._number}"}).encode()
            return "insert", request_bytes("POST", "/api/items", headers, body)
        return "update", request_bytes("POST", f"/api/items/{self._random.randint(FIRST_WRITTEN, SEEDED)}", headers)

    async def _connect_and_send(self, name: str, request: bytes) -> None:
        began = time.monotonic()
        try:
            connection = await connect("127.0.0.1", self._port, self._on_answer, self._on_lost)
        except OSError as error:
            self._report.failed[f"{name} {type(error).__name__}"] += 1
            return
        self._send(connection, name, request, began)

    def _send(self, connection: ClientConnection, name: str, request: bytes, began: float | None = None) -> None:
        self._sent[connection] = (name, time.monotonic() if began is None else began)
        connection.send(request)

    def _on_answer(self, connection: ClientConnection, status: int, body: bytes) -> None:
        name, began = self._sent.pop(connection)
        if name != "read":
            self._write_s.append(time.monotonic() - began)
        if 200 <= status < 300:
            self._report.acknowledged[name] += 1
        else:
            self._report.failed[f"{name} {status} {body[:80].decode(errors='replace')}"] += 1
        if connection.is_open:
            self._idle.append(connection)

    def _on_lost(self, connection: ClientConnection) -> None:
        name, _ = self._sent.pop(connection)
        self._report.failed[f"{name} connection lost"] += 1


async def _until_told(options: argparse.Namespace) -> LoadReport:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    load = Load(options.port, seed=options.seed)
    return await load.run(stop, writes_per_s=options.writes_per_s, reads_per_s=options.reads_per_s)


def main() -> None:
    """`python -m benchmarks.thin_store.load`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thin_store.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--writes-per-s", type=float, required=True)
    parser.add_argument("--reads-per-s", type=float, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--report", type=Path, required=True)
    options = parser.parse_args()
    report = uvloop.run(_until_told(options))
    options.report.write_text(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
