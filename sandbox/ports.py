"""Loopback ports that nobody else gets: no port is handed out twice, and reserved ones stay held.

A reserved port is held by a bound socket that never listens. On Linux a server that sets SO_REUSEADDR (all of ours
do) may bind and listen on it meanwhile, while the kernel gives it to no other program, neither for `bind(0)` nor as the
near end of an outgoing connection. So there is no moment between "found" and "used", not even across a restart.
Elsewhere the holding socket would keep the server out too; there it is let go as soon as its batch is complete.
"""

import contextlib
import socket
import sys
import threading
from types import TracebackType
from typing import Self

_HOST = "127.0.0.1"
_ATTEMPTS = 1000

_lock = threading.Lock()
_handed_out: set[int] = set()


def free_port() -> int:
    """A loopback TCP port that was free a moment ago; never the same twice in this process."""
    with contextlib.closing(_bind_fresh()) as probe:
        return _port_of(probe)


class ReservedPorts:
    """Ports that stay ours until `close`."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, count: int) -> tuple[int, ...]:
        """`count` distinct ports, all held at once before the first is returned."""
        batch = [_bind_fresh() for _ in range(count)]
        ports = tuple(_port_of(holder) for holder in batch)
        if sys.platform == "linux":
            self._held += batch
        else:
            _close_all(batch)
        return ports

    def close(self) -> None:
        """Let all ports go. May be called again."""
        _close_all(self._held)
        self._held = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _bind_fresh() -> socket.socket:
    """A bound socket on a port that this process has not handed out before."""
    rejected: list[socket.socket] = []
    try:
        for _ in range(_ATTEMPTS):
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((_HOST, 0))
            with _lock:
                if (port := _port_of(holder)) not in _handed_out:
                    _handed_out.add(port)
                    return holder
            rejected.append(holder)
        with _lock:
            _handed_out.clear()
        return rejected.pop()
    finally:
        _close_all(rejected)


def _close_all(sockets: list[socket.socket]) -> None:
    for held in sockets:
        held.close()


def _port_of(held: socket.socket) -> int:
    port: int = held.getsockname()[1]
    return port
