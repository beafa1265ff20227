"""The inspection process: mitmproxy in reverse mode with our addon, until SIGTERM or SIGINT."""

import asyncio
import json
import signal
from pathlib import Path

from router.inspection.addon import InspectionAddon
from router.inspection.policy import PolicyFile
from router.inspection.settings import InspectionSettings
from router.inspection.shadow_line import ShadowLine
from router.parallel_log import ParallelRunLog
from router.reverse_proxy import drain, listening, quiet_master, reverse_options
from strangler.clock import SystemClock


async def serve(settings: InspectionSettings) -> None:
    """Serve until told to stop, then drain and flush. Prints one JSON line `{"listening": "host:port"}` when ready.

    Raises `BadInput` for a bad rule or record file and `ListenerNotOpened`; nothing is served then.
    """
    clock = SystemClock()
    policies = PolicyFile(settings.rules, clock)
    _check_record(settings.record)
    line = ShadowLine(settings, clock)
    addon = InspectionAddon(settings=settings, shadow=line, policies=policies, clock=clock)
    master = quiet_master(reverse_options(settings.control, settings.listen_host, settings.listen_port))
    master.addons.add(addon)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = loop.create_task(master.run())
    try:
        await line.start()
        host, port = await listening(master, running, settings.listen_host, settings.listen_port)
        print(json.dumps({"listening": f"{host}:{port}"}), flush=True)
        await asyncio.wait([running, loop.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        await drain(master, lambda: addon.open_requests)
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
