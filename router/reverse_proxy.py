"""A mitmproxy in reverse mode around one addon: its options, when it listens, and its end."""

import asyncio
from collections.abc import Callable

from mitmproxy.options import Options
from mitmproxy.tools.dump import DumpMaster

from router.inspection.errors import ListenerNotOpened

DRAIN_S = 5.0
"""How long requests under way may take once the process is told to stop."""
_POLL_S = 0.02


def reverse_options(upstream: str, host: str, port: int) -> Options:
    """Everything goes to the base URL `upstream`, as the client sent it."""
    options = Options(mode=[f"reverse:{upstream}"], listen_host=host, listen_port=port)
    # Options that belong to addons are known only once those are loaded.
    options.update_defer(
        keep_host_header=True,
        connection_strategy="lazy",
        onboarding=False,
        flow_detail=0,
        console_eventlog_verbosity="error",
    )
    return options


def quiet_master(options: Options) -> DumpMaster:
    """A proxy that prints nothing and leaves it to us to say why it cannot start."""
    master = DumpMaster(options, with_termlog=False, with_dumper=False)
    master.addons.remove(master.addons.get("errorcheck"))  # it would end the process without saying why
    return master


async def listening(master: DumpMaster, running: "asyncio.Task[None]", host: str, port: int) -> tuple[str, int]:
    """Wait until it listens, and say where. Raises `ListenerNotOpened`."""
    server = master.addons.get("proxyserver")
    while not server.is_running or not server.listen_addrs():
        if running.done() or any(instance.last_exception for instance in server.servers):
            raise ListenerNotOpened(
                thing=f"{host}:{port}",
                reason="cannot be listened on",
                mend="stop what uses this port, or choose another with --listen",
            )
        await asyncio.sleep(_POLL_S)
    at = server.listen_addrs()[0]
    return str(at[0]), int(at[1])


async def drain(master: DumpMaster, open_requests: Callable[[], int], drain_s: float = DRAIN_S) -> None:
    """Accept no more connections; give the requests under way their time."""
    await master.addons.get("proxyserver").servers.update([])
    for _ in range(round(drain_s / _POLL_S)):
        if open_requests() == 0:
            break
        await asyncio.sleep(_POLL_S)
    await asyncio.sleep(_POLL_S)
