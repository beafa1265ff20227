"""A worker's loop: runs a session until it ends, records what went wrong, waits as the policy says, runs it again."""

import logging
import threading
from collections.abc import Callable

import psycopg

from cdc.error_policy import Policy, policy_for
from cdc.errors import ApplyFailed
from cdc.link import LinkLimits
from cdc.link_signals import LinkSignals
from strangler.clock import Clock
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)


class Loop:
    """One part of a link in a thread of its own. `session` returns when `stop` is set, or raises."""

    def __init__(
        self,
        part: str,
        name: str,
        session: Callable[[], None],
        *,
        signals: LinkSignals,
        limits: LinkLimits,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._part, self._name, self._session = part, name, session
        self._signals, self._limits, self._clock, self._stop = signals, limits, clock, stop
        self._thread = threading.Thread(target=self._run, name=f"{name} {part}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        wait_s = self._limits.retry_min_s
        while not self._stop.is_set():
            began = self._clock.monotonic()
            try:
                self._session()
                continue
            except StranglerError as error:
                trouble = error
            except Exception as error:  # noqa: BLE001 - a process loop: recorded, shown as the stream's state
                _log.exception("%s %s: unexpected", self._name, self._part)
                trouble = _unexpected(self._name, error)
            self._signals.trouble(self._part, trouble)
            policy = policy_for(trouble)
            _log.warning("%s %s %s: %s", self._name, self._part, policy.value, trouble)
            if policy is Policy.FATAL:
                self._stop.wait()
                return
            if self._clock.monotonic() - began > self._limits.retry_max_s:
                wait_s = self._limits.retry_min_s
            self._stop.wait(wait_s)
            wait_s = min(wait_s * 2, self._limits.retry_max_s)


def _unexpected(name: str, error: Exception) -> ApplyFailed:
    detail = f"SQLSTATE {error.sqlstate}" if isinstance(error, psycopg.Error) else type(error).__name__
    return ApplyFailed(
        thing=f"stream {name}",
        reason=f"unexpected {detail}; the worker's log has the trace",
        mend="report it with the log; the stream retries by itself and has passed nothing",
    )
