"""May a parallel run end? Pure: a summary and limits in, a verdict with its numbers out."""

from dataclasses import dataclass
from enum import StrEnum

from router.noise import rate_e_value, upper_bound
from router.parallel_values import ParallelRunSummary


class ParallelState(StrEnum):
    """Only PASS advances, only FAIL goes back, the rest hold."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    NO_DATA = "no_data"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelLimits:
    """`max_upper_bound` on the share of confirmed differences, `max_candidate_failed` on that of failed calls.

    `alpha` is the chance of a false FAIL, however often the verdict is asked for.
    """

    min_compared: int = 300
    max_upper_bound: float = 0.01
    max_candidate_failed: float = 0.01
    confidence: float = 0.95
    alpha: float = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelVerdict:
    """The verdict with all it was decided on, so that it can be replayed from the record."""

    state: ParallelState
    reason: str
    compared: int
    difference_bound: float
    difference_e_value: float
    failure_bound: float
    failure_e_value: float
    limits: ParallelLimits


def parallel_verdict(summary: ParallelRunSummary, limits: ParallelLimits) -> ParallelVerdict:
    """Judge. Fails on evidence that a rate is above its limit; passes only when both are shown to be below.

    A mismatch that could not be asked again, and answers that the comparer could not compare, hold the pass back but
    are no evidence of failure. Requests on which legacy failed, alone or with the candidate, say nothing about the
    candidate.
    """
    asked = summary.compared + summary.candidate_failed
    doubtful = summary.confirmed + summary.unconfirmed + summary.compare_error
    numbers = {
        "difference_bound": upper_bound(doubtful, summary.compared + summary.compare_error, limits.confidence),
        "difference_e_value": rate_e_value(summary.confirmed, summary.compared, limits.max_upper_bound),
        "failure_bound": upper_bound(summary.candidate_failed, asked, limits.confidence),
        "failure_e_value": rate_e_value(summary.candidate_failed, asked, limits.max_candidate_failed),
    }
    state, reason = _decide(summary, limits, asked, numbers)
    return ParallelVerdict(state=state, reason=reason, compared=summary.compared, limits=limits, **numbers)


def _decide(
    summary: ParallelRunSummary, limits: ParallelLimits, asked: int, numbers: dict[str, float]
) -> tuple[ParallelState, str]:
    if asked == 0:
        return ParallelState.NO_DATA, "no request was compared"
    if numbers["difference_e_value"] >= 1 / limits.alpha:
        return ParallelState.FAIL, (
            f"{summary.confirmed} confirmed differences in {summary.compared}: more than {limits.max_upper_bound:.2%}"
        )
    if numbers["failure_e_value"] >= 1 / limits.alpha:
        return ParallelState.FAIL, (
            f"the candidate failed {summary.candidate_failed} of {asked}: more than {limits.max_candidate_failed:.2%}"
        )
    if summary.compared < limits.min_compared:
        return ParallelState.INSUFFICIENT, f"{summary.compared} of {limits.min_compared} requests compared"
    if numbers["difference_bound"] > limits.max_upper_bound:
        return ParallelState.INSUFFICIENT, (
            f"the share of differences may be up to {numbers['difference_bound']:.3%}, "
            f"above {limits.max_upper_bound:.3%}; compare more"
        )
    if numbers["failure_bound"] > limits.max_candidate_failed:
        return ParallelState.INSUFFICIENT, (
            f"the candidate may fail up to {numbers['failure_bound']:.3%}, above {limits.max_candidate_failed:.3%}"
        )
    return ParallelState.PASS, (
        f"differences below {numbers['difference_bound']:.3%} at {limits.confidence:.0%}, {summary.compared} compared"
    )
