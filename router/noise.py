"""Noise, race or difference? And how sure can one be? Pure statistics and classification.

A mismatch is asked again: a control that does not even agree with itself is noise; a pair that agrees a moment later
was a race; a stable control with a stably different candidate is confirmed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf, lgamma, log, log1p

from router.compare.values import Outcome, OutcomeClass

_SUBTREE = (OutcomeClass.MISSING, OutcomeClass.EXTRA, OutcomeClass.TYPE, OutcomeClass.SHAPE)


class Classification(StrEnum):
    """What a difference turned out to be."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    """It could not be asked again to the end; a gate must not pass on it, nor fail."""
    NOISE = "noise"
    RACED = "raced"


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What asking both sides once more showed.

    `drift`: the control's answers of this and the previous round. `against_first`: the control's new answer and the
    candidate's first one. `again`: both new answers, None where the candidate gave none.
    """

    drift: tuple[Outcome, ...]
    against_first: tuple[Outcome, ...]
    again: tuple[Outcome, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifiedOutcome:
    """A difference of the first comparison and what it is held to be."""

    outcome: Outcome
    classification: Classification


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseDecision:
    """`settled` as far as known; `is_final` says that further rounds would change nothing."""

    outcomes: tuple[ClassifiedOutcome, ...]
    is_final: bool

    @property
    def classification(self) -> Classification:
        """That of the pair: the gravest of its differences."""
        present = {item.classification for item in self.outcomes}
        return next((kind for kind in Classification if kind in present), Classification.RACED)


NOISE_ROUNDS = 2
"""Rounds in which the control must contradict itself before the difference is noise: once may be a concurrent write."""


def classify(first: Sequence[Outcome], rounds: Sequence[Round], *, max_rounds: int) -> NoiseDecision:
    """Classify every difference of the first comparison after the rounds so far.

    Raced: the sides agree at that place in some later round. Noise: the control differed there from its own previous
    answer in two rounds, or in the last round there was. Confirmed: neither, when `max_rounds` are over; until then
    `UNCONFIRMED`.
    """
    is_over = len(rounds) >= max_rounds
    outcomes = tuple(
        ClassifiedOutcome(outcome=outcome, classification=_classify_one(outcome, rounds, is_over=is_over))
        for outcome in first
    )
    is_open = any(item.classification is Classification.UNCONFIRMED for item in outcomes)
    return NoiseDecision(outcomes=outcomes, is_final=is_over or not is_open)


def _classify_one(outcome: Outcome, rounds: Sequence[Round], *, is_over: bool) -> Classification:
    drifts = 0
    for number, seen in enumerate(rounds):
        has_drifted = touches(seen.drift, outcome)
        drifts += has_drifted
        agreed_again = seen.again is not None and not touches(seen.again, outcome)
        agreed_late = has_drifted and not touches(seen.against_first, outcome)
        if agreed_again or agreed_late:
            return Classification.RACED
        if drifts >= NOISE_ROUNDS or (has_drifted and is_over and number == len(rounds) - 1):
            return Classification.NOISE
    return Classification.CONFIRMED if is_over else Classification.UNCONFIRMED


def touches(outcomes: Iterable[Outcome], wanted: Outcome) -> bool:
    """Whether any of `outcomes` is a difference at, above or below the place of `wanted`.

    Above and below count only where a whole subtree is in question, not where an array's order or length is.
    """
    return any(
        found.at == wanted.at
        or (found.kind in _SUBTREE and _is_below(wanted.at, found.at))
        or (wanted.kind in _SUBTREE and _is_below(found.at, wanted.at))
        for found in outcomes
    )


def _is_below(place: str, above: str) -> bool:
    if place.startswith("@") or above.startswith("@"):
        return False
    return above == "$" or place.startswith((f"{above}.", f"{above}["))


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Exact one-sided (Clopper-Pearson) upper bound on the rate behind `events` in `trials`; 1 for no trials.

    Zero in 300 is below 1 %, zero in 3,000 below 0.1 %, at 95 %.
    """
    assert 0 <= events <= trials
    if events >= trials:
        return 1.0
    return _bisect(lambda rate: beta_cdf(rate, events + 1, trials - events) >= confidence)


def lower_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """Exact one-sided lower bound on the rate behind `events` in `trials`; 0 for no events."""
    assert 0 <= events <= trials
    if events == 0:
        return 0.0
    return _bisect(lambda rate: beta_cdf(rate, events, trials - events + 1) >= 1 - confidence)


def _bisect(is_past: Callable[[float], bool]) -> float:
    """The least rate for which the monotone predicate holds."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if is_past(middle):
            high = middle
        else:
            low = middle
    return high


def e_value(candidate_only: int, control_only: int) -> float:
    """Evidence that a path differs more between legacy and candidate than between legacy and itself.

    Of requests answered by legacy, candidate and legacy again, `candidate_only` differ only between legacy and
    candidate, `control_only` only between the two legacy answers. If the candidate is just another legacy, each is a
    fair coin, and the chance that this ever exceeds 1/α, however often one looks, is at most α.
    """
    return exp(min(700.0, _log_mixture(candidate_only, control_only, 0.5)))


def rate_e_value(events: int, trials: int, limit: float) -> float:
    """Evidence that the rate behind `events` in `trials` is above `limit`; valid however often one looks."""
    assert 0 <= events <= trials and 0 < limit < 1
    return exp(min(700.0, _log_mixture(events, trials - events, limit)))


def average_e_value(values: Sequence[float]) -> float:
    """Evidence that any of several paths regressed; valid whatever the dependence between them."""
    return sum(values) / len(values) if values else 1.0


def _log_mixture(hits: int, misses: int, null_rate: float) -> float:
    """log of ∫ over θ in (null_rate, 1) of (θ/null)^hits ((1-θ)/(1-null))^misses dθ / (1-null)."""
    tail = beta_cdf(1 - null_rate, misses + 1, hits + 1)
    if tail <= 0.0:
        return -inf
    log_beta = lgamma(hits + 1) + lgamma(misses + 1) - lgamma(hits + misses + 2)
    return log_beta + log(tail) - hits * log(null_rate) - (misses + 1) * log1p(-null_rate)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(x, a, b) / a
    return 1.0 - front * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation; needs about sqrt(max(a, b)) terms."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 20_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + numerator / c
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return value
