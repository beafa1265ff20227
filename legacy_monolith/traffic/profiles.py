"""When requests start, and how long a user thinks. Pure: time is counted from the start of the run, in seconds."""

import math
from collections.abc import Iterator
from random import Random
from typing import Literal, get_args

ProfileName = Literal["steady", "browsing", "bursty"]
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)

BURST_PERIOD_S = 4.0
BURST_SHARE = 0.25
"""Of each period, the first quarter carries `BURST_FACTOR` times the mean rate, the rest what is left."""
BURST_FACTOR = 2.5

_MEAN_THINK_S: dict[ProfileName, float] = {"steady": 0.4, "browsing": 3.0, "bursty": 0.8}


def arrivals(profile: ProfileName, per_second: float, random: Random) -> Iterator[float]:
    """Scheduled starts, ever later, `per_second` on average.

    steady: evenly spaced with a little jitter; browsing: independent users (Poisson); bursty: Poisson in waves.
    """
    if per_second <= 0:
        return
    at = 0.0
    while True:
        if profile == "steady":
            at += random.uniform(0.8, 1.2) / per_second
        elif profile == "browsing":
            at += random.expovariate(per_second)
        else:
            at += random.expovariate(per_second * burst_factor(at))
        yield at


def burst_factor(at_s: float) -> float:
    """How many times the mean rate a bursty profile has at that moment; its mean over a period is 1."""
    in_burst = (at_s % BURST_PERIOD_S) < BURST_SHARE * BURST_PERIOD_S
    return BURST_FACTOR if in_burst else (1 - BURST_FACTOR * BURST_SHARE) / (1 - BURST_SHARE)


def think_time_s(profile: ProfileName, random: Random) -> float:
    """How long a user waits between an answer and the next request: log-normal, as people are."""
    spread = 0.5
    return random.lognormvariate(math.log(_MEAN_THINK_S[profile]) - spread**2 / 2, spread)


def users_needed(profile: ProfileName, per_second: float) -> int:
    """Enough users that one is ready at almost every scheduled start."""
    return max(4, math.ceil(per_second * (_MEAN_THINK_S[profile] + 0.1) * 1.3))
