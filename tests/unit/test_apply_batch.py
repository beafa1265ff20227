from hypothesis import given
from hypothesis import strategies as st

from cdc.apply_batch import plan, plan_one_by_one
from cdc.events import TableName, TargetChange

T, U = TableName(name="t"), TableName(name="u")


def upsert(key, table=T, **values):
    return TargetChange(kind="upsert", table=table, key={"id": key}, values={"id": key, **values})


def update(key, old=None, missing="error", table=T, **values):
    old_key = {"id": old} if old else None
    return TargetChange(kind="update", table=table, key={"id": key}, values=values, old_key=old_key, missing=missing)


def delete(key, table=T, missing="error"):
    return TargetChange(kind="delete", table=table, key={"id": key}, values={}, missing=missing)


def truncate(table=T):
    return TargetChange(kind="truncate", table=table, key={}, values={})


def shapes(changes, batching="any"):
    return [
        (group.kind, group.table.name, [tuple(row) for row in group.rows])
        for group in plan(changes, lambda _: batching)
    ]


def test_rows_of_interleaved_tables_share_statements():
    changes = [change for n in "123" for change in (upsert(n), upsert(n, table=U))]
    assert shapes(changes) == [
        ("upsert", "t", [("1",), ("2",), ("3",)]),
        ("upsert", "u", [("1",), ("2",), ("3",)]),
    ]


def test_a_later_change_of_a_key_replaces_the_earlier_one():
    assert shapes([upsert("1", a="x"), upsert("2", a="y"), update("1", a="z")]) == [
        ("upsert", "t", [("1", "z"), ("2", "y")])
    ]


def test_d07_an_update_without_the_large_value_keeps_the_one_that_an_earlier_update_brought():
    changes = [update("1", n="1", big="B"), update("1", n="2")]
    (group,) = plan(changes, lambda _: "any")
    assert group.columns == ("n", "big")
    assert list(group.rows) == [["1", "2", "B"]]
    first, second = plan(reversed(changes), lambda _: "any")
    assert (first.columns, second.columns) == (("n",), ("n", "big"))


def test_delete_then_insert_stay_two_statements_in_order():
    assert [kind for kind, _, _ in shapes([upsert("1"), delete("1"), upsert("1")])] == ["upsert", "delete", "upsert"]


def test_a_key_change_and_a_truncate_separate_what_is_before_from_what_is_after():
    kinds = [kind for kind, _, _ in shapes([upsert("1"), update("2", old="1"), upsert("3"), truncate(), upsert("4")])]
    assert kinds == ["upsert", "update", "upsert", "truncate", "upsert"]


def test_d28_an_update_that_sets_nothing_is_no_statement():
    assert plan([update("1")], lambda _: "any") == []


def test_with_another_unique_constraint_rows_keep_their_order():
    changes = [update("1", a="x"), delete("2"), update("3", a="y")]
    assert [kind for kind, _, _ in shapes(changes, "in_order")] == ["update", "delete", "update"]
    assert [kind for kind, _, _ in shapes(changes, "any")] == ["update", "delete"]


def test_keys_whose_text_may_differ_while_they_are_equal_get_a_statement_each():
    assert len(plan([upsert("1.0"), upsert("1.00"), upsert("1.0")], lambda _: "one")) == 3


def test_updates_that_may_miss_do_not_mix_with_those_that_may_not():
    groups = plan([update("1", a="x"), update("2", a="x", missing="ignore")], lambda _: "any")
    assert [group.must_match for group in groups] == [True, False]


def test_one_by_one_is_the_same_change():
    (group,) = plan_one_by_one(update("2", old="1", a="x"))
    assert (group.key, group.columns, list(group.rows)) == (("id",), ("a", "id"), [["1", "x", "2"]])


KEYS = st.sampled_from("123")
VALUES = st.sampled_from("xyz")
CHANGES = st.one_of(
    st.builds(lambda k, a, b: upsert(k, a=a, b=b), KEYS, VALUES, VALUES),
    st.builds(lambda k, a: update(k, a=a, missing="ignore"), KEYS, VALUES),
    st.builds(lambda k, a, b: update(k, a=a, b=b, missing="ignore"), KEYS, VALUES, VALUES),
    st.builds(lambda k, old, a: update(k, old=old, a=a, missing="ignore"), KEYS, KEYS, VALUES),
    st.builds(lambda k: delete(k, missing="ignore"), KEYS),
    st.just(truncate()),
)


def execute(groups):
    rows = {}
    for group in groups:
        width = len(group.key)
        if group.kind == "truncate":
            rows.clear()
        for row in group.rows:
            if group.kind == "upsert":
                rows[row[0]] = dict(zip(group.columns, row, strict=True))
            elif group.kind == "delete":
                rows.pop(row[0], None)
            elif row[0] in rows:
                changed = {**rows.pop(row[0]), **dict(zip(group.columns, row[width:], strict=True))}
                rows[changed["id"]] = changed
    return rows


@given(st.lists(CHANGES, max_size=30), st.sampled_from(["any", "in_order", "one"]))
def test_the_groups_have_the_effect_of_the_changes_one_after_the_other(changes, batching):
    one_by_one = [group for change in changes for group in plan_one_by_one(change)]
    assert execute(plan(changes, lambda _: batching)) == execute(one_by_one)
