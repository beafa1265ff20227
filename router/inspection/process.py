"""The inspection process: mitmproxy in reverse mode with our addon, until SIGTERM or SIGINT."""

import asyncio
import json
import signal
from pathlib import Path

from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from router.inspection.addon import InspectionAddon
from router.inspection.errors import ListenerNotOpened
from router.inspection.policy import PolicyFile
from router.inspection.settings import InspectionSettings
from router.inspection.shadow_line import ShadowLine
from router.parallel_log import ParallelRunLog
from strangler.clock import SystemClock

DRAIN_S = 5.0
"""How long requests under way may take once the process is told to stop."""
_POLL_S = 0.02


async def serve(settings: InspectionSettings) -> None:
    """Serve until told to stop, then drain and flush. Prints one JSON line `{"listening": "host:port"}` when ready.

    Raises `BadInput` for a bad rule or record file and `ListenerNotOpened`; nothing is served then.
    """
    clock = SystemClock()
    policies = PolicyFile(settings.rules, clock)
    _check_record(settings.record)
    line = ShadowLine(settings, clock)
    addon = InspectionAddon(settings=settings, shadow=line, policies=policies, clock=clock)
    master = DumpMaster(_options(settings), with_termlog=False, with_dumper=False)
    master.addons.remove(master.addons.get("errorcheck"))  # it would end the process without saying why
    master.addons.add(addon)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = loop.create_task(master.run())
    try:
        await line.start()
        await _announce(master, running, settings)
        await asyncio.wait([running, loop.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        await _drain(master, addon)
    finally:
        await line.close()
        master.shutdown()
        await asyncio.wait([running])
    running.result()


def _check_record(path: Path) -> None:
    """Open the record once, so that a bad one is refused before anything is served."""
    log = ParallelRunLog(path)
    log.declare_masks(())
    log.close()


def _options(settings: InspectionSettings) -> Options:
    options = Options(
        mode=[f"reverse:{settings.control}"], listen_host=settings.listen_host, listen_port=settings.listen_port
    )
    # Options that belong to addons are known only once those are loaded.
    options.update_defer(
        keep_host_header=True,
        connection_strategy="lazy",
        onboarding=False,
        flow_detail=0,
        console_eventlog_verbosity="error",
    )
    return options


async def _announce(master: DumpMaster, running: "asyncio.Task[None]", settings: InspectionSettings) -> None:
    server = master.addons.get("proxyserver")
    while not server.is_running or not server.listen_addrs():
        if running.done() or any(instance.last_exception for instance in server.servers):
            raise ListenerNotOpened(
                thing=f"{settings.listen_host}:{settings.listen_port}",
                reason="cannot be listened on",
                mend="stop what uses this port, or choose another with --listen",
            )
        await asyncio.sleep(_POLL_S)
    host, port = server.listen_addrs()[0][:2]
    print(json.dumps({"listening": f"{host}:{port}"}), flush=True)


async def _drain(master: DumpMaster, addon: InspectionAddon) -> None:
    """Accept no more connections; give the requests under way their time."""
    await master.addons.get("proxyserver").servers.update([])
    for _ in range(round(DRAIN_S / _POLL_S)):
        if addon.open_requests == 0:
            break
        await asyncio.sleep(_POLL_S)
    await asyncio.sleep(_POLL_S)
