"""`strangler gather record` as a process of its own, as a user starts it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.ports import free_port

START_S = 90.0


@dataclass(kw_only=True)
class Recording:
    url: str
    out: Path
    process: subprocess.Popen[str]
    said: Path
    seen: dict[str, Any] = field(default_factory=dict)
    """What it printed at its end."""

    def end(self, number: int = signal.SIGINT) -> dict[str, Any]:
        """Interrupt it, unless it has ended by itself; what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.said.read_text()
        self.seen = json.loads(printed)
        return self.seen

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]


@contextmanager
def recording(upstream: str, out: Path, *options: str) -> Iterator[Recording]:
    """Recording has begun; it is ended with the context, if it still runs."""
    listen = options[options.index("--listen") + 1] if "--listen" in options else f"127.0.0.1:{free_port()}"
    said = out.with_suffix(f".{free_port()}.said")
    command = [sys.executable, "-m", "cli", "gather", "record", "--upstream", upstream, "--listen", listen, "--json"]
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--out", str(out), *options], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    running = Recording(url=f"http://{listen}", out=out, process=process, said=said)
    try:
        deadline = time.monotonic() + START_S
        while "recording: send the clients" not in said.read_text():
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        yield running
        if process.poll() is None:
            running.end()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
