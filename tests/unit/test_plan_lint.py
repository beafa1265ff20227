from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from commands.plan_check import rules_table
from migration_plans.lint import lint, rules
from migration_plans.plan import Plan
from migration_plans.plan_file import load_plan
from strangler.errors import BadInput

EXAMPLE = load_plan(Path("migration_plans/catalog.yaml"))


def changed(**parts):
    return Plan.model_validate({**EXAMPLE.model_dump(by_alias=True), **parts})


GET = {"id": "a", "kind": "read", "methods": ["GET"], "path": "/a/{id}"}
POST = {"id": "p", "kind": "write", "methods": ["POST"], "path": "/a"}
KEY = {"constraint": "k", "decision": "drop", "because": "it is enough"}
WAIVER = {"object": "v", "because": "it reads the live copy"}


def table(**targets):
    return {"t": {"targets": targets}}


BROKEN = {
    "duplicate-route": changed(routes=[GET, {**GET, "id": "b", "path": "/a/{other}"}]),
    "writes-stay-behind": changed(routes=[GET]),
    "unsafe-read": changed(routes=[{**GET, "methods": ["GET", "POST"]}]),
    "safe-write": changed(routes=[{**GET, "kind": "write"}]),
    "steep-ramp": changed(ramp={"reads_percent": [50, 100]}),
    "hold-beyond-clients": changed(cutover={"hold_budget_s": 20}),
    "thin-evidence": changed(shadow={"min_compared": 10, "max_upper_bound": 0.01}),
    "todo-left": changed(waivers=[{**WAIVER, "because": "TODO: who needs it?"}]),
    "split-without-key": changed(tables=table(a={"id": "id", "x": "x"}, b={"y": "y"})),
    "nothing-to-compare": changed(routes=[POST]),
    "unsteady-sticky-key": changed(sticky={"header": "x-request-id"}),
    "attempts-outlive-proof": changed(cutover={"attempts": 50, "pause_s": 60}),
    "decided-twice": changed(foreign_keys=[KEY, {**KEY, "decision": "keep_on_copy"}]),
    "empty-lookup": changed(tables=table(a={"id": "id", "x": {"from": "x", "lookup": {}}})),
    "taken-by-another-plan": changed(),
}
OTHER = changed(
    service="other", move="other", tables={"public.product": {"targets": {"p": {"id": "id"}}}}, routes=[GET]
)
"""The plan of another service: it has a table of the example."""


def test_the_example_breaks_no_rule():
    assert list(lint(EXAMPLE)) == []
    assert list(lint(EXAMPLE, [changed(service="x", move="x", tables=table(a={"id": "id"}), routes=[GET, POST])])) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_every_rule_has_a_plan_that_breaks_it(rule):
    findings = [finding for finding in lint(BROKEN[rule.id], [OTHER]) if finding.rule == rule.id]
    assert findings
    assert all(finding.where and finding.why and finding.instead for finding in findings)
    assert (rule.find is None) != (rule.among is None)


def places(rule, plan, *others):
    return [finding.where for finding in lint(plan, others) if finding.rule == rule]


@pytest.mark.parametrize(
    "reason", ["", "  ", "…", "???", "TODO", "TODO ask them", "todo: ask", "FIXME", "(TBD)", "todo"]
)
def test_a_reason_that_was_left_to_be_written_is_found(reason):
    assert places("todo-left", changed(why=reason)) == ["why"]
    assert places("todo-left", changed(foreign_keys=[{**KEY, "because": reason}])) == ["foreign_keys: k"]
    dropped = {"t": {"targets": {"a": {"id": "id"}}, "dropped": {"x": reason}, "added": {"a": {"y": reason}}}}
    assert places("todo-left", changed(tables=dropped)) == ["tables.t.dropped.x", "tables.t.added.a.y"]


@pytest.mark.parametrize("reason", ["todo lo demás queda", "Todos are kept", "不需要", "the TODO list stays", "x"])
def test_a_reason_in_any_language_is_one(reason):
    assert places("todo-left", changed(why=reason)) == []


def test_a_placeholder_is_no_name_and_a_path_of_that_name_is_one():
    assert places("todo-left", changed(sticky={"header": "TODO"})) == ["sticky"]
    assert places("todo-left", changed(routes=[POST, {**GET, "id": "TODO"}])) == ["routes: TODO"]
    assert places("todo-left", changed(routes=[POST, {**GET, "path": "/TODO"}])) == ["routes: a"]
    assert places("todo-left", changed(routes=[POST, {**GET, "id": "todo.get", "path": "/todo/{id}"}])) == []


def test_what_a_person_waives_by_its_route_id_passes():
    waived = [{"object": "a", "because": "a search"}, {"object": "p", "because": "it counts"}]
    routes = [{**GET, "methods": ["POST"]}, {**POST, "methods": ["GET"]}]
    assert [finding.rule for finding in lint(changed(routes=routes))] == ["safe-write", "unsafe-read"]
    assert list(lint(changed(routes=routes, waivers=waived))) == []


def test_another_plans_tables_endpoints_and_name_are_taken():
    mine = changed(routes=[GET, POST])
    assert places("taken-by-another-plan", mine, OTHER) == [
        "tables.product (also in the plan of other)",
        "routes: a (also in the plan of other)",
    ]
    same = changed(service="x", tables=table(a={"id": "id"}), routes=[{**GET, "path": "/b"}])
    assert places("taken-by-another-plan", mine, same) == ["move: catalog (also in the plan of x)"]
    wider = changed(service="x", move="x", tables=table(a={"id": "id"}), routes=[{**GET, "path": "/a/{other}/c"}])
    assert places("taken-by-another-plan", mine, wider) == []


@pytest.mark.parametrize("header", ["x-customer-id", "authorization", "x-real-ip", "x-session"])
def test_a_header_that_is_a_clients_own_is_steady(header):
    assert places("unsteady-sticky-key", changed(sticky={"header": header})) == []


@pytest.mark.parametrize("header", ["Cookie", "traceparent", "user-agent", "x-strangler-force"])
def test_a_header_of_each_request_or_of_everybody_is_not(header):
    assert places("unsteady-sticky-key", changed(sticky={"header": header})) == [f"sticky.header: {header.lower()}"]


def test_the_document_says_what_the_rules_say():
    assert rules_table() in Path("docs/plan-check.md").read_text()


def test_a_rule_is_explained_without_a_plan_and_an_unknown_one_is_refused():
    done = CliRunner().invoke(cli.strangler, ["plan", "rules", "todo-left"])
    assert done.exit_code == 0, done.exception
    assert "todo-left" in done.stdout
    assert "empty-lookup" not in done.stdout
    refused = CliRunner().invoke(cli.strangler, ["plan", "rules", "nope"])
    assert isinstance(refused.exception, BadInput)
    assert "todo-left" in refused.exception.mend
