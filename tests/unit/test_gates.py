from datetime import UTC, datetime, timedelta

import pytest

from migration_plans.gates import Verdict, hold_gate, parallel_run_gate, proof_gate, stream_gate
from migration_plans.plan import CutoverPlan, ShadowPlan
from migration_plans.ports import LagSeen, ParallelRunSeen, Proof

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SHADOW = ShadowPlan(min_compared=100, max_upper_bound=0.03)
CUTOVER = CutoverPlan()


def seen(state, compared=0, confirmed=0):
    return ParallelRunSeen(
        compared=compared, confirmed=confirmed, noise=0, raced=0, failed=0, state=state, reason="as the router says"
    )


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (seen("no_data"), Verdict.NO_DATA),
        (seen("insufficient", compared=3, confirmed=1), Verdict.FAIL),
        (seen("insufficient", compared=50), Verdict.INSUFFICIENT),
        (seen("fail", compared=5000), Verdict.FAIL),
        (seen("pass", compared=5000, confirmed=1), Verdict.FAIL),
        (seen("pass", compared=100), Verdict.PASS),
    ],
)
def test_X77_X78_X79_no_data_and_too_little_hold_and_only_enough_passes(run, verdict):
    assert parallel_run_gate(run, SHADOW).verdict is verdict


@pytest.mark.parametrize(
    ("state", "seconds", "error", "verdict"),
    [
        ("streaming", 0.1, None, Verdict.PASS),
        ("streaming", 60.0, None, Verdict.INSUFFICIENT),
        ("streaming", 0.1, "duplicate key", Verdict.FAIL),
        ("idle", 0.0, None, Verdict.NO_DATA),
    ],
)
def test_the_stream_must_run_clean_and_near(state, seconds, error, verdict):
    lag = LagSeen(direction="forward", state=state, seconds=seconds, bytes=0, events=0, error=error)
    assert stream_gate(lag, CUTOVER).verdict is verdict


def proof(**changes):
    values = {
        "direction": "forward",
        "method": "full",
        "equal": True,
        "position": "0/1",
        "schema_hash": "s",
        "rows": 5,
        "difference_count": 0,
        "at": NOW - timedelta(seconds=10),
        "seconds": 1.0,
        "detail": {},
    }
    return Proof(**{**values, **changes})


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (None, Verdict.NO_DATA),
        (proof(), Verdict.PASS),
        (proof(equal=False, difference_count=2), Verdict.FAIL),
        (proof(at=NOW - timedelta(hours=1)), Verdict.INSUFFICIENT),
        (proof(schema_hash="before the DDL"), Verdict.INSUFFICIENT),
    ],
)
def test_C11_a_proof_expires_by_age_and_by_schema(given, verdict):
    assert proof_gate(given, CUTOVER, now=NOW, schema_hash="s").verdict is verdict


def test_a_hold_over_budget_is_refused():
    assert hold_gate(CUTOVER.hold_budget_s + 0.01, CUTOVER).verdict is Verdict.INSUFFICIENT
    assert hold_gate(CUTOVER.hold_budget_s, CUTOVER).passes
