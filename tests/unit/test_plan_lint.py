from pathlib import Path

import pytest

from migration_plans.lint import lint, rules
from migration_plans.plan import Plan
from migration_plans.plan_file import load_plan

EXAMPLE = load_plan(Path("migration_plans/catalog.yaml"))


def changed(**parts):
    return Plan.model_validate({**EXAMPLE.model_dump(by_alias=True), **parts})


GET = {"id": "a", "kind": "read", "methods": ["GET"], "path": "/a/{id}"}

BROKEN = {
    "duplicate-route": changed(routes=[GET, {**GET, "id": "b", "path": "/a/{other}"}]),
    "writes-stay-behind": changed(routes=[GET]),
    "unsafe-read": changed(routes=[{**GET, "methods": ["GET", "POST"]}]),
    "safe-write": changed(routes=[{**GET, "kind": "write"}]),
    "steep-ramp": changed(ramp={"reads_percent": [50, 100]}),
    "hold-beyond-clients": changed(cutover={"hold_budget_s": 20}),
    "thin-evidence": changed(shadow={"min_compared": 10, "max_upper_bound": 0.01}),
}


def test_the_example_breaks_no_rule():
    assert list(lint(EXAMPLE)) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_every_rule_has_a_plan_that_breaks_it(rule):
    findings = [finding for finding in lint(BROKEN[rule.id]) if finding.rule == rule.id]
    assert findings
    assert all(finding.where and finding.why and finding.instead for finding in findings)
