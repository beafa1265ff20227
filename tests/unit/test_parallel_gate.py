"""From the record of a parallel run to the gate's verdict, as the runner asks for it."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands.layout import Layout
from commands.traffic import MoveTraffic
from migration_plans.gates import Verdict, parallel_run_gate
from migration_plans.plan_file import load_plan
from router.compare import Verdict as Compared
from router.parallel_log import ParallelRunLog
from router.parallel_values import Observation

PLAN = load_plan(Path("migration_plans/catalog.yaml"))


def answers(**counts):
    return [
        Observation(at=datetime.now(UTC), endpoint="GET /x", move=PLAN.move, verdict=Compared(name))
        for name, count in counts.items()
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ({}, Verdict.NO_DATA),
        ({"match": 149}, Verdict.INSUFFICIENT),
        ({"match": 150}, Verdict.PASS),
        ({"match": 400, "candidate_failed": 60}, Verdict.FAIL),
        ({"match": 400, "candidate_failed": 5}, Verdict.INSUFFICIENT),
        ({"match": 400, "compare_error": 50}, Verdict.INSUFFICIENT),
        ({"match": 400, "legacy_failed": 60, "both_error": 60}, Verdict.PASS),
    ],
)
def test_X77_X80_a_service_that_fails_does_not_pass_for_what_it_answered(tmp_path, record, verdict):
    settings = SimpleNamespace(state_path=lambda: tmp_path)
    path = Layout.of(settings).parallel_run(PLAN.move)
    path.parent.mkdir(parents=True)
    with closing(ParallelRunLog(path)) as log:
        log.record(answers(**record))
    seen = MoveTraffic(settings, PLAN, traffic=None).parallel_run()
    assert parallel_run_gate(seen, PLAN.shadow).verdict is verdict, seen.reason
