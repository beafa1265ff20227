from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.events import Column, Relation, RowChange, Transaction, Truncate
from cdc.mapping.compiled import compile_mapping
from cdc.verify.changed import changed_keys
from cdc.verify.reading import RowState
from cdc.verify.settle import judge
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
    ("before", "target", "after", "last_target", "outcome"),
    [
        (row("a"), row("a"), None, None, "equal"),
        (None, None, row("a"), None, "equal"),
        (row("a"), row("b"), row("a"), None, "different"),
        (row("a"), None, row("a"), None, "missing"),
        (row("a"), row("b"), row("a", "w"), None, "moving"),
        (row("a"), row("b"), None, None, "moving"),
        (None, row("b"), None, None, "moving"),
        (None, row("b", "1"), None, row("b", "1"), "extra"),
        (None, row("b", "2"), None, row("b", "1"), "moving"),
        (None, row("b", "1"), row("c"), row("b", "1"), "moving"),
    ],
)
def test_what_one_round_proves(before, target, after, last_target, outcome):
    assert judge(before, target, after, last_target) == outcome


@given(st.data())
def test_V3_a_stream_that_loses_nothing_is_never_called_different(data):
    """A row is written at any moment; the target holds some state between the barrier and its reading."""
    history = [None, *(row(data.draw(st.sampled_from("ab")), f"v{n}") for n in range(6))]
    history = [data.draw(st.sampled_from([state, None])) for state in history]
    moments = sorted(data.draw(st.lists(st.integers(0, 6), min_size=6, max_size=6)))
    last = None
    for before, applied, after in (moments[:3], moments[3:]):
        seen = history[applied]
        target = seen and row(seen.hash, f"t{applied}")
        assert judge(history[before], target, history[after], last) in ("equal", "moving")
        last = target
