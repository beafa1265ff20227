"""The write gate: the one point at which it is decided, for every proxy, which side a write goes to.

Envoy asks it before each armed write (`ext_authz`): `/check/<move>`. Open: 200 with the owner in `x-strangler-owner`.
Closed, unknown, or the state file not to be believed: the question is held until the file says open; never a default.
Bounds (`--max-held`, `--hold-seconds`) are the last resort: beyond them 503 with Retry-After, counted in `/status`.

The state file is the truth and the process keeps nothing: stopping it, however rudely, drops the questions in hand,
which Envoy asks again of the next process.

    python -m router.gate --listen 127.0.0.1:9902 --state gate.json
"""

import argparse
import asyncio
import os
import resource
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from router.errors import BadTable
from router.gate_moves import GateLimits, MoveGate
from router.gate_state import GateStates, GateStatus, parse_states
from router.rules import Side
from router.wire import OWNER_HEADER, check_path
from strangler.clock import Clock, SystemClock

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

POLL_S = 0.004
"""How often the state file is looked at while writes come or wait: the delay between a change and its effect."""
IDLE_POLL_S = 0.025
"""How often when nobody has asked for `IDLE_AFTER_S`. The question that ends the pause looks for itself."""
IDLE_AFTER_S = 2.0
MAX_MOVES = 1000

_CHECK = check_path("")
_EMPTY: Message = {"type": "http.response.body", "body": b""}


class Gate:
    """The ASGI application. `follow` keeps it in step with the state file."""

    def __init__(self, path: Path, limits: GateLimits | None = None, clock: Clock | None = None) -> None:
        self._path = path
        self._limits = limits or GateLimits()
        self._clock = clock or SystemClock()
        self._moves: dict[str, MoveGate] = {}
        self._states = GateStates()
        self._seen: tuple[int, int, int] | None = None
        self._file_error: str | None = "not read yet"
        self._follower: asyncio.Task[None] | None = None
        self._asked_at_s = self._looked_at_s = self._clock.monotonic()
        self.refresh()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith(_CHECK):
                await self._check(path[len(_CHECK) :], receive, send)
            elif path == "/status":
                self._look_if_due()
                await _answer(send, 200, self.status().model_dump_json().encode())
            else:
                await _answer(send, 404, b'{"error":"not found"}')
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    def refresh(self) -> None:
        """Take note of the state file if it changed. A file that cannot be read or believed closes every gate."""
        self._looked_at_s = self._clock.monotonic()
        seen = self._stat()
        if seen == self._seen and seen is not None:
            return
        self._seen = seen
        try:
            self._states, self._file_error = parse_states(self._path.read_bytes(), self._path.name), None
        except (OSError, BadTable) as error:
            self._states, self._file_error = GateStates(), str(error)
        for move in {*self._moves, *self._states.moves}:
            self._move(move).apply(self._states.moves.get(move))

    @property
    def pause_s(self) -> float:
        """How long the state file may now go without a look."""
        recent = self._clock.monotonic() - self._asked_at_s < IDLE_AFTER_S
        return POLL_S if recent or self._held_now() else IDLE_POLL_S

    def status(self) -> GateStatus:
        moves = {name: gate.status() for name, gate in sorted(self._moves.items())}
        return GateStatus(pid=os.getpid(), file_error=self._file_error, moves=moves)

    def _look_if_due(self) -> None:
        """No answer is older than `POLL_S`, however long the follower rests."""
        if self._clock.monotonic() - self._looked_at_s > POLL_S:
            self.refresh()

    def _held_now(self) -> int:
        return sum(gate.held_now for gate in self._moves.values())

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self._path)  # noqa: PTH116 — up to 250 times a second, without building a Path
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def _move(self, name: str) -> MoveGate:
        gate = self._moves.get(name)
        if gate is None:
            state = self._states.moves.get(name)
            gate = self._moves[name] = MoveGate(state, self._clock.monotonic, self._clock.now)
        return gate

    async def _check(self, move: str, receive: Receive, send: Send) -> None:
        if move not in self._moves and len(self._moves) >= MAX_MOVES:
            await _refuse(send)
            return
        self._look_if_due()
        self._asked_at_s = self._clock.monotonic()
        gate = self._move(move)
        owner = gate.owner
        if owner is None:
            await self._hold(gate, receive, send)
            return
        gate.admit()
        await _admit(send, owner)

    async def _hold(self, gate: MoveGate, receive: Receive, send: Send) -> None:
        if self._held_now() >= self._limits.max_held:
            gate.refuse(None)
            await _refuse(send)
            return
        admission = gate.wait(asyncio.get_running_loop())
        gone = asyncio.ensure_future(_disconnect(receive))
        either: set[asyncio.Future[Any]] = {admission, gone}
        try:
            await asyncio.wait(either, timeout=self._limits.hold_s, return_when=asyncio.FIRST_COMPLETED)
            if admission.done():
                await _admit(send, admission.result())
            elif gone.done():
                gate.leave(admission)
            else:
                gate.refuse(admission)
                await _refuse(send)
        finally:
            gate.leave(admission)
            gone.cancel()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._follower = asyncio.ensure_future(self._follow())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._follower.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _follow(self) -> None:
        while True:
            self.refresh()
            await asyncio.sleep(self.pause_s)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _admit(send: Send, owner: Side) -> None:
    await send(_ADMIT[owner])
    await send(_EMPTY)


async def _refuse(send: Send) -> None:
    await send(_REFUSE)
    await send(_EMPTY)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _start(status: int, header: bytes, value: bytes) -> Message:
    headers = [(header, value), (b"content-length", b"0")]
    return {"type": "http.response.start", "status": status, "headers": headers}


_ADMIT: dict[Side, Message] = {
    "legacy": _start(200, OWNER_HEADER.encode(), b"legacy"),
    "service": _start(200, OWNER_HEADER.encode(), b"service"),
}
_REFUSE = _start(503, b"retry-after", b"1")


class _CrashOnlyServer(uvicorn.Server):
    """Ends at once: an answer made up while shutting down would fail a write that may only be asked again."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        os._exit(0)


def _allow_many_connections() -> None:
    """Each held write is a connection: take as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(arguments: list[str] | None = None) -> None:
    """`python -m router.gate`: serve until ended by a signal."""
    parser = argparse.ArgumentParser(prog="python -m router.gate", description="The write gate.")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--state", required=True, type=Path, metavar="FILE")
    parser.add_argument("--max-held", type=int, default=GateLimits().max_held, help="writes held at once")
    parser.add_argument("--hold-seconds", type=float, default=GateLimits().hold_s, help="longest hold of one write")
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    _allow_many_connections()
    limits = GateLimits(max_held=options.max_held, hold_s=options.hold_seconds)
    config = uvicorn.Config(
        Gate(options.state, limits),
        host=host,
        port=int(port),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=4096,
        timeout_keep_alive=75,
        limit_concurrency=None,
    )
    _CrashOnlyServer(config).run()


if __name__ == "__main__":
    main()
