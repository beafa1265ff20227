"""Waiting until no gated write is on its way to a backend, and what that rests on.

With the gate closed and acknowledged, three things can still be in motion: an answer of the gate that the proxy has
not read, a request at a backend or waiting for a connection, and a request between two connection attempts.

1. The gate is asked first how many it holds (H), the proxy then how many questions it has open (Q). Those held stay
   held, so Q ≤ H means that no answer is in motion. Under heavy load new questions always are; then, after `SETTLE_S`,
   answers sent before the closing count as read.
2. Two samples at least the longest pause between attempts apart show nothing active, nothing pending and the same
   number of retries: then nobody was in such a pause.

A client that breaks off takes its request out of these counts while the application may still be writing. The fence
in the database, not this, is what nothing gets past.
"""

from collections.abc import Callable
from dataclasses import dataclass

from router.envoy.admin import WritesInFlight
from router.envoy.route_config import MAX_BACK_OFF_S
from router.errors import DrainTimeout
from strangler.clock import Clock

POLL_S = 0.005
SETTLE_S = 0.25
QUIET_S = MAX_BACK_OFF_S * 1.2


@dataclass(frozen=True, kw_only=True)
class DrainResult:
    """`seconds` from the first sample until nothing was in flight; `most_active` seen on the way."""

    seconds: float
    samples: int
    most_active: int


def drain(
    *,
    move: str,
    held: Callable[[], int],
    in_flight: Callable[[], WritesInFlight],
    clock: Clock,
    timeout_s: float,
) -> DrainResult:
    """Return once no write of the move is in flight; `DrainTimeout` when that takes longer than `timeout_s`.

    `held` gives the number of questions that the gate holds (all moves), `in_flight` a sample of the proxy.
    The gate must be closed, and must have said so.
    """
    started = clock.monotonic()
    is_answered, quiet_since, retries, samples, most = False, started, -1, 0, 0
    while True:
        held_before = held()
        sample = in_flight()
        now = clock.monotonic()
        busy = sample.active + sample.pending
        samples, most = samples + 1, max(most, busy)
        is_answered = is_answered or sample.asking <= held_before or now - started >= SETTLE_S
        if busy or not is_answered or sample.retries != retries:
            quiet_since, retries = now, sample.retries
        if not busy and is_answered and now - quiet_since >= QUIET_S:
            return DrainResult(seconds=now - started, samples=samples, most_active=most)
        if now - started >= timeout_s:
            raise DrainTimeout(
                thing=f"writes of move {move!r}",
                reason=f"{sample.active} at a backend and {sample.pending} waiting after {timeout_s:g} s",
                mend="open the gate to the owner and look for slow writes; then try again",
            )
        clock.sleep(POLL_S)
