"""The stream worker: one process per move, both directions, until it is told to stop."""

import logging
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from types import FrameType

from cdc.apply_loop import ApplyLoop
from cdc.capture_loop import CaptureLoop
from cdc.changelog.local import LocalChangeLog
from cdc.changelog.port import ChangeLog
from cdc.chunk_handover import ChunkHandover
from cdc.copier import CopyLoop
from cdc.errors import BrokerUnreachable, DatabaseUnreachable, NotProvisioned
from cdc.link import LinkSpec
from cdc.link_signals import LinkView
from cdc.loops import Loop
from cdc.metrics.meter import StreamMeter
from cdc.metrics.metered import MeteredChangeLog, MeteredSignals
from cdc.schema_changes.loop import SchemaLoop
from cdc.status_loop import StatusLoop
from strangler.clock import Clock, SystemClock
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)

_SEQUENCES_S = 1.0


def _new_run() -> str:
    return uuid.uuid4().hex


def _open_local_log(link: LinkSpec) -> ChangeLog:
    return LocalChangeLog(link.log_folder)


class StreamWorker:
    """Runs links. Each has a thread for capture, apply, status and, where it follows a copy, the copier.

    `push_sequences` is called every second; it decides itself which side owns. `open_log` and `new_run` (a unique id
    per copier run) are for tests.
    """

    def __init__(
        self,
        links: Sequence[LinkSpec],
        *,
        clock: Clock | None = None,
        push_sequences: Callable[[], None] | None = None,
        open_log: Callable[[LinkSpec], ChangeLog] = _open_local_log,
        new_run: Callable[[], str] = _new_run,
    ) -> None:
        self._clock = clock or SystemClock()
        self._push_sequences = push_sequences
        self._links = [_RunningLink(link, self._clock, open_log, new_run) for link in links]

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then the batches in hand are finished.

        Raises `StreamBusy` or `LogInUse` at once when another worker runs one of the streams. Later trouble is shown in
        `strangler.stream_status`, and the worker keeps trying what can succeed.
        """
        started: list[_RunningLink] = []
        try:
            for link in self._links:
                link.prepare()
                started.append(link)
            for link in started:
                link.start()
            while not stop.wait(_SEQUENCES_S):
                self._push()
        finally:
            for link in started:
                link.request_stop()
            for link in started:
                link.finish()

    def views(self) -> dict[str, LinkView]:
        """Each stream's state now."""
        return {link.stream: link.signals.view() for link in self._links}

    def meters(self) -> dict[str, StreamMeter]:
        """Each stream's counts since this worker began."""
        return {link.stream: link.meter for link in self._links}

    def _push(self) -> None:
        if self._push_sequences is None:
            return
        try:
            self._push_sequences()
        except StranglerError as error:
            _log.warning("sequences were not pushed: %s", error)
        except Exception:  # noqa: BLE001 - a process loop: recorded, tried again a second later; the streams go on
            _log.exception("sequences were not pushed: unexpected")


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`. Main thread only."""

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, set_stop)
    signal.signal(signal.SIGINT, set_stop)


class _RunningLink:
    def __init__(
        self,
        link: LinkSpec,
        clock: Clock,
        open_log: Callable[[LinkSpec], ChangeLog],
        new_run: Callable[[], str],
    ) -> None:
        self._link, self._clock, self._open_log, self._new_run = link, clock, open_log, new_run
        self._stop, self._status_stop = threading.Event(), threading.Event()
        self.meter = StreamMeter()
        self.signals = MeteredSignals(self.meter, clock)
        self._handover = ChunkHandover(in_flight=link.limits.copy_chunks_in_flight)
        self._log: ChangeLog | None = None
        self._apply: ApplyLoop | None = None
        self._loops: list[Loop] = []
        self._status: Loop | None = None

    @property
    def stream(self) -> str:
        return self._link.stream

    def prepare(self) -> None:
        """Take what only one worker may have. A database that does not answer yet is waited for later."""
        log = self._log = MeteredChangeLog(self._open_log(self._link), self.meter, self._clock)
        apply = self._apply = ApplyLoop(
            self._link, log, signals=self.signals, handover=self._handover, clock=self._clock, stop=self._stop
        )
        try:
            apply.prepare()
        except (BrokerUnreachable, DatabaseUnreachable, NotProvisioned) as error:
            self.signals.trouble("apply", error)
        except BaseException:
            log.close()
            raise

    def start(self) -> None:
        assert self._log is not None
        assert self._apply is not None
        capture = CaptureLoop(self._link, self._log, signals=self.signals, clock=self._clock, stop=self._stop)
        self._loops = [self._loop("apply", self._apply.session), self._loop("capture", capture.session)]
        if self._link.follows_copy:
            copy = CopyLoop(
                self._link, signals=self.signals, handover=self._handover, new_run=self._new_run, stop=self._stop
            )
            self._loops.append(self._loop("copy", copy.session))
        if self._link.evolution is not None:
            schema = SchemaLoop(self._link.evolution, signals=self.signals, stop=self._stop)
            self._loops.append(self._loop("schema", schema.session))
        status = StatusLoop(self._link, signals=self.signals, meter=self.meter, stop=self._status_stop)
        self._status = self._loop("status", status.session, self._status_stop)
        for loop in [*self._loops, self._status]:
            loop.start()

    def request_stop(self) -> None:
        self._stop.set()
        self._handover.close()
        self.signals.wake()

    def finish(self) -> None:
        """Wait for the batches in hand; then give everything back."""
        for loop in self._loops:
            loop.join()
        self._status_stop.set()
        if self._status is not None:
            self._status.join()
        elif self._apply is not None:
            self._apply.close()
        if self._log is not None:
            self._log.close()

    def _loop(self, part: str, session: Callable[[], None], stop: threading.Event | None = None) -> Loop:
        return Loop(
            part,
            self.stream,
            session,
            signals=self.signals,
            limits=self._link.limits,
            clock=self._clock,
            stop=stop or self._stop,
        )
