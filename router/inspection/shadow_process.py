"""The shadow process: reads exchanges from standard input, asks, compares and records until the pipe ends.

It runs beside the proxy, at lower priority, so that nothing it does is in the way of an answer. It ends when the pipe
does, whatever happened to the proxy.
"""

import asyncio
import logging
import os
import signal
import sys
from random import Random

from router.inspection.exchange import Exchange
from router.inspection.frames import read_frame
from router.inspection.policy import PolicyFile
from router.inspection.recorder import Recorder
from router.inspection.settings import InspectionSettings
from router.inspection.shadower import Shadower
from router.inspection.side_client import SideClient
from router.parallel_log import ParallelRunLog
from router.parallel_values import NotCompared
from strangler.clock import SystemClock

DRAIN_S = 5.0
"""How long comparisons under way may take once the pipe has ended."""
_NICENESS = 3
_MAX_FRAME_BUFFER = 1 << 20


async def run() -> None:
    """Serve one pipe to its end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)  # the pipe's end is the only signal
    reader = asyncio.StreamReader(limit=_MAX_FRAME_BUFFER)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    settings = await read_frame(reader)
    if not isinstance(settings, InspectionSettings):
        return
    clock = SystemClock()
    recorder = Recorder(lambda: ParallelRunLog(settings.record), clock.now)
    policies = PolicyFile(settings.rules, clock, on_change=lambda policy: recorder.declare_masks(policy.mask_ids))
    clients = [
        SideClient(url, timeout_s=settings.timeout_s, body_limit=settings.body_limit, clock=clock)
        for url in (settings.control, settings.candidate)
    ]
    shadower = Shadower(
        settings=settings,
        policies=policies,
        legacy=clients[0],
        service=clients[1],
        record=recorder.add,
        clock=clock,
        random=Random(settings.seed),
    )
    try:
        while (frame := await read_frame(reader)) is not None:
            if isinstance(frame, Exchange):
                shadower.submit(frame)
            elif isinstance(frame, NotCompared):
                recorder.add(frame)
        await shadower.close(DRAIN_S)
    finally:
        recorder.close()


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s shadow: %(message)s", stream=sys.stderr)
    os.nice(_NICENESS)
    asyncio.run(run())


if __name__ == "__main__":
    main()
