"""What follows from a cut: sagas, order of extraction, costs, stability, names; and the command that prints them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cli import strangler
from migration_plans.assess.assessment import assess
from migration_plans.assess.naming import name_services, words
from migration_plans.assess.objective import workload, worst_costs
from migration_plans.assess.order import extraction_order
from migration_plans.assess.sagas import find_sagas
from migration_plans.assess.service_map import ServiceMap
from migration_plans.assess.stability import Standing
from migration_plans.assess.touches import touches
from migration_plans.assess.what_if import contested_moves
from migration_plans.errors import FactsInvalid
from tests.unit.assess_planted import planted
from tests.unit.assess_systems import facts_of

PLACE_ORDER = [
    ["customers", "R"],
    ["stock", "R"],
    ["stock", "W"],
    ["orders", "W"],
    ["credit", "R"],
    ["credit", "W"],
    ["ledger", "W"],
]
SHOP = {
    "place order": PLACE_ORDER,
    "look": [["orders", "R"], ["stock", "R"]],
    "restock": [["stock", "R"], ["stock", "W"]],
}


def cut(facts, **services):
    of_table = np.full(len(facts.tables), -1, dtype=np.int32)
    for number, tables in enumerate(services.values()):
        of_table[[facts.tables.index(table) for table in tables]] = number
    assert (of_table >= 0).all()
    return ServiceMap(names=tuple(services), of_table=of_table)


def shop():
    facts = facts_of(SHOP, foreign_keys=[{"from": "orders", "to": "customers", "columns": ["customer_id"]}])
    services = cut(
        facts, inventory=["stock"], orders=["orders"], customers=["customers", "credit"], accounting=["ledger"]
    )
    return facts, services


def test_a_write_transaction_across_services_is_a_saga():
    """Taking stock is the last step that reads before it writes, so the last that may refuse: the pivot."""
    (saga,) = find_sagas(*shop())
    assert (saga.functionality, saga.transaction, saga.calls) == ("place order", 0, 1)
    assert [(step.service, step.kind, step.reads, step.writes) for step in saga.steps] == [
        ("customers", "compensatable", ("customers", "credit"), ("credit",)),
        ("inventory", "pivot", ("stock",), ("stock",)),
        ("orders", "retriable", (), ("orders",)),
        ("accounting", "retriable", (), ("ledger",)),
    ]
    assert [step.service for step in saga.steps if step.compensation] == ["customers"]


def test_a_service_that_is_only_read_is_checked_and_writes_without_a_look_pivot_first():
    facts = facts_of({"f": [["a", "R"], ["b", "W"], ["c", "W"]]})
    (saga,) = find_sagas(facts, cut(facts, one=["a"], two=["b"], three=["c"]))
    assert [step.kind for step in saga.steps] == ["check", "pivot", "retriable"]


def test_what_if_equals_the_cost_of_the_cut_with_the_table_moved():
    facts, services = shop()
    used = touches(facts)
    worst = worst_costs(facts, used)
    standing = {table: Standing(stability=0.5, rival=None, contested=False) for table in facts.tables}
    standing["credit"] = Standing(stability=0.1, rival="accounting", contested=True)
    (move,) = contested_moves(facts, used, services, standing, worst)
    moved = cut(facts, inventory=["stock"], orders=["orders"], customers=["customers"], accounting=["ledger", "credit"])
    before, after = (workload(facts, used, services).costs(np.arange(4)) for services in (services, moved))
    assert (move.table, move.source, move.target) == ("credit", "customers", "accounting")
    assert move.burden == pytest.approx(after.burden(worst) - before.burden(worst))
    assert (move.sagas, move.hops) == pytest.approx((after.sagas - before.sagas, after.hops - before.hops))


def test_costs_by_hand():
    facts, services = shop()
    used = touches(facts)
    costs = workload(facts, used, services).costs(np.arange(4))
    weight = used.functionality_weight[0]
    assert costs.hops == pytest.approx(weight * (3 + 1))
    assert costs.sagas == pytest.approx(weight)
    assert costs.compensations == pytest.approx(weight * 3)
    assert costs.foreign_keys == 1
    assert costs.concentration == pytest.approx((4 + 1 + 1 + 1) / 25)


def test_the_burden_is_nothing_for_one_service_and_all_for_single_tables():
    facts, _ = shop()
    used = touches(facts)
    worst = worst_costs(facts, used)
    singles = ServiceMap(names=facts.tables, of_table=np.arange(len(facts.tables), dtype=np.int32))
    work = workload(facts, used, singles)
    assert vars_of(work.costs(np.arange(len(facts.tables)))) == pytest.approx(vars_of(worst))
    assert worst.burden(worst) == 1
    assert work.costs(np.zeros(len(facts.tables), dtype=np.int64)).burden(worst) == 0


def test_grouping_services_costs_what_the_grouped_services_cost():
    facts, _ = planted(1, services=4, tables_each=5, functionalities_each=10, foreign_keys=True)
    used = touches(facts)
    rng = np.random.default_rng(1)
    fine = rng.permutation(np.arange(20) % 6).astype(np.int32)
    group_of = np.array([0, 1, 2, 0, 1, 2])
    names = tuple("abcdef")
    grouped = workload(facts, used, ServiceMap(names=names, of_table=fine)).costs(group_of)
    direct = workload(facts, used, ServiceMap(names=names[:3], of_table=group_of[fine].astype(np.int32)))
    assert vars_of(grouped) == pytest.approx(vars_of(direct.costs(np.arange(3))))


def vars_of(costs):
    return [getattr(costs, name) for name in costs.__slots__]


def test_the_order_takes_every_service_once_and_the_last_is_what_remains():
    facts, services = shop()
    used = touches(facts)
    order = extraction_order(workload(facts, used, services), services, worst_costs(facts, used))
    assert sorted(step.service for step in order) == sorted(services.names)
    assert (order[-1].benefit, order[-1].cost) == (0, 0)
    assert order[-1].state == workload(facts, used, services).costs(np.arange(4))


def test_what_nobody_else_uses_is_extracted_first_and_what_is_entangled_is_not_worthwhile():
    used = {f"news {number}": [["articles", "W"], ["comments", "W"]] for number in range(5)}
    used |= {f"sale {number}": [["orders", "W"], ["stock", "W"], ["prices", "W"]] for number in range(5)}
    facts = facts_of(used)
    services = cut(facts, news=["articles", "comments"], orders=["orders"], stock=["stock", "prices"])
    given = touches(facts)
    order = extraction_order(workload(facts, given, services), services, worst_costs(facts, given))
    assert order[0].service == "news"
    assert order[0].cost == 0
    assert not order[1].worthwhile


def test_stability_tells_a_table_between_two_services():
    used = {f"a{number}": [["a1", "W"], ["a2", "W"], ["a3", "W"]] for number in range(6)}
    used |= {f"b{number}": [["b1", "W"], ["b2", "W"], ["b3", "W"]] for number in range(6)}
    used |= {f"x{number}": [["x", "R"], [f"{'ab'[number % 2]}1", "R"]] for number in range(6)}
    stability = assess(facts_of(used)).as_dict()["stability"]
    assert min(stability, key=lambda table: stability[table]) == "x"
    assert stability["a2"] > 0.9


def test_hubs_and_bulk_jobs_are_named():
    used = {f"f{number}": [[f"t{number}", "W"], ["config", "R"]] for number in range(9)}
    facts = facts_of({**used, "export": [[f"t{number}", "R"] for number in range(9)]})
    shown = assess(facts).as_dict()
    assert shown["hubs"] == {"config": 0.9}
    assert shown["bulk_jobs"] == {"export": 0.9}


def test_tables_of_which_nothing_is_known_stay_together_and_to_the_last():
    used = {f"a{number}": [["a1", "W"], ["a2", "W"]] for number in range(4)}
    used |= {f"b{number}": [["b1", "W"], ["b2", "W"]] for number in range(4)}
    tables = {name: {} for name in ("a1", "a2", "b1", "b2", "old_audit", "tmp_copy")}
    shown = assess(facts_of(used, tables=tables)).as_dict()
    assert shown["unplaced"] == shown["services"]["unplaced"] == ["old_audit", "tmp_copy"]
    assert len(shown["services"]) == 3
    assert shown["order"][-1] == "unplaced"


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("shop.order_lines", ("order", "lines")),
        ("OrderLine", ("order", "line")),
        ("HTTPLog2", ("http", "log", "2")),
        ("LdoDUser", ("ldod", "user")),
    ],
)
def test_words_of_a_name(table, parts):
    assert words(table) == parts


def named(tables, services, uses=None):
    """Names of the services that tables are in, by the services' numbers."""
    count = len(tables)
    used = np.zeros(count) if uses is None else np.array(uses)
    return name_services(tables, np.array(services, dtype=np.int32), np.ones((count, count)), used).names


