"""Recording through mitmproxy: until a time is over, or somebody ends it."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from router.learning.addon import RecorderAddon
from router.learning.record_file import RecordFile
from router.learning.secrets_hidden import Hidden
from router.learning.settings import RecordSettings
from router.learning.turns import Turnstile
from router.reverse_proxy import drain, listening, quiet_master, reverse_options
from strangler.clock import Clock

DRAIN_S = 10.0


async def record(
    settings: RecordSettings,
    *,
    clock: Clock,
    run: str,
    fresh_id: Callable[[], str],
    hidden: Hidden | None,
    turnstile: Turnstile | None,
    for_s: float | None,
    on_ready: Callable[[], None],
    on_ending: Callable[[], None],
) -> None:
    """Record until `for_s` seconds are over, or SIGINT or SIGTERM comes; requests under way are waited for.

    Raises `ListenerNotOpened`, and `RecordNotWritable` at the end when lines are missing from the record.
    """
    host, port = settings.listen_address
    with closing(RecordFile(settings.out)) as file:
        addon = RecorderAddon(
            record=file,
            clock=clock,
            run=run,
            fresh_id=fresh_id if settings.gives_traces else None,
            turnstile=turnstile,
            hidden=hidden,
        )
        options = reverse_options(settings.upstream, host, port)
        options.update_defer(ssl_verify_upstream_trusted_ca=_existing(settings.trusted_ca))
        master = quiet_master(options)
        master.addons.add(addon)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        running = loop.create_task(master.run())
        stopped = loop.create_task(stop.wait())
        try:
            await listening(master, running, host, port)
            on_ready()
            await asyncio.wait([running, stopped], timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
            on_ending()
            await drain(master, lambda: addon.open_requests, DRAIN_S)
        finally:
            stopped.cancel()
            master.shutdown()
            await asyncio.wait([running])
        running.result()
        if addon.problem is not None:
            raise addon.problem


def _existing(path: str) -> str | None:
    return path if Path(path).exists() else None
