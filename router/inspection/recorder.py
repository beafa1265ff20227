"""Hands records from the event loop to the one thread that writes them, in batches."""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta

from router.inspection.errors import RecordBusy, RecordNotWritten
from router.parallel_log import ParallelRunLog
from router.parallel_values import NotCompared, Record

_log = logging.getLogger(__name__)
FLUSH_S = 0.2
PRUNE_EVERY = timedelta(hours=1)
MAX_WAITING = 20_000


class Recorder:
    """`add` never blocks. Beyond `MAX_WAITING` records the newest are dropped, and that is recorded too."""

    def __init__(self, open_log: Callable[[], ParallelRunLog], now: Callable[[], datetime]) -> None:
        self._open_log = open_log
        self._now = now
        self._waiting: deque[Record] = deque()
        self._overflow: Counter[tuple[str, str]] = Counter()
        self._masks: tuple[str, ...] | None = None
        self._lock = threading.Lock()
        self._next_prune: datetime | None = None
        self._wake = threading.Event()
        self._is_closing = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        if len(self._waiting) >= MAX_WAITING:
            with self._lock:
                self._overflow[record.move, record.endpoint] += 1
            return
        self._waiting.append(record)

    def declare_masks(self, ids: tuple[str, ...]) -> None:
        self._masks = ids

    def close(self) -> None:
        """Write what waits and stop. Blocks until it is durable."""
        self._is_closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        log = self._open_log()
        try:
            self._flush(log)
            while not self._is_closing:
                self._wake.wait(FLUSH_S)
                self._flush(log)
            self._flush(log)
        finally:
            log.close()

    def _flush(self, log: ParallelRunLog) -> None:
        """Write one batch; what cannot be written now waits for the next time."""
        now = self._now()
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        with self._lock:
            overflow, self._overflow = self._overflow, Counter()
        masks, self._masks = self._masks, None
        lost = [
            NotCompared(at=now, endpoint=endpoint, kind="dropped", reason="record-full", move=move)
            for (move, endpoint), n in overflow.items()
            for _ in range(n)
        ]
        try:
            if masks is not None:
                log.declare_masks(masks)
            log.record([*batch, *lost])
            batch, overflow = [], Counter()
            self._prune(log, now)
            self._problem = ""
        except (RecordBusy, RecordNotWritten) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _log.error("%s; trying again", error)
            self._waiting.extendleft(reversed(batch))
            with self._lock:
                self._overflow += overflow
            self._masks = self._masks or masks

    def _prune(self, log: ParallelRunLog, now: datetime) -> None:
        if self._next_prune is None or now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY
            log.prune(now)
