"""Requests a second through Envoy with the catalog's rendered routes, reads half ramped, against one `prefix: /` route.

Three Envoys of one worker thread each: ours, the plain one, and the backend, which answers by itself. The proxy under
test has a core of its own; client and backend share the next. The proxy is the bottleneck when its core is full.
"""

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.connection import request_bytes
from benchmarks.cores import cpu_seconds, pin, pinned_here
from benchmarks.harness import Case
from benchmarks.machine import usable_cores
from benchmarks.throughput import saturate
from commands.traffic import move_routes
from migration_plans.plan_file import load_plan
from router.envoy.options import ProxyFiles, ProxyOptions
from router.routes import WHOLE, Backend, RouteTable
from router.traffic import Traffic, TrafficSettings
from sandbox.envoy import envoy_program
from sandbox.supervision import Stack

CONNECTIONS = 64
READ_PERCENT = 50
_RUN_S = 4.0
_FULL_CORE = 0.95
_PLAN = Path(__file__).resolve().parents[2] / "migration_plans" / "catalog.yaml"
_BODY = json.dumps({"id": 1, "name": "Kettle", "description": "x" * 240})
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


@dataclass(kw_only=True)
class _Proxy:
    """One proxy under test. Per run: requests a core-second of the proxy, and how full its core was."""

    pid: int
    port: int
    per_core_s: list[float] = field(default_factory=list)
    core_use: list[float] = field(default_factory=list)

    def measure(self, requests: list[bytes], seconds: float) -> float:
        with pinned_here(1):
            saturate(self.port, requests, connections=CONNECTIONS, seconds=seconds / 8)
            before_s = cpu_seconds(self.pid)
            seen = saturate(self.port, requests, connections=CONNECTIONS, seconds=seconds)
            spent_s = cpu_seconds(self.pid) - before_s
        self.per_core_s.append(seen.requests / spent_s)
        self.core_use.append(spent_s / seen.seconds)
        return seen.per_s


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    with Stack() as stack:
        listen, admin, plain_listen, plain_admin, backend_port, backend_admin = stack.reserve_ports(6)
        _start(stack, "backend", backend_admin, _backend_config(backend_port, backend_admin))
        _start(stack, "plain", plain_admin, _plain_config(plain_listen, plain_admin, backend_port))
        _start_ours(stack, listen, admin, f"http://127.0.0.1:{backend_port}")
        pids = {name: stack.pid(name) or 0 for name in ("ours", "plain", "backend")}
        for name, core in (("ours", 0), ("plain", 0), ("backend", 1)):
            pin(pids[name], core)
        ours, plain = _Proxy(pid=pids["ours"], port=listen), _Proxy(pid=pids["plain"], port=plain_listen)
        requests = _requests()
        yield Case(
            ours=lambda: ours.measure(requests, _RUN_S * scale),
            reference=lambda: plain.measure(requests, _RUN_S * scale),
            unit=f"requests/s, one Envoy thread, {CONNECTIONS} connections",
            notes=lambda: _notes(ours, plain),
        )


def _notes(ours: _Proxy, plain: _Proxy) -> list[str]:
    """What the processor times say."""
    per_core_s = [statistics.median(proxy.per_core_s) for proxy in (ours, plain)]
    use = [statistics.median(proxy.core_use) for proxy in (ours, plain)]
    notes = [
        f"requests per second of the proxy's own processor time: ours {per_core_s[0]:,.0f}, plain {per_core_s[1]:,.0f},"
        f" ratio {per_core_s[0] / per_core_s[1]:.3f}"
    ]
    if min(use) < _FULL_CORE:
        notes.append(f"core of the proxy in use: ours {use[0]:.0%}, plain {use[1]:.0%}; the rest waits for the client")
    if usable_cores() < 2:
        notes.append("one core for everything: the ratio of requests/s flatters the slower, see processor time")
    return notes


def _start(stack: Stack, name: str, admin_port: int, config: dict[str, Any]) -> None:
    path = stack.folder / f"{name}.json"
    path.write_text(json.dumps(config))
    stack.run(envoy_program(path, admin_port=admin_port, name=name))


def _start_ours(stack: Stack, listen: int, admin: int, backend_url: str) -> None:
    """As `strangler up` would start it, with the plan's routes and half of the reads on the service."""
    folder, plan = stack.folder / "ours", load_plan(_PLAN)
    settings = TrafficSettings(
        table_path=folder / "routes.json",
        gate_path=folder / "gate.json",
        envoy_folder=folder / "envoy",
        admin_url=f"http://127.0.0.1:{admin}",
        gate_url=backend_url,
        proxy=ProxyOptions(listen=f"127.0.0.1:{listen}", admin=f"127.0.0.1:{admin}"),
    )
    traffic = Traffic(settings)
    try:
        traffic.prepare(
            RouteTable(
                version=1,
                legacy=Backend(name="legacy", url=backend_url),
                services=(Backend(name="catalog", url=backend_url),),
                gate=Backend(name="gate", url=backend_url),
                force_token="token-of-the-benchmark",
            )
        )
        bootstrap = ProxyFiles(folder=settings.envoy_folder.resolve()).bootstrap
        stack.run(envoy_program(bootstrap, admin_port=admin, name="ours"))
        traffic.install(move_routes(plan))
        traffic.set_read_share(plan.move, WHOLE * READ_PERCENT // 100, everyone=False)
    finally:
        traffic.close()


def _requests() -> list[bytes]:
    """Of ten: seven reads and one write that move, two requests that stay. Bodies are empty: routes are measured."""
    found = []
    for number in range(200):
        headers = {"x-customer-id": f"customer-{number}", "x-request-id": f"request-{number}", "accept": "*/*"}
        targets = [
            *[("GET", f"/api/products/{number}")] * 4,
            ("GET", f"/api/products/by-sku/SKU-{number}"),
            ("GET", f"/api/products?category_id={number % 40}&limit=20"),
            ("GET", f"/api/categories/{number % 40}/products"),
            ("PATCH", f"/api/products/{number}"),
            ("GET", f"/api/orders/{number}"),
            ("GET", "/assets/logo.svg"),
        ]
        found += [request_bytes(method, target, headers) for method, target in targets]
    return found


def _backend_config(port: int, admin: int) -> dict[str, Any]:
    answer = {"status": 200, "body": {"inline_string": _BODY}}
    return _config(port, admin, {"match": {"prefix": "/"}, "direct_response": answer}, clusters=[])


def _plain_config(port: int, admin: int, backend_port: int) -> dict[str, Any]:
    """What one writes by hand for `everything to that backend`."""
    cluster = {
        "name": "backend",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(backend_port)}}]}],
        },
    }
    return _config(port, admin, {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}, clusters=[cluster])


def _config(port: int, admin: int, route: dict[str, Any], *, clusters: list[dict[str, Any]]) -> dict[str, Any]:
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "clients",
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
