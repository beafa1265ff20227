"""What the threads of one link tell each other."""

import threading
from dataclasses import dataclass

from cdc.error_policy import Policy, policy_for
from cdc.lsn import ZERO, Lsn
from strangler.errors import StranglerError

PARTS = ("apply", "capture", "copy", "schema")


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkView:
    """One moment of a link. `lag_bytes`: source log captured and not yet applied.

    `progress`: (events written, of how many) of a large transaction that is being applied.
    """

    state: str
    error: dict[str, str] | None
    applied: Lsn
    captured: Lsn
    progress: tuple[int, int] | None = None

    @property
    def lag_bytes(self) -> int:
        return max(0, self.captured - self.applied)


class LinkSignals:
    """Positions and troubles of one link. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._applied: Lsn | None = None
        self._captured = ZERO
        self._idle_through = (ZERO, 0)
        self._copying = False
        self._progress: tuple[int, int] | None = None
        self._troubles: dict[str, StranglerError] = {}

    @property
    def version(self) -> int:
        """Grows whenever capture has something new; pass it to `wait_for_capture`."""
        with self._changed:
            return self._version

    def wait_for_capture(self, version: int, timeout_s: float) -> None:
        """Return as soon as something came after `version`, or after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout_s)

    def wake(self) -> None:
        """Let everybody who waits look around."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def captured(self, lsn: Lsn) -> None:
        """Transactions through `lsn` are durable in the change log."""
        with self._changed:
            self._captured = max(self._captured, lsn)
        self.wake()

    def idle(self, lsn: Lsn, source_time_us: int) -> None:
        """Everything that committed through `lsn` is in the change log; what is not there does not concern us.

        `source_time_us`: when the source had come that far, by its own clock.
        """
        with self._changed:
            self._idle_through = max(self._idle_through, (lsn, source_time_us))

    @property
    def idle_through(self) -> tuple[Lsn, int]:
        """(position, source time in microseconds) as last told to `idle`."""
        with self._changed:
            return self._idle_through

    def applied(self, lsn: Lsn) -> None:
        """Everything through `lsn` is durable in the target."""
        with self._changed:
            self._applied = lsn
            self._progress = None
            self._changed.notify_all()

    @property
    def applied_through(self) -> Lsn | None:
        """None until the ledger has been read."""
        with self._changed:
            return self._applied

    def wait_for_ledger(self, timeout_s: float) -> Lsn | None:
        with self._changed:
            self._changed.wait_for(lambda: self._applied is not None, timeout_s)
            return self._applied

    @property
    def backlog_bytes(self) -> int:
        with self._changed:
            return max(0, self._captured - (self._applied or ZERO))

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` source events of the transaction in hand are written, and not yet committed."""
        with self._changed:
            self._progress = (done, total)

    def copying(self, now: bool) -> None:
        with self._changed:
            self._copying = now

    def trouble(self, part: str, error: StranglerError) -> None:
        """A part of the link cannot go on because of `error`."""
        with self._changed:
            self._troubles[part] = error

    def well(self, part: str) -> None:
        """The part goes on."""
        with self._changed:
            self._troubles.pop(part, None)

    def view(self) -> LinkView:
        with self._changed:
            error = next((self._troubles[part] for part in PARTS if part in self._troubles), None)
            if error is None:
                state = "copying" if self._copying else "streaming" if self._applied is not None else "idle"
            else:
                state = "retrying" if policy_for(error) is Policy.RETRY else "stopped"
            return LinkView(
                state=state,
                error=error.as_dict() if error else None,
                applied=self._applied or ZERO,
                captured=self._captured,
                progress=self._progress,
            )
