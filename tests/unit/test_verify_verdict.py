from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.events import Column, Relation, RowChange, Transaction, Truncate
from cdc.mapping.compiled import compile_mapping
from cdc.verify.changed import changed_keys
from cdc.verify.reading import RowState
from cdc.verify.settle import judge, settle
from cdc.verify.verdict import Difference, TableVerdict, Verdict
from tests.catalog_mapping import CATALOG, LEGACY, SERVICE, name

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
PRICES = TableVerdict(source="price", table="prices", rows=2, checksum="00")


def verdict(**changed):
    return Verdict(
        **{
            "move": "catalog",
            "direction": "forward",
            "equal": True,
            "position": "0/1A",
            "schema_hash": "abc",
            "rows": 2,
            "tables": (PRICES,),
            "method": "full",
            "at": AT,
            "seconds": 1.5,
            **changed,
        }
    )


def test_a_verdict_survives_json():
    table = PRICES.model_copy(
        update={"difference_count": 1, "differences": (Difference(key=("1",), kind="different", columns=("x",)),)}
    )
    made = verdict(equal=False, tables=(table,))
    assert Verdict.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("made", "age_s", "schema", "reason"),
    [
        ({}, 60, "abc", None),
        ({}, 61, "abc", "it is 61 s old, older than 60 s"),
        ({}, 1, "abd", "a table's structure changed since it was made"),
        ({}, -5, "abc", "it is dated 5 s in the future: the clock was set back"),
        (
            {"equal": False, "tables": (PRICES.model_copy(update={"difference_count": 3}),)},
            1,
            "abc",
            "the sides differ: prices (3)",
        ),
    ],
)
def test_C11_a_verdict_expires(made, age_s, schema, reason):
    assert verdict(**made).refusal(AT + timedelta(seconds=age_s), 60, schema) == reason


def relation(table):
    described = LEGACY.tables[name(table)]
    columns = tuple(Column(name=c.name, type_oid=0) for c in described.columns)
    return Relation(oid=1, schema="public", name=table, columns=columns)


def image(table, **values):
    return tuple(values.get(c.name) for c in LEGACY.tables[name(table)].columns)


def test_changed_keys_holds_old_and_new_keys_and_what_was_truncated():
    product, links = relation("product"), relation("product_category")
    other = Relation(oid=9, schema="public", name="other", columns=())
    changes = (
        RowChange(relation=product, op="c", new=image("product", id="1")),
        RowChange(relation=product, op="u", new=image("product", id="1")),
        RowChange(
            relation=product, op="u", new=image("product", id="3"), old=image("product", id="2"), old_is_key=True
        ),
        RowChange(
            relation=links,
            op="d",
            new=None,
            old=image("product_category", product_id="1", category_id="2"),
            old_is_key=True,
        ),
        RowChange(relation=other, op="c", new=()),
        Truncate(relations=(relation("price"), other)),
    )
    transaction = Transaction(xid=1, commit_lsn=1, end_lsn=2, commit_time_us=0, changes=changes)
    found = changed_keys([transaction, transaction], compile_mapping(CATALOG, LEGACY, SERVICE))
    assert found.keys == {
        name("product"): {("1",), ("2",), ("3",)},
        name("product_category"): {("1", "2")},
    }
    assert found.truncated == {name("price")}
    assert found.count == 4


def row(digest, version="v"):
    return RowState(hash=digest, version=version)


@pytest.mark.parametrize(
    ("before", "target", "after", "outcome"),
    [
        (row("a"), row("a"), None, "equal"),
        (None, None, row("a"), "equal"),
        (row("a"), row("b"), row("a"), "different"),
        (row("a"), None, row("a"), "missing"),
        (None, row("b"), None, "extra"),
        (row("a"), row("b"), row("a", "w"), "moving"),
        (row("a"), row("b"), None, "moving"),
        (None, row("b"), row("c"), "moving"),
    ],
)
def test_what_one_round_shows(before, target, after, outcome):
    assert judge(before, target, after) == outcome


class Replay:
    """Both sides of one row as a script: which of its source states each reading sees, in order."""

    def __init__(self, history, source, target):
        self.source = self.target = self
        self._rows = {"source": history, "target": [s and row(s.hash, f"t{n}") for n, s in enumerate(history)]}
        self._moments = {"source": iter(source), "target": iter(target)}

    def states(self, side, keys):
        state = self._rows[side][next(self._moments[side])]
        return {} if state is None else {keys[0]: state}


COMPARISON = SimpleNamespace(source="source", target="target")


@given(st.data())
def test_V3_a_stream_that_loses_nothing_is_never_called_different(data):
    """The row is written at any moment; at each reading the target has some state that the source had by then, and no
    older one than at the barrier."""
    history = [row(data.draw(st.sampled_from("ab")), f"v{n}") if data.draw(st.booleans()) else None for n in range(9)]
    moments = sorted(data.draw(st.lists(st.integers(0, 8), min_size=9, max_size=9)))
    source = [moment for index, moment in enumerate(moments) if index % 3 != 1]
    replay = Replay(history, source, moments[1::3])
    settled = settle(replay, COMPARISON, [("1",)], wait_caught_up=lambda: None, rounds=3)
    assert settled.different == {}


@pytest.mark.parametrize(
    ("history", "kind"),
    [([row("a"), row("b")], "different"), ([None, row("b")], "extra"), ([row("a"), None], "missing")],
)
def test_a_difference_that_stays_is_proven_in_two_rounds(history, kind):
    replay = Replay(history, [0] * 4, [1] * 2)
    settled = settle(replay, COMPARISON, [("1",)], wait_caught_up=lambda: None, rounds=2)
    assert settled.different == {("1",): kind}
