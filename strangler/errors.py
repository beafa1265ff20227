"""Every refusal names the thing, the reason and the mend (promise 7)."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented exit codes of the `strangler` command."""

    OK = 0
    PROMISE_BROKEN = 1
    """A check, verification or promise did not hold."""
    BAD_INPUT = 2
    """A file, option or name is wrong; nothing was touched."""
    REFUSED = 3
    """The system is not in a state in which this is safe; nothing was touched."""
    UNREACHABLE = 4
    """A database, proxy or process could not be reached."""
    INTERRUPTED = 130


class StranglerError(Exception):
    """Something a person has to act on.

    `thing` is the object it is about, `reason` what is wrong with it, `mend` what to do, in one sentence each.
    None of the three may carry a secret: build them from redacted values (`strangler.redaction`).
    """

    exit_code: ExitCode = ExitCode.REFUSED

    def __init__(self, *, thing: str, reason: str, mend: str) -> None:
        super().__init__(f"{thing}: {reason} — {mend}")
        self.thing = thing
        self.reason = reason
        self.mend = mend

    def as_dict(self) -> dict[str, str]:
        """The JSON shape of an error: {"error", "thing", "reason", "mend"}."""
        return {
            "error": type(self).__name__,
            "thing": self.thing,
            "reason": self.reason,
            "mend": self.mend,
        }


class BadInput(StranglerError):
    """A file, option or name given by a person is wrong."""

    exit_code = ExitCode.BAD_INPUT


class Refused(StranglerError):
    """It would not be safe now."""

    exit_code = ExitCode.REFUSED


class TooBusy(Refused):
    """It would be safe, but not at this moment, because of what else goes on. The same command may pass soon."""


class Unreachable(StranglerError):
    """A part that is needed does not answer."""

    exit_code = ExitCode.UNREACHABLE


class PromiseBroken(StranglerError):
    """A check ran to its end and the answer is no."""

    exit_code = ExitCode.PROMISE_BROKEN
