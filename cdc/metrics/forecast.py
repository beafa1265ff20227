"""When a stream will have caught up. Pure."""

from dataclasses import dataclass
from typing import Literal

from cdc.lsn import Lsn


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressSample:
    """Where source and target stood at one moment. `at_s`: seconds of one monotonic clock."""

    at_s: float
    source: Lsn
    applied: Lsn

    @classmethod
    def of(cls, source: Lsn, behind_bytes: int, at_s: float) -> "ProgressSample":
        """`behind_bytes`: source log not known to be applied."""
        return cls(at_s=at_s, source=source, applied=Lsn(source - behind_bytes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """`caught_up`: nothing waits. `converging`: caught up in `seconds`. `not_converging`: the source writes at least as
    fast as the target applies. `unknown`: nothing moved between the samples, so there is nothing to measure.

    Rates are bytes of source log per second.
    """

    verdict: Literal["caught_up", "converging", "not_converging", "unknown"]
    seconds: float | None
    apply_rate: float
    inflow: float

    def __str__(self) -> str:
        match self.verdict:
            case "caught_up":
                return "caught up"
            case "converging":
                return _span(self.seconds or 0.0)
            case "not_converging":
                return f"not converging: {_size(self.inflow)}/s come, {_size(self.apply_rate)}/s are applied"
            case "unknown":
                return "unknown: nothing moved"


def forecast(before: ProgressSample, now: ProgressSample) -> Forecast:
    """From two samples of one stream, the older one first."""
    elapsed_s = now.at_s - before.at_s
    if elapsed_s <= 0:
        apply_rate = inflow = 0.0
    else:
        apply_rate = max(0, now.applied - before.applied) / elapsed_s
        inflow = max(0, now.source - before.source) / elapsed_s
    behind = now.source - now.applied
    if behind <= 0:
        return Forecast(verdict="caught_up", seconds=0.0, apply_rate=apply_rate, inflow=inflow)
    if apply_rate == 0 and inflow == 0:
        return Forecast(verdict="unknown", seconds=None, apply_rate=apply_rate, inflow=inflow)
    if apply_rate <= inflow:
        return Forecast(verdict="not_converging", seconds=None, apply_rate=apply_rate, inflow=inflow)
    return Forecast(verdict="converging", seconds=behind / (apply_rate - inflow), apply_rate=apply_rate, inflow=inflow)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
