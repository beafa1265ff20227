"""The toolkit's own long-running programs for one service, as specs for a supervised stack."""

import sys
from pathlib import Path

import httpx

from commands.context import Context
from commands.layout import Layout
from commands.traffic import backends, open_traffic
from router.envoy.options import ProxyFiles
from sandbox.apps import python_program
from sandbox.envoy import envoy_program
from sandbox.programs import PROXY_PRIORITY, Probe, ProgramSpec
from strangler.errors import BadInput
from strangler.settings import Settings


def toolkit_programs(context: Context, service: str) -> list[ProgramSpec]:
    """Envoy, write gate, inspection plane and stream worker, in the order in which they must start.

    Writes the files that Envoy starts from. The programs restart when they die: each resumes from its files.
    """
    settings = context.settings
    layout, router = Layout.of(settings), settings.router
    move = context.plan(service).move
    with open_traffic(settings) as traffic:
        traffic.prepare(backends(settings))
    bootstrap = ProxyFiles(folder=layout.envoy.resolve()).bootstrap
    return [
        python_program(
            "gate",
            "router.gate",
            ["--listen", router.gate, "--state", str(layout.gate.resolve())],
            ready=_answers(f"http://{router.gate}/status"),
        ),
        envoy_program(
            bootstrap, admin_port=_port(router.admin), concurrency=router.envoy_concurrency, autorestart=True
        ),
        python_program(
            "inspection",
            "router.inspection",
            [
                *("--listen", router.inspect),
                *("--control", settings.legacy.url),
                *("--candidate", settings.service(service).url),
                *("--move", move),
                *("--record", str(layout.parallel_run(move).resolve())),
                *rules_option(settings, service),
            ],
            ready=_accepts(f"http://{router.inspect}/"),
        ),
        worker_program(context.config_path, service),
    ]


def rules_option(settings: Settings, service: str) -> tuple[str, ...]:
    """The rule file of the service's parallel run, for the inspection plane. Raises `BadInput` when it is not there."""
    rules = settings.service(service).rules
    if rules is None:
        return ()
    path = (settings.root / rules).resolve()
    if not path.is_file():
        raise BadInput(
            thing=f"[services.{service}] rules = {str(rules)!r}",
            reason=f"there is no file {path}",
            mend="write it (docs/parallel-run-rules.md), or leave the key out",
        )
    return ("--rules", str(path))


def worker_program(config: Path, service: str) -> ProgramSpec:
    """The stream worker; it waits for a prepared move by itself."""
    return ProgramSpec(
        name="stream",
        argv=(sys.executable, "-m", "cli", "--config", str(config.resolve()), "cdc", "stream", service),
        autorestart=True,
        stop_seconds=15,
        priority=PROXY_PRIORITY,
    )


def _answers(url: str) -> Probe:
    def probe() -> bool:
        try:
            return httpx.get(url, timeout=1.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    return probe


def _accepts(url: str) -> Probe:
    """Any answer will do: behind it stands an application whose answers are not ours."""

    def probe() -> bool:
        try:
            httpx.get(url, timeout=2.0, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    return probe


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