def test_services_are_named_by_what_their_tables_share():
    assert named(("vet", "vet_skill", "visit", "ward", "ward_bed"), [1, 1, 1, 2, 2]) == ("vet", "ward")


def test_services_are_named_by_the_capability_that_most_of_their_tables_speak_of():
    tables = ("category", "price", "product", "theme", "invoices", "ledger_entries", "picks", "shipments")
    assert named(tables, [1, 1, 1, 1, 2, 2, 3, 3]) == ("catalog", "accounting", "shipping")
    # Of the first word that names one: an order's payment is the order's.
    assert named(("order", "order_line", "order_payment", "theme"), [1, 1, 1, 2]) == ("orders", "theme")
    # As many speak of one as of another: neither.
    assert named(("invoice", "stock"), [1, 1], uses=[0, 3]) == ("stock",)
    # The larger service has the name already.
    assert named(("product", "product_text", "category", "theme"), [1, 1, 2, 2], uses=[0, 0, 9, 1]) == (
        "catalog",
        "category",
    )


def test_names_are_unique():
    named = name_services(("a.log", "b.log", "c.log"), np.arange(3, dtype=np.int32), np.ones((3, 3)), np.zeros(3))
    assert len(set(named.names)) == 3


def run(tmp_path, document, *options):
    path = tmp_path / "facts.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return CliRunner().invoke(strangler, ["assess", "--facts", str(path), *options])


