"""The proxy's end of the pipe to the shadow process, which it starts, restarts and ends."""

import asyncio
import logging
import sys
from collections import Counter

from router.inspection.exchange import Exchange
from router.inspection.frames import Frame, pack
from router.inspection.settings import InspectionSettings
from router.parallel_values import NotCompared
from strangler.clock import Clock

_log = logging.getLogger(__name__)
MAX_BUFFERED_BYTES = 32 << 20
RESTART_WAIT_S = 0.5
END_WAIT_S = 10.0


class ShadowLine:
    """A `ShadowPort`. While the shadow process is down or behind, exchanges are dropped and counted."""

    def __init__(self, settings: InspectionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._owed: Counter[tuple[str, str, str, str]] = Counter()
        self._is_closing = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    def submit(self, exchange: Exchange) -> None:
        if not self._send(exchange):
            self._owed["dropped", "shadow-process-behind", exchange.endpoint, exchange.move] += 1

    def not_compared(self, kind: str, reason: str, endpoint: str, move: str) -> None:
        record = NotCompared(at=self._clock.now(), endpoint=endpoint, kind=kind, reason=reason, move=move)
        if not self._send(record):
            self._owed[kind, reason, endpoint, move] += 1

    async def close(self) -> None:
        """Everything sent is compared or counted, and durable, when this returns."""
        self._is_closing = True
        process = self._process
        if process is None or process.stdin is None:
            return
        self._pay()
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_WAIT_S)
        except TimeoutError:
            _log.error("the shadow process did not end in time; its last records may be missing")
            process.kill()
            await process.wait()
        if self._keeper is not None:
            await self._keeper

    def _send(self, frame: Frame) -> bool:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            return False
        if self._owed:
            self._pay()
        pipe.write(pack(frame))
        return True

    def _pay(self) -> None:
        """Send the counts of what could not be sent one by one."""
        owed, self._owed = self._owed, Counter()
        for (kind, reason, endpoint, move), n in owed.items():
            for _ in range(n):
                self.not_compared(kind, reason, endpoint, move)

    async def _spawn(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router.inspection.shadow_process", stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        process.stdin.write(pack(self._settings))  # always the first frame
        self._process = process

    async def _keep(self) -> None:
        while self._process is not None:
            code = await self._process.wait()
            if self._is_closing:
                return
            _log.error("the shadow process ended with code %s; starting it again", code)
            self._process = None
            await asyncio.sleep(RESTART_WAIT_S)
            await self._spawn()
