"""How much load the demo offers: as much as leaves the machine room for the work that is to be seen.

On a machine that the store alone keeps busy, requests queue, and every hold is as long as that queue: the figures would
speak of the machine and not of the toolkit. So the store is first driven alone, at the full rate.
"""

from dataclasses import dataclass

_STORE_ALONE = 0.5
"""Share of the processors that the store and its clients may take: copy, stream and parallel run want the rest."""
_LEAST_WRITES_PER_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Requests per second that the clients send."""

    writes_per_s: float
    reads_per_s: float


FULL_PACE = Pace(writes_per_s=200.0, reads_per_s=50.0)


def fitting_pace(full: Pace, busy_share: float) -> Pace:
    """The pace for a machine whose processors were busy for `busy_share` (0 to 1) of the time at the `full` one.

    Never above it, and never below a few writes per second: a cutover that holds nobody would show nothing.
    """
    if busy_share <= _STORE_ALONE:
        return full
    writes = max(_LEAST_WRITES_PER_S, full.writes_per_s * _STORE_ALONE / busy_share)
    share = min(1.0, writes / full.writes_per_s)
    return Pace(writes_per_s=round(full.writes_per_s * share), reads_per_s=round(full.reads_per_s * share))