def document():
    functionalities = {name: {"transactions": [used]} for name, used in SHOP.items()}
    return {
        "functionalities": functionalities,
        "joins": [{"tables": ["orders", "customers"], "calls": 3}],
        "hints": {"cannot_link": [["orders", "stock", "customers", "ledger"]]},
        "foreign_keys": [{"from": "orders", "to": "customers", "columns": ["customer_id"]}],
    }


def test_the_command_prints_the_documented_json(tmp_path):
    done = run(tmp_path, document(), "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert {
        "services",
        "alternatives",
        "stability",
        "contested",
        "what_if",
        "hubs",
        "bulk_jobs",
        "order",
        "extractions",
        "sagas",
        "cut_foreign_keys",
        "joins",
        "metrics",
        "complexity",
    } <= set(shown)
    assert sorted(table for tables in shown["services"].values() for table in tables) == sorted(shown["stability"])
    assert sorted(shown["order"]) == sorted(shown["services"])
    assert [saga["functionality"] for saga in shown["sagas"]] == ["place order"]
    assert [step["kind"] for step in shown["sagas"][0]["steps"]].count("pivot") == 1
    assert [(key["from"], key["to"]) for key in shown["cut_foreign_keys"]] == [("orders", "customers")]
    assert shown["joins"][0]["tables"] == ["customers", "orders"]
    assert done.stdout == run(tmp_path, document(), "--json").stdout


def test_the_command_prints_tables_without_json(tmp_path):
    done = run(tmp_path, document())
    assert done.exit_code == 0, done.output
    assert "write transactions that become sagas" in done.stdout
    assert "what remains" in done.stdout


def test_unknown_keys_go_to_stderr_and_bad_facts_are_an_error(tmp_path):
    done = run(tmp_path, {**document(), "colour": 1}, "--json")
    assert "colour" in done.stderr
    assert json.loads(done.stdout)["services"]
    assert isinstance(run(tmp_path, "{").exception, FactsInvalid)


def test_brackets_in_names_are_shown_as_they_are(tmp_path):
    odd = {"functionalities": {"[red]": {"transactions": [[["[bold]a[/]", "W"], ["b", "R"]]]}}}
    done = run(tmp_path, odd)
    assert done.exit_code == 0, done.output
    assert "[bold]a[/]" in done.stdout
