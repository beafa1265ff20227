"""What becomes of every cut, and what else ties services together; each answer worked out by hand."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cli import strangler
from migration_plans.assess.assessment import assess
from migration_plans.assess.compensations import compensation_name
from migration_plans.assess.contention import ADVISORY, hot_locks
from migration_plans.assess.coupling import (
    chatty_functionalities,
    crossing_code,
    reference_tables,
    role_services,
    shared_writers,
    split_proposals,
)
from migration_plans.assess.datastores import advise_datastores
from migration_plans.assess.decisions import Decisions
from migration_plans.assess.facts_file import read_facts
from migration_plans.assess.join_treatments import treat_joins, treat_queries
from migration_plans.assess.key_treatments import treat_keys
from migration_plans.assess.merges import find_merges
from migration_plans.assess.objective import workload, worst_costs
from migration_plans.assess.sagas import find_sagas
from migration_plans.assess.touches import touches
from migration_plans.assess.usage import usage


def facts_of(functionalities, **rest):
    """`functionalities`: name → (calls, accesses of one transaction as "R table" or "W table")."""
    document = {
        name: {"calls": calls, "transactions": [[[word[2:], word[0]] for word in used]]}
        for name, (calls, *used) in functionalities.items()
    }
    for name, columns in rest.pop("columns", {}).items():
        document[name]["columns"] = columns
    return read_facts(json.dumps({"functionalities": document, **rest}))


def use_of(facts, bulk=(), **services):
    decisions = Decisions(services={name: tuple(tables) for name, tables in services.items()})
    decisions.check(facts)
    return usage(facts, touches(facts), decisions.service_map(facts), dict.fromkeys(bulk, 1.0))


def key(child, parent, on_delete="NO ACTION", **rest):
    return {"from": child, "to": parent, "columns": [f"{parent}_id"], "on_delete": on_delete, **rest}


READS_MORE = {"buy": (10, "R customers", "W orders"), "rename": (2, "W customers")}
CHANGES_MORE = {"buy": (2, "R customers", "W orders"), "rename": (10, "W customers")}


@pytest.mark.parametrize(
    ("functionalities", "foreign_key", "treatment", "lookup"),
    [
        (READS_MORE, key("orders", "customers", "CASCADE"), "async_delete", "replica"),
        (READS_MORE, key("orders", "customers", "SET NULL"), "async_nullify", "replica"),
        (READS_MORE, key("orders", "customers", "set default"), "async_nullify", "replica"),
        (READS_MORE, key("orders", "customers"), "replica", "replica"),
        (READS_MORE, key("orders", "customers", "RESTRICT"), "replica", "replica"),
        (CHANGES_MORE, key("orders", "customers"), "api_check", "api_check"),
        (CHANGES_MORE, key("orders", "customers", inferred=True), "api_check", "api_check"),
        ({"buy": (5, "W orders"), "rename": (2, "W customers")}, key("orders", "customers"), "api_check", None),
        (
            {"buy": (5, "W orders"), "rename": (2, "W customers")},
            key("orders", "customers", inferred=True),
            "drop",
            None,
        ),
        ({"sign up": (3, "W customers", "W orders")}, key("orders", "customers"), "drop", None),
        (
            {"sign up": (3, "W customers", "W orders", "W lines"), "look": (9, "R customers", "R orders", "R lines")},
            key("orders", "customers"),
            "drop",
            "replica",
        ),
        ({"look": (3, "R customers")}, key("orders", "customers"), "api_check", None),
    ],
)
def test_treatment_of_a_cut_key(functionalities, foreign_key, treatment, lookup):
    facts = facts_of(functionalities, foreign_keys=[foreign_key])
    use = use_of(facts, sales=[table for table in facts.tables if table != "customers"], people=["customers"])
    (treated,) = treat_keys(use)
    assert (treated.treatment, treated.lookup) == (treatment, lookup)
    assert treated.reason
    assert treated.todo


def test_a_parent_that_the_writers_home_reads_is_checked_by_the_saga():
    """`buy` is at home in sales; accounting, which holds the child, never asks by itself."""
    facts = facts_of(
        {"buy": (5, "R customers", "W orders", "W lines", "W ledger")}, foreign_keys=[key("ledger", "customers")]
    )
    (treated,) = treat_keys(use_of(facts, sales=["orders", "lines"], accounting=["ledger"], people=["customers"]))
    assert (treated.treatment, treated.lookup) == ("api_check", None)
    assert treated.todo.startswith("the saga's check in people")


def test_a_key_within_a_service_needs_no_treatment():
    facts = facts_of(READS_MORE, foreign_keys=[key("orders", "customers")])
    assert not list(treat_keys(use_of(facts, all=["orders", "customers"])))


def test_rates_in_the_reason_are_calls_of_the_childs_service():
    """`report` reads customers too, but is at home with them: it needs no copy."""
    facts = facts_of({**READS_MORE, "report": (100, "R customers")}, foreign_keys=[key("orders", "customers")])
    (treated,) = treat_keys(use_of(facts, sales=["orders"], people=["customers"]))
    assert "sales reads customers 10 times while it is written 2 times" in treated.reason


JOINED = {
    "order page": (50, "R customers", "R orders"),
    "buy": (10, "R customers", "W orders"),
    "rename": (20, "W customers"),
}


@pytest.mark.parametrize(
    ("functionality", "calls", "treatment"),
    [
        ("order page", 50, "read_model"),
        ("order page", 5, "composition"),
        ("buy", 50, "replicated_data"),
        ("buy", 10, "composition"),
    ],
)
def test_treatment_of_a_join_by_what_it_is_for_and_by_rates(functionality, calls, treatment):
    join = {"tables": ["orders", "customers"], "functionality": functionality, "calls": calls}
    facts = facts_of(JOINED, joins=[join])
    (read,) = treat_joins(use_of(facts, sales=["orders"], people=["customers"]))
    assert read.treatment == treatment


def test_regional_orders_is_a_read_model():
    """Customers of a region with their recent orders and lines: filtered by one side, listed from the other."""
    tables = ["customers", "orders", "order_lines"]
    used = {"regional orders": (3, *(f"R {table}" for table in tables)), "buy": (50, "W orders", "W order_lines")}
    facts = facts_of(used, joins=[{"tables": tables, "functionality": "regional orders", "calls": 3}])
    use = use_of(facts, sales=["orders", "order_lines"], people=["customers"])
    assert [(read.name, read.treatment) for read in treat_joins(use)] == [("regional orders", "read_model")]
    assert not list(treat_queries(use)), "its one statement says it all"


def test_a_query_of_separate_statements_is_composed_and_of_unknown_ones_is_a_read_model():
    used = {"order page": (3, "R orders", "R order_lines", "R invoices"), "list": (1, "R orders", "R order_lines")}
    join = {"tables": ["orders", "order_lines"], "functionality": "list", "calls": 1}
    for joins, treatment in (([join], "composition"), ([], "read_model")):
        use = use_of(facts_of(used, joins=joins), sales=["orders", "order_lines"], accounting=["invoices"])
        assert [(read.name, read.treatment) for read in treat_queries(use)] == [("order page", treatment)]


def test_a_functionality_is_at_home_where_what_it_writes_elsewhere_points_to():
    written = ("W orders", "W invoices", "W ledger", "W stock")
    keys = [key("invoices", "orders"), key("stock", "orders"), key("ledger", "invoices")]
    for foreign_keys, home in (([], "accounting"), (keys, "sales")):
        facts = facts_of({"buy": (1, *written)}, foreign_keys=foreign_keys)
        use = use_of(facts, accounting=["invoices", "ledger"], inventory=["stock"], sales=["orders"])
        assert use.services.names[use.home[0]] == home


def test_a_transaction_over_three_services_stays_whole_only_when_all_three_merge():
    facts = facts_of({"buy": (1, "W a", "W b", "W c"), "all": (1, *(f"W {table}" for table in "abcde"))})
    use = use_of(facts, **{table: [table] for table in "abcde"})
    found = find_merges(workload(facts, use.used, use.services), use.services, worst_costs(facts, use.used))
    assert [merge.services for merge in found] == [("a", "b", "c")]


def test_reference_data_is_copied():
    used = {
        "buy": (30, "R currencies", "W orders"),
        "ship": (30, "R currencies", "W parcels"),
        "fix": (1, "W currencies"),
    }
    join = {"tables": ["orders", "currencies"], "functionality": "buy", "calls": 30}
    facts = facts_of(used, joins=[join])
    use = use_of(facts, sales=["orders"], shipping=["parcels"], money=["currencies"])
    assert [read.treatment for read in treat_joins(use)] == ["reference_table"]
    (table,) = reference_tables(use)
    assert (table.table, table.readers, table.reads, table.writes) == ("currencies", ("sales", "shipping"), 60, 1)


def test_a_view_and_a_trigger_over_services_are_named():
    facts = facts_of(
        {"buy": (1, "W orders"), "pay": (1, "W invoices")},
        views={"due": {"tables": ["orders", "invoices"]}, "mine": {"tables": ["orders"]}},
        triggers={"book": {"table": "orders", "tables": ["invoices"]}},
        routines={"close": {"accesses": [["orders", "W"], ["invoices", "W"]]}},
    )
    use = use_of(facts, sales=["orders"], accounting=["invoices"])
    assert [(code.kind, code.name) for code in crossing_code(use)] == [
        ("view", "due"),
        ("trigger", "book"),
        ("routine", "close"),
    ]
    assert [(read.kind, read.treatment) for read in treat_joins(use)] == [("view", "read_model")]


PLACE_ORDER = (
    5,
    *("R customers", "W orders", "R orders", "W order_lines", "R stock", "W stock", "W reservations"),
    *("R credit", "W credit", "W invoices"),
)


def test_place_order_is_an_orchestrated_saga_with_named_compensations():
    """Inventory is the last service that looks before it writes: what customers and orders did has to be undone."""
    facts = facts_of({"place order": PLACE_ORDER}, foreign_keys=[key("order_lines", "orders")])
    services = Decisions(
        services={
            "orders": ("orders", "order_lines"),
            "inventory": ("stock", "reservations"),
            "customers": ("customers", "credit"),
            "accounting": ("invoices",),
        }
    ).service_map(facts)
    (saga,) = find_sagas(facts, services)
    assert [(step.service, step.kind, step.compensation) for step in saga.steps] == [
        ("customers", "compensatable", "restore_credit"),
        ("orders", "compensatable", "cancel_order_line, cancel_order"),
        ("inventory", "pivot", None),
        ("accounting", "retriable", None),
    ]
    assert (saga.locked, saga.coordination) == ("orders", "orchestration")


def test_the_steps_before_the_pivot_are_undone_backwards_and_locked():
    used = (1, "W order_lines", "W orders", "W reservations", "R stock", "W audit", "R credit", "W credit", "W log")
    facts = facts_of({"buy": used}, foreign_keys=[key("order_lines", "orders")])
    services = Decisions(
        services={
            "orders": ("orders", "order_lines"),
            "inventory": ("stock", "reservations"),
            "credit": ("credit",),
            "audit": ("audit", "log"),
        }
    ).service_map(facts)
    (saga,) = find_sagas(facts, services)
    assert [(step.service, step.kind, step.compensations) for step in saga.steps] == [
        ("orders", "compensatable", ("cancel_order", "cancel_order_line")),
        ("inventory", "compensatable", ("release_reservation",)),
        ("audit", "compensatable", ("undo_log", "amend_audit")),
        ("credit", "pivot", ()),
    ]
    assert saga.locked == "orders"
    assert saga.coordination == "orchestration"


def test_two_services_and_nothing_to_undo_are_choreographed():
    facts = facts_of({"buy": (1, "R stock", "W stock", "W orders")})
    (saga,) = find_sagas(facts, use_of(facts, a=["stock"], b=["orders"]).services)
    assert (saga.coordination, saga.locked) == ("choreography", None)


@pytest.mark.parametrize(
    ("table", "kind", "name"),
    [
        ("reservations", "insert", "release_reservation"),
        ("shop.order_lines", None, "cancel_order_line"),
        ("ledger_entries", "insert", "reverse_ledger_entry"),
        ("Payment", None, "refund_payment"),
        ("addresses", "insert", "remove_address"),
        ("settings", "seems change", "restore_setting"),
        ("settings", None, "undo_setting"),
        ("status", "seems change", "restore_status"),
        ("1", None, "undo_1"),
        # It was there before, and had better be what it was.
        ("orders", "change", "restore_order"),
        ("orders", "seems change", "cancel_order"),
        ("product_stock", "change", "release_product_stock"),
    ],
)
def test_compensations_are_named_in_the_words_of_the_domain(table, kind, name):
    assert compensation_name(table, kind) == name


def test_what_is_always_written_together_is_advised_to_merge_and_what_is_not_is_kept_apart():
    """a and b are written in every transaction; c and d once in a hundred, in services of ten tables each."""
    used = {f"ab{number}": (1, "W a", "W b") for number in range(50)}
    used |= {f"c{number}": (1, f"W c{number}", "W c0") for number in range(1, 10)}
    used |= {f"d{number}": (1, f"W d{number}", "W d0") for number in range(1, 10)}
    facts = facts_of({**used, "cd": (1, "W c0", "W d0")})
    use = use_of(
        facts, a=["a"], b=["b"], c=[f"c{number}" for number in range(10)], d=[f"d{number}" for number in range(10)]
    )
    work = workload(facts, use.used, use.services)
    found = find_merges(work, use.services, worst_costs(facts, use.used))
    assert [(merge.services, merge.advised) for merge in found] == [(("a", "b"), True), (("c", "d"), False)]
    assert found[0].sagas == pytest.approx(-50 * use.used.transaction_weight[0])
    merged = np.array([0, 0, 1, 2])
    assert found[0].burden == pytest.approx(
        work.costs(merged).burden(worst_costs(facts, use.used))
        - work.costs(np.arange(4)).burden(worst_costs(facts, use.used))
    )


def test_shared_writers_are_those_at_home_elsewhere_and_no_bulk_jobs():
    used = {
        "buy": (5, "W orders", "W lines", "W stock"),
        "restock": (7, "W stock"),
        "import": (1, "W orders", "W lines", "W stock", "W x"),
    }
    facts = facts_of(used)
    use = use_of(facts, bulk=["import"], sales=["orders", "lines"], inventory=["stock", "x"])
    (shared,) = shared_writers(use)
    assert (shared.table, shared.owner, shared.calls) == ("stock", "inventory", {"inventory": 7, "sales": 5})
    assert shared.examples == ("buy",)


def test_columns_that_different_services_change_are_a_split_and_inserts_say_nothing():
    columns = ["id", "name", "price", "on_hand", "touched"]
    facts = facts_of(
        {
            "create": (9, "W product", "W catalog"),
            "rename": (9, "W product", "W catalog"),
            "sell": (9, "W product", "W stock"),
        },
        tables={"product": {"columns": columns}, "catalog": {}, "stock": {}},
        columns={
            "create": {"product": {"written": columns}},
            "rename": {"product": {"written": ["name", "price", "touched"]}},
            "sell": {"product": {"written": ["on_hand", "touched"]}},
        },
    )
    use = use_of(facts, catalog=["catalog"], inventory=["stock"], other=["product"])
    (split,) = split_proposals(use)
    assert (split.table, split.parts) == ("product", {"catalog": ("name", "price"), "inventory": ("on_hand",)})
    assert split.shared == ("touched",)


def test_a_role_is_no_service_unless_its_tables_are_about_it():
    facts = facts_of({"f": (1, "W orders", "W stock", "W prices"), "g": (1, "W merchants", "W merchant_contracts")})
    by_role = use_of(facts, merchant=["orders", "stock", "prices"], partners=["merchants", "merchant_contracts"])
    assert [role.service for role in role_services(by_role)] == ["merchant"]
    by_capability = use_of(facts, order=["orders", "stock", "prices"], merchant=["merchants", "merchant_contracts"])
    assert not list(role_services(by_capability))

    shown = list(
        role_services(use_of(facts, merchants=["orders", "stock", "merchants"], b=["prices", "merchant_contracts"]))
    )
    assert not shown
    shown = list(
        role_services(use_of(facts, admins=["orders", "stock"], b=["prices", "merchants", "merchant_contracts"]))
    )
    assert [(role.role, role.foreign) for role in shown] == [("admin", ("orders", "stock"))]


def locking(name, calls, *used, **rest):
    """A functionality of one transaction; `rest` is what it says of locks."""
    return {name: {"calls": calls, "transactions": [[[word[2:], word[0]] for word in used]], **rest}}


def hot(functionalities, tables, **services):
    facts = read_facts(json.dumps({"functionalities": functionalities, "tables": tables}))
    return list(hot_locks(use_of(facts, **services)))


STOCK_AND_ORDERS = {"orders": ["orders", "lines"], "inventory": ["stock"]}


def test_rows_that_several_services_change_are_a_hot_lock():
    """Worked out by hand: placing holds 30 ms, adjusting 10 ms; inserts hold nothing."""
    used = locking("place", 90, "W stock", "W orders", "W lines", inserts=["orders", "lines"], updates=["stock"])
    used |= locking("adjust", 10, "W stock", updates=["stock"], held_ms=10)
    used |= locking("look", 999, "R stock")
    used["place"]["held_ms"] = 30
    (lock,) = hot(used, {"stock": {"rows": 50}, "orders": {}, "lines": {}}, **STOCK_AND_ORDERS)
    assert (lock.table, lock.owner, lock.functionalities) == ("stock", "inventory", 2)
    assert (lock.calls, lock.strengths) == ({"inventory": 10.0, "orders": 90.0}, ())
    assert (lock.rows, lock.calls_per_row, lock.held_ms) == (50, 2.0, 28.0)
    assert lock.examples == ("place", "adjust")
    assert lock.advice.startswith("no lock reaches over two databases: orders asks inventory")


@pytest.mark.parametrize("lock", [{"table": "stock", "strength": "SHARE"}, {"table": "stock", "strength": "KEY SHARE"}])
def test_what_does_not_shut_others_out_is_not_hot(lock):
    used = locking("place", 1, "R stock", "W orders", locks=[lock], inserts=["orders"])
    used |= locking("count", 1, "R stock", locks=[lock])
    assert not hot(used, {"stock": {}, "orders": {}, "lines": {}}, **STOCK_AND_ORDERS)


def test_one_service_that_locks_explicitly_twice_is_named_and_one_that_updates_twice_is_not():
    explicit = {"locks": [{"table": "stock", "strength": "no key update"}]}
    tables = {"stock": {}, "orders": {}, "lines": {}}
    used = locking("take", 1, "W stock", **explicit) | locking("give", 1, "W stock", **explicit)
    (lock,) = hot(used, tables, **STOCK_AND_ORDERS)
    assert (lock.strengths, lock.held_ms, lock.calls_per_row) == (("NO KEY UPDATE",), None, None)
    assert lock.advice.startswith("stays within inventory")
    updating = {"updates": ["stock"]}
    used = locking("take", 1, "W stock", **updating) | locking("give", 1, "W stock", **updating)
    assert not hot(used, tables, **STOCK_AND_ORDERS)
    (lock,) = hot(used | locking("count", 1, "W stock", **updating), tables, **STOCK_AND_ORDERS)
    assert lock.functionalities == 3
    (counter,) = hot(used, {**tables, "stock": {"rows": 1}}, **STOCK_AND_ORDERS)
    assert (counter.calls_per_row, counter.strengths) == (2.0, ())


def test_advisory_and_table_locks_are_always_named_the_longest_waited_for_first():
    used = locking("number", 5, "W orders", locks=[{"strength": "ADVISORY"}])
    used |= locking(
        "close", 2, "W stock", locks=[{"table": "stock", "strength": "TABLE ACCESS EXCLUSIVE"}], held_ms=900
    )
    found = hot(used, {"stock": {}, "orders": {}, "lines": {}}, **STOCK_AND_ORDERS)
    assert [(lock.table, lock.owner) for lock in found] == [("stock", "inventory"), (ADVISORY, "")]


def test_hot_locks_are_on_the_page_and_in_the_terminal(tmp_path):
    used = locking("place", 90, "W stock", "W orders", updates=["stock", "orders"], held_ms=30)
    used |= locking("number <1>", 5, "R orders", locks=[{"strength": "ADVISORY"}])
    used |= locking("adjust", 10, "W stock", updates=["stock"])
    path, page = tmp_path / "facts.json", tmp_path / "page.html"
    path.write_text(json.dumps({"functionalities": used, "tables": {"stock": {"rows": 5}, "orders": {}}}))
    done = CliRunner().invoke(strangler, ["assess", "--facts", str(path), "--html", str(page)], catch_exceptions=False)
    assert "hot locks" in done.stdout
    assert "30 ms" in done.stdout
    shown = page.read_text()
    assert "20 calls a row, held 30 ms: place, adjust" in shown
    assert "ADVISORY" in shown
    assert "number &lt;1&gt;" in shown


def test_rows_put_in_are_removed_and_rows_changed_are_restored():
    used = locking("f", 1, "R a", "W a", "W things", "W marks", "R b", "W b", inserts=["a", "b", "things"])
    used["f"]["updates"] = ["marks"]
    facts = read_facts(json.dumps({"functionalities": used}))
    services = use_of(facts, a=["a", "things", "marks"], b=["b"]).services
    (saga,) = find_sagas(facts, services)
    assert saga.steps[0].compensations == ("restore_mark", "remove_thing", "remove_a")


def test_going_to_and_fro_is_chatty_and_visiting_each_once_is_not():
    facts = facts_of({"chat": (1, *["R a", "R b"] * 3), "visit": (1, "R a", "R b", "R c", "R d", "R e", "R f")})
    use = use_of(facts, a=["a"], b=["b"], c=["c"], d=["d"], e=["e"], f=["f"])
    (chatty,) = chatty_functionalities(use)
    assert (chatty.functionality, chatty.services, chatty.switches) == ("chat", ("a", "b"), 5)
    assert chatty.path == ("a", "b", "a", "b", "a", "b")


def test_datastores_follow_the_access_pattern():
    used = {
        "act": (100, "W audit"),
        "buy": (10, "W orders", "W lines"),
        "session": (500, "R sessions"),
        "login": (4, "W sessions"),
    }
    facts = facts_of(used)
    use = use_of(facts, audit=["audit"], sales=["orders", "lines"], session=["sessions"])
    advice = {advice.service: advice for advice in advise_datastores(use)}
    assert {name: one.store for name, one in advice.items()} == {
        "audit": "append_only",
        "sales": "relational",
        "session": "key_value",
    }
    assert advice["session"].beside == ("a cache: 500 reads for 4 writes",)


def test_a_bulk_jobs_saga_is_marked_as_one():
    used = {f"f{number}": (1, f"W t{number}") for number in range(9)}
    facts = facts_of({**used, "load": (1, *(f"W t{number}" for number in range(9))), "two": (1, "W t0", "W t8")})
    services = {"a": tuple(f"t{number}" for number in range(5)), "b": tuple(f"t{number}" for number in range(5, 9))}
    shown = assess(facts, decisions=Decisions(services=services)).as_dict()
    assert [(saga["functionality"], saga["bulk_job"]) for saga in shown["sagas"]] == [("load", True), ("two", False)]


def test_what_is_done_all_day_is_no_bulk_job():
    """In a small system an order touches half of the tables."""
    used = {f"f{number}": (10, f"W t{number}") for number in range(9)}
    facts = facts_of({**used, "order": (200, *(f"W t{number}" for number in range(6)))})
    services = {"a": tuple(f"t{number}" for number in range(5)), "b": tuple(f"t{number}" for number in range(5, 9))}
    shown = assess(facts, decisions=Decisions(services=services)).as_dict()
    assert shown["bulk_jobs"] == {}
    assert [(saga["functionality"], saga["bulk_job"]) for saga in shown["sagas"]] == [("order", False)]


def test_nothing_known_gives_no_treatment_and_no_error():
    shown = assess(read_facts('{"functionalities": {}, "tables": {"a": {}}}')).as_dict()
    assert not any(shown[name] for name in ("sagas", "merges", "cut_foreign_keys", "joins", "queries"))
    assert not any(shown["coupling"].values())
    assert [advice["store"] for advice in shown["datastores"]] == ["relational"]
