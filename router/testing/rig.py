"""Envoy, the gate and two echoing backends as processes on free loopback ports, gone when the context ends."""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from router.envoy.admin import EnvoyAdmin
from router.envoy.options import ProxyOptions
from router.envoy.process import envoy_command
from router.envoy.publish import publish
from router.gate_control import GateClient, GateFile
from router.routes import Backend, MoveRoutes, RouteTable
from router.traffic import Traffic, TrafficSettings
from strangler.errors import Unreachable

START_TIMEOUT_S = 30.0
TOKEN = "operator-token-for-tests"


@dataclass(kw_only=True)
class TrafficRig:
    """What is running, and where."""

    folder: Path
    settings: TrafficSettings
    legacy: Backend
    service: Backend
    gate: Backend
    admin: EnvoyAdmin
    gate_client: GateClient
    traffic: Traffic
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return f"http://{self.settings.proxy.listen}"

    @property
    def gate_file(self) -> GateFile:
        return GateFile(self.settings.gate_path)

    def table(self, *moves: MoveRoutes, version: int = 1) -> RouteTable:
        """A table with this rig's backends. The inspection plane is played by the service's backend."""
        return RouteTable(
            version=version,
            legacy=self.legacy,
            services=(self.service,),
            inspection=Backend(name="inspection", url=self.service.url),
            gate=self.gate,
            force_token=TOKEN,
            moves=moves,
        )

    def apply(self, table: RouteTable) -> None:
        """Publish a table past the table file, and wait until the proxy routes by it."""
        refused_before = self.admin.rejections()
        publish(table, self.settings.envoy_folder, self.settings.proxy)
        self.admin.wait_for_version(table.version, START_TIMEOUT_S, refused_before)

    def start(self, name: str, *options: str) -> None:
        """Start `legacy`, `service`, `gate` or `envoy` (with these options more) and wait until it answers."""
        commands = {
            "legacy": _python("router.testing.echo", "--name", "legacy", "--listen", _address(self.legacy)),
            "service": _python("router.testing.echo", "--name", "service", "--listen", _address(self.service)),
            "gate": _python("router.gate", "--listen", _address(self.gate), "--state", str(self.settings.gate_path)),
            "envoy": envoy_command(self.settings.envoy_folder),
        }
        probes = {
            "legacy": self.legacy.url,
            "service": self.service.url,
            "gate": f"{self.gate.url}/status",
            "envoy": f"{self.settings.admin_url}/ready",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen([*commands[name], *options], stdout=log, stderr=log)
        self._wait_until_up(name, probes[name])

    def kill(self, name: str) -> None:
        """End one process at once, as a crash would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def _wait_until_up(self, name: str, url: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.processes[name].poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                    return
            time.sleep(0.02)
        log = (self.folder / f"{name}.log").read_text()[-2000:]
        raise Unreachable(thing=name, reason=f"did not start: {log}", mend="see the message")


@contextlib.contextmanager
def running_rig() -> Iterator[TrafficRig]:
    """Start everything with a table that has no move: all requests go to `legacy`."""
    folder = Path(tempfile.mkdtemp(prefix="strangler-rig-"))
    legacy, service, gate, listen, admin = (f"127.0.0.1:{port}" for port in _free_ports(5))
    settings = TrafficSettings(
        table_path=folder / "routes.json",
        gate_path=folder / "gate.json",
        envoy_folder=folder / "envoy",
        admin_url=f"http://{admin}",
        gate_url=f"http://{gate}",
        proxy=ProxyOptions(listen=listen, admin=admin, access_log=str(folder / "access.log")),
    )
    rig = TrafficRig(
        folder=folder,
        settings=settings,
        legacy=Backend(name="legacy", url=f"http://{legacy}"),
        service=Backend(name="catalog", url=f"http://{service}"),
        gate=Backend(name="gate", url=f"http://{gate}"),
        admin=EnvoyAdmin(settings.admin_url),
        gate_client=GateClient(settings.gate_url),
        traffic=Traffic(settings),
    )
    try:
        rig.traffic.prepare(rig.table(version=0))
        for name in ("legacy", "service", "gate", "envoy"):
            rig.start(name)
        yield rig
    finally:
        for name in list(rig.processes):
            rig.kill(name)
        for each in (rig.admin, rig.gate_client, rig.traffic):
            each.close()
        shutil.rmtree(folder, ignore_errors=True)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _address(backend: Backend) -> str:
    return f"{backend.host}:{backend.port}"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
