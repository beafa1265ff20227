"""A real inspection process between two scripted backends."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from router.parallel_log import ParallelRunLog

DEADLINE_S = 30.0


@dataclass
class Seen:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Reply:
    body: bytes = b'{"ok": true}'
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    chunks: list[bytes | threading.Event] | None = None
    cut: bool = False


class Backend:
    """Answers each path by its script `(how many came before) -> Reply`; remembers what it was asked."""

    def __init__(self) -> None:
        self.scripts: dict[str, Callable[[int], Reply]] = {}
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self._lock = threading.Lock()
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                backend._answer(self)

            def log_message(self, *args):
                pass

        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_any)

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                """A client that left early is part of the scripts."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def on(self, path: str, script: Callable[[int], Reply] | Reply) -> None:
        self.scripts[path] = script if callable(script) else lambda _n: script

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        path = handler.path.partition("?")[0]
        with self._lock:
            earlier = len(self.seen[path])
            self.seen[path].append(Seen(handler.command, handler.path, list(handler.headers.items()), body))
        reply = self.scripts.get(path, lambda _n: Reply())(earlier)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.chunks is not None:
            handler.send_header("transfer-encoding", "chunked")
            handler.end_headers()
            for chunk in reply.chunks:
                if isinstance(chunk, threading.Event):
                    chunk.wait(DEADLINE_S)
                    continue
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.write(b"0\r\n\r\n")
            return
        handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        handler.close_connection = reply.cut

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Inspection:
    url: str
    record: Path
    process: subprocess.Popen
    client: httpx.Client

    def get(self, path: str, method: str = "GET", **options) -> httpx.Response:
        options.setdefault("headers", {})
        return self.client.request(method, path, **options)

    def summary(self, **options):
        return ParallelRunLog(self.record).summary(**options)

    def endpoint(self, name: str):
        """One endpoint's counts and the kinds of its differences, as far as recorded."""
        summary = self.summary()
        counts = next((dict(item.counts) for item in summary.endpoints if item.endpoint == name), {})
        found = [item for item in summary.differences if item.endpoint == name]
        return {key: n for key, n in counts.items() if n}, found

    def wait_for(self, condition: Callable[["Inspection"], object]):
        """The condition's value once it is true."""
        for _ in range(round(DEADLINE_S / 0.05)):
            value = condition(self)
            if value:
                return value
            assert self.process.poll() is None, "the inspection process ended"
            time.sleep(0.05)
        raise AssertionError(f"never came true; recorded: {self.summary().as_dict()}")

    def wait_for_counts(self, name: str, total: int):
        self.wait_for(lambda me: sum(me.endpoint(name)[0].values()) >= total)
        return self.endpoint(name)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def inspection(control: str, candidate: str, folder: Path, *options: str) -> Iterator[Inspection]:
    command = [sys.executable, "-m", "router.inspection", "--listen", "127.0.0.1:0", "--control", control]
    command += ["--candidate", candidate, "--record", str(folder), "--paired-share", "0"]
    command += ["--confirm-delays", "0.02,0.05,0.1", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line, f"ended with {process.wait(DEADLINE_S)}"
        url = f"http://{json.loads(line)['listening']}"
        with httpx.Client(base_url=url, timeout=DEADLINE_S) as client:
            yield Inspection(url=url, record=folder, process=process, client=client)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)
        process.stdout.close()
