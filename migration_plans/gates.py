"""May we go on? Pure verdicts over what was measured.

Only PASS advances, only FAIL means that the thing measured is wrong; the rest hold.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from migration_plans.plan import CutoverPlan, ShadowPlan
from migration_plans.ports import LagSeen, ParallelRunSeen, Proof


class Verdict(StrEnum):
    """The five answers of a gate."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    NO_DATA = "no_data"
    GATE_ERROR = "gate_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateDecision:
    """A verdict with what it was decided on, so that it can be replayed from the journal."""

    gate: str
    verdict: Verdict
    reason: str
    mend: str

    @property
    def passes(self) -> bool:
        return self.verdict is Verdict.PASS


def parallel_run_gate(seen: ParallelRunSeen, plan: ShadowPlan) -> GateDecision:
    """Have enough reads been compared, and are differences and failed calls of the service both provably rare?

    `max_confirmed` is stricter than any proof: one difference that was seen again may be one too many.
    """

    def decide(verdict: Verdict, reason: str) -> GateDecision:
        return GateDecision(
            gate="parallel_run", verdict=verdict, reason=reason, mend="read `strangler diff report`, or wait for more"
        )

    if seen.confirmed > plan.max_confirmed:
        return decide(Verdict.FAIL, f"{seen.confirmed} confirmed differences in {seen.compared} requests")
    return decide(Verdict(seen.state), seen.reason)


def stream_alive(seen: LagSeen) -> GateDecision:
    """Does a worker run it, without an error?"""

    def decide(verdict: Verdict, reason: str, mend: str) -> GateDecision:
        return GateDecision(gate=f"stream {seen.direction}", verdict=verdict, reason=reason, mend=mend)

    if seen.error is not None:
        return decide(Verdict.FAIL, seen.error, "mend its cause; the stream retries by itself")
    if seen.state != "streaming":
        return decide(Verdict.NO_DATA, f"the stream is {seen.state}", "start `strangler cdc stream`")
    return decide(Verdict.PASS, "runs", "")


def stream_gate(seen: LagSeen, plan: CutoverPlan) -> GateDecision:
    """Is the stream alive, clean and near?"""
    alive = stream_alive(seen)
    if not alive.passes:
        return alive
    if seen.seconds is None:
        return replace(
            alive,
            verdict=Verdict.NO_DATA,
            reason="nothing was applied yet",
            mend="wait for the first event, or for its heartbeat",
        )
    if seen.seconds > plan.max_lag_s:
        return replace(
            alive,
            verdict=Verdict.INSUFFICIENT,
            reason=f"lag {seen.seconds:.1f} s is above {plan.max_lag_s} s",
            mend="wait, or lower the load",
        )
    return replace(alive, reason=f"lag {seen.seconds:.3f} s")


def proof_gate(proof: Proof | None, plan: CutoverPlan, *, now: datetime, schema_hash: str) -> GateDecision:
    """Is there a fresh proof that both sides hold the same rows? (promise 6: proof expires)"""

    def decide(verdict: Verdict, reason: str) -> GateDecision:
        return GateDecision(gate="verification", verdict=verdict, reason=reason, mend="run `strangler verify`")

    if proof is None:
        return decide(Verdict.NO_DATA, "nothing was verified yet")
    if not proof.equal:
        return decide(Verdict.FAIL, f"{proof.difference_count} rows differ")
    if now - proof.at > timedelta(seconds=plan.verdict_max_age_s):
        return decide(Verdict.INSUFFICIENT, f"the last verification is older than {plan.verdict_max_age_s:.0f} s")
    if proof.schema_hash != schema_hash:
        return decide(Verdict.INSUFFICIENT, "the schema has changed since the last verification")
    return decide(Verdict.PASS, f"{proof.rows} rows equal at {proof.position}")


def hold_gate(predicted_s: float, plan: CutoverPlan) -> GateDecision:
    """Would clients wait longer than the plan allows?"""
    fits = predicted_s <= plan.hold_budget_s
    return GateDecision(
        gate="hold budget",
        verdict=Verdict.PASS if fits else Verdict.INSUFFICIENT,
        reason=f"predicted hold {predicted_s:.2f} s, budget {plan.hold_budget_s:.2f} s",
        mend="wait for a quieter moment, end long transactions, or raise cutover.hold_budget_s in the plan",
    )
