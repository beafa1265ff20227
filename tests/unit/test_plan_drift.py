"""Drift as a pure comparison: equal is silent, every change is told, and what a plan is silent about is check's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration_plans.assess.document import FunctionalityFacts, Surroundings
from migration_plans.assess.facts_building import build_facts
from migration_plans.drift.boundary import dependent_drift, foreign_key_drift
from migration_plans.drift.endpoints import PlannedRoutes
from migration_plans.drift.legacy_tables import legacy_table_drift
from migration_plans.drift.picture import ColumnPicture, SchemaPicture, TablePicture
from migration_plans.drift.running import OwnerSeen, StoppedTable, owner_drift, route_drift, stopped_drift
from migration_plans.drift.seen import functionalities_seen
from migration_plans.drift.service_tables import Revisions, revision_drift, service_table_drift
from migration_plans.drift.traffic import Seen, on_both_sides, traffic_drift
from migration_plans.phases import Phase
from migration_plans.plan import Plan
from migration_plans.table_names import plain

PLAN = Plan.model_validate(
    {
        "move": "shop",
        "service": "shop",
        "why": "a test",
        "tables": {
            "item": {"targets": {"items": {"id": "id", "title": "name"}}, "dropped": {"old": "unused"}},
            "public.tag": {"targets": {"tags": {"id": "id"}}},
        },
        "routes": [
            {"id": "get", "kind": "read", "methods": ["GET"], "path": "/items/{id}"},
            {"id": "add", "kind": "write", "methods": ["POST", "PUT"], "path": "/items"},
        ],
        "sticky": {"header": "x-user"},
    }
)

COLUMN = st.builds(
    ColumnPicture,
    name=st.sampled_from(["id", "name", "old", "more", "Ünï"]),
    number=st.integers(1, 9),
    type=st.sampled_from(["integer", "text", "mood"]),
    nullable=st.booleans(),
    default=st.none() | st.just("1"),
    generated=st.booleans(),
    identity=st.sampled_from(["", "a", "d"]),
    labels=st.sampled_from([(), ("a",), ("a", "b")]),
)
TABLE = st.builds(
    TablePicture,
    oid=st.integers(1, 4),
    columns=st.lists(COLUMN, max_size=5, unique_by=(lambda c: c.name, lambda c: c.number)).map(tuple),
    key=st.sampled_from([(), ("id",)]),
    partitioned=st.booleans(),
)
PICTURE = st.builds(
    SchemaPicture,
    database=st.sampled_from(["1/1", "2/1"]),
    tables=st.dictionaries(st.sampled_from(["item", "tag"]), TABLE, max_size=2),
)


def legacy(before, now):
    return list(legacy_table_drift(PLAN, before, now, followed=()))


@settings(max_examples=150, deadline=None)
@given(PICTURE)
def test_what_is_as_it_was_is_silent_but_for_what_the_plan_misses(picture):
    uses = {"item": {"id", "name", "old"}, "tag": {"id"}}
    missing = {f"table {name}" for name in uses if name not in picture.tables} | {
        f"column {name}.{column}"
        for name, table in picture.tables.items()
        for column in uses[name] - {each.name for each in table.columns}
    }
    found = legacy(picture, picture)
    assert {drift.object for drift in found} == missing
    assert {drift.kind for drift in found} <= {"removed"}


@settings(max_examples=200, deadline=None)
@given(PICTURE, PICTURE)
def test_a_planned_column_that_is_described_otherwise_is_always_told(before, now):
    told = {drift.object for drift in legacy(before, now)}
    for name, column in (("item", "id"), ("item", "name"), ("tag", "id")):
        if name not in before.tables or name not in now.tables:
            continue
        then, is_now = before.tables[name].named(column), now.tables[name].named(column)
        if then is None and is_now is not None:
            continue
        if is_now is None or (then is not None and then.described() != is_now.described()):
            assert f"column {name}.{column}" in told or f"table {name}" in told


def test_a_column_that_was_swapped_with_another_is_told():
    one = TablePicture(oid=1, columns=(column("id", 1), column("name", 2, "text"), column("old", 3, "text")))
    other = TablePicture(oid=1, columns=(column("id", 1), column("old", 2, "text"), column("name", 3, "text")))
    tables = {"tag": TablePicture(oid=2, columns=(column("id", 1),))}
    found = legacy(
        SchemaPicture(database="d", tables={"item": one, **tables}),
        SchemaPicture(database="d", tables={"item": other, **tables}),
    )
    assert [(drift.object, drift.reality) for drift in found] == [
        ("column item.name", "is called old now"),
        ("column item.old", "is called name now"),
    ]


def column(name, number, type_="integer", **more):
    return ColumnPicture(name=name, number=number, type=type_, **more)


def test_empty_pictures_and_no_decisions_are_silent():
    nothing = SchemaPicture(database="d")
    assert list(foreign_key_drift(PLAN, None, nothing)) == []
    assert list(dependent_drift(PLAN, None, nothing, functionalities=())) == []


@pytest.mark.parametrize(
    ("phase", "owner", "objects"),
    [
        (Phase.PLANNED, None, []),
        (Phase.PLANNED, "service", ["ownership row in the legacy database"]),
        (Phase.FOLLOWING, "legacy", []),
        (Phase.FOLLOWING, "service", ["ownership row in the legacy database"]),
        (Phase.FOLLOWING, None, ["ownership row in the legacy database"]),
        (Phase.CUTTING_OVER, "legacy", []),
        (Phase.CUTTING_OVER, "service", []),
        (Phase.SERVICE_OWNED, "service", []),
        (Phase.COMPLETED, "service", []),
        (Phase.COMPLETED, "legacy", ["ownership row in the legacy database"]),
    ],
)
def test_the_owner_is_held_against_the_phase(phase, owner, objects):
    seen = OwnerSeen(side="legacy", owner=owner, tables=frozenset({"item", "tag"} if owner else ()))
    assert [drift.object for drift in owner_drift(PLAN, phase, [seen])] == objects


def test_tables_that_left_the_plan_after_it_was_prepared_are_told():
    seen = OwnerSeen(side="service", owner="legacy", tables=frozenset({"items", "tags", "extras"}))
    [drift] = owner_drift(PLAN, Phase.COPYING, [seen])
    assert (drift.kind, drift.object) == ("added", "table extras (service)")


def test_a_completed_moves_tables_may_leave_the_monolith():
    seen = [OwnerSeen(side="legacy", owner="service"), OwnerSeen(side="service", owner="service")]
    assert {drift.object for drift in owner_drift(PLAN, Phase.COMPLETED, seen)} == {
        "table items (service)",
        "table tags (service)",
    }


def test_routes_that_nobody_published_are_told_once_the_move_runs():
    assert list(route_drift(PLAN, Phase.PLANNED, None)) == []
    [drift] = route_drift(PLAN, Phase.SHADOWING, None)
    assert (drift.kind, drift.reality) == ("removed", "none are published")


def test_a_stopped_table_is_told_with_its_mend():
    tables = [StoppedTable(direction="forward", table="item", changes=(), mend="mend it")]
    [drift] = stopped_drift(tables)
    assert drift.mend == "mend it"
    assert "stopped sending" in drift.reality


def test_revisions_of_several_branches_are_compared_as_sets():
    assert list(revision_drift(Revisions(applied=("b", "a"), heads=("a", "b")))) == []
    [drift] = revision_drift(Revisions(applied=(), heads=("a", "b")))
    assert (drift.plan, drift.reality) == ("its migrations lead to a and b", "is at no revision")


def test_a_service_without_one_of_its_tables_names_it():
    items = TablePicture(oid=1, columns=(column("id", 1), column("title", 2), column("sum", 3, generated=True)))
    now = SchemaPicture(database="d", tables={"items": items})
    [drift] = service_table_drift(PLAN, None, now, followed=())
    assert (drift.kind, drift.object) == ("removed", "table tags")


def seen(planned=(), **functionalities):
    given_ = {
        name.replace("__", " /"): FunctionalityFacts(calls=3, transactions=tuple(transactions))
        for name, transactions in functionalities.items()
    }
    return functionalities_seen(build_facts(given_.items(), Surroundings()), planned)


W, R = (("item", "W"),), (("item", "R"),)


def test_facts_are_read_transaction_by_transaction():
    found = seen(job=[(("public.item", "W"), ("tag", "R")), (("orders", "W"), ("item", "R"))])
    assert found["job"].transactions == (frozenset({"item"}), frozenset({"orders"}))
    assert found["job"].reads == {"tag", "item"}
    assert on_both_sides(["item"], found) == ()
    assert on_both_sides(["item"], seen(job=[(("item", "W"), ("orders", "W"))])) == ("job",)


def test_facts_leave_out_the_default_schema_and_a_plan_only_public():
    transactions = [(("item", "W"), ("orders", "W"), ("x.tag", "R"))]
    found = seen(["app.item", "x.tag"], job=transactions)
    assert found["job"].transactions == (frozenset({"app.item", "orders"}),)
    assert found["job"].reads == {"x.tag"}
    assert on_both_sides(["app.item"], found) == ("job",)
    # Which of two is meant nobody can say; and one that the facts know by its whole name is not the other.
    assert seen(["a.item", "b.item"], job=transactions)["job"].transactions[0] == {"item", "orders"}
    assert seen(["x.item"], job=[(("item", "W"), ("x.item", "W"))])["job"].transactions[0] == {"item", "x.item"}


def test_reads_elsewhere_and_other_tables_are_no_drift():
    other = [(("orders", "W"),)]
    assert list(traffic_drift(PLAN, seen(job=[R], other=other), ())) == []
    found = list(traffic_drift(PLAN, seen(GET__elsewhere=[R], other=other), ()))
    assert [(drift.kind, drift.object) for drift in found] == [("removed", "route get"), ("removed", "route add")]


def test_a_planned_read_that_writes_is_told_and_one_of_two_methods_is_enough_to_be_seen():
    found = list(traffic_drift(PLAN, {**seen(**{"GET__items/{x}": [W], "PUT__items": [W]})}, ()))
    assert [(drift.object, drift.plan) for drift in found] == [("route get", "kind: read")]


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("GET /items/{item_id}", "get"),
        ("GET /items/{id}/", "get"),
        ("HEAD /items/<int:id>", "get"),
        ("GET /items/{slug}_{pk}/", "get"),
        ("GET /items/low", "get"),
        ("PUT /items/", "add"),
        ("GET /items/{id}/tags", None),
        ("DELETE /items/{id}", None),
        ("GET /", None),
        ("get item", None),
        ("nightly", None),
    ],
)
def test_a_recorded_endpoint_is_asked_through_the_route_that_the_router_would_take(name, route):
    found = PlannedRoutes(PLAN).route_of(name)
    assert (found and found.id) == route


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        (
            "DELETE /items/{id}/tags/{id}/",
            'add {id: …, kind: write, methods: [DELETE], path: "/items/{id}/tags/{id_2}"}',
        ),
        ("DELETE /items/{slug}_{pk}/", "let it call the service"),
        ("nightly", "let it call the service"),
    ],
)
def test_a_writer_is_told_with_a_route_that_the_router_takes(name, mend):
    writer = Seen(calls=1, reads=frozenset(), transactions=(frozenset({"item"}),))
    drift = next(traffic_drift(PLAN, {name: writer}, ()))
    assert drift.kind == "added"
    assert drift.mend.startswith(mend)


def test_of_two_routes_the_more_specific_is_asked():
    more = PLAN.model_dump(by_alias=True)
    more["routes"] = [*more["routes"], {"id": "low", "kind": "read", "methods": ["GET"], "path": "/items/low"}]
    routes = PlannedRoutes(Plan.model_validate(more))
    assert [routes.route_of(name).id for name in ("GET /items/low", "GET /items/{id}")] == ["low", "get"]


def test_names_with_and_without_the_schema_are_one():
    assert (plain("public.item"), plain("item"), plain("crm.item")) == ("item", "item", "crm.item")
