"""Whatever stands in a facts document: a clear error, or an answer with every documented key. Never a traceback."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import strangler
from migration_plans.assess.assessment import assess
from migration_plans.assess.facts_file import read_facts
from migration_plans.assess.report_html import render_html
from migration_plans.errors import FactsInvalid

DOCUMENTED = re.findall(
    r"^\| (`[\w`, ]+`) \|", Path("docs/assess.md").read_text().partition("## What comes out")[2], re.M
)
KEYS = [key for row in DOCUMENTED for key in re.findall(r"`(\w+)`", row)]
OUTPUT_KEYS = KEYS[: KEYS.index("complexity") + 1]
"""Of the first table under that heading: the keys of the answer."""

KNOWN = (
    "a",
    "b",
    "c",
    "order",
    "Order",
    "a.b",
    "sch.orders",
    "größe",
    "表",
    "select",
    'quo"ted',
    "%s",
    "<i>",
    "a b",
    "1",
)
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 5),
        st.sampled_from([10**30, -(10**30), 2**63, 1e308, -0.5, float("nan"), float("inf")]),
        st.text(max_size=4),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)


def documents(maybe):
    """Facts documents. `maybe`: what stands in for a part, or the part as it is."""

    def record(required, optional):
        return st.fixed_dictionaries(
            {name: maybe(value) for name, value in required.items()},
            optional={name: maybe(value) for name, value in optional.items()},
        )

    names, counts = st.sampled_from(KNOWN), st.sampled_from([0, 1, 2, 7, 0.5, 1e12])
    some = st.lists(names, max_size=4)
    access = st.tuples(names, st.sampled_from("RW")).map(list)
    strengths = st.sampled_from(["UPDATE", "no key update", "SHARE", "TABLE EXCLUSIVE", "ADVISORY", ""])
    functionality = record(
        {"transactions": st.lists(st.lists(maybe(access), max_size=5), max_size=3)},
        {
            "calls": counts,
            "columns": st.dictionaries(names, record({}, {"read": some, "written": some}), max_size=2),
            **dict.fromkeys(("inserts", "updates", "deletes"), some),
            "locks": st.lists(record({"strength": strengths}, {"table": st.one_of(names, st.just(""))}), max_size=2),
            "held_ms": counts,
        },
    )
    actions = st.sampled_from(["CASCADE", "SET NULL", "", "?"])
    key = record({"from": names, "to": names}, {"columns": some, "on_delete": actions, "inferred": st.booleans()})
    table = record({}, {"columns": some, "primary_key": some, "rows": st.sampled_from([0, 1, 2**63, 10**30])})
    filled = st.lists(names, min_size=1, max_size=4)
    return record(
        {"functionalities": st.dictionaries(st.text("fgä<", min_size=1, max_size=3), maybe(functionality), max_size=5)},
        {
            "tables": st.fixed_dictionaries(dict.fromkeys(KNOWN, table)),
            "foreign_keys": st.lists(maybe(key), max_size=5),
            "joins": st.lists(record({"tables": filled}, {"functionality": names, "calls": counts}), max_size=3),
            "views": st.dictionaries(names, record({}, {"tables": some}), max_size=2),
            "triggers": st.dictionaries(names, record({"table": names}, {"tables": some}), max_size=2),
            "routines": st.dictionaries(names, record({}, {"accesses": st.lists(access, max_size=3)}), max_size=2),
            "hints": record({}, {"must_link": st.lists(some, max_size=2)}),
        },
    )


RIGHT = documents(lambda part: part)
WRONG = documents(lambda part: st.integers(0, 30).flatmap(lambda dice: part if dice else ANYTHING))


def holds(text):
    """The document of the answer, checked; None where the facts are refused with a reason and a mend."""
    try:
        facts = read_facts(text)
    except FactsInvalid as refused:
        assert refused.thing
        assert refused.reason
        assert refused.mend
        str(refused).encode()
        return None
    assessment = assess(facts)
    shown = assessment.as_dict()
    assert list(shown) == OUTPUT_KEYS
    assert sorted(table for tables in shown["services"].values() for table in tables) == list(facts.tables)
    json.dumps(shown, allow_nan=False).encode()
    render_html(assessment).encode()
    return shown


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RIGHT)
def test_any_right_document_is_answered(document):
    assert holds(json.dumps(document)) is not None or not named(document)


def named(document):
    """Does it name any table?"""
    used = [one["transactions"] for one in document["functionalities"].values()]
    return any(any(transactions) for transactions in used) or "tables" in document


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WRONG)
def test_any_wrong_document_is_answered_or_refused_with_a_reason(document):
    holds(json.dumps(document))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RIGHT, st.data())
def test_any_broken_text_is_answered_or_refused_with_a_reason(document, data):
    text = json.dumps(document)
    at = data.draw(st.integers(0, len(text)))
    other = data.draw(
        st.sampled_from(["", "{", "}", "[", '"', ",", "NaN", "\\", "\x00", "\ud800", '"functionalities"'])
    )
    holds(text[:at] + other + text[at + data.draw(st.integers(0, 2)) :])


ONE = {"transactions": [[["a", "R"]]]}
PAIR = {"transactions": [[["a", "R"], ["b", "W"]]]}
SENSIBLE = {
    "one table": {"functionalities": {"f": ONE}},
    "one functionality": {"functionalities": {"f": PAIR}},
    "no functionalities": {"functionalities": {}, "tables": {"a": {}, "b": {}}},
    "functionalities that do nothing": {"functionalities": {"f": {"transactions": []}, "g": ONE}},
    "empty transactions": {"functionalities": {"f": {"transactions": [[], [["a", "W"]], []]}}},
    "not connected": {"functionalities": {"f": PAIR, "g": {"transactions": [[["x", "R"], ["y", "W"]]]}}},
    "a key to itself": {"functionalities": {"f": ONE}, "foreign_keys": [{"from": "a", "to": "a"}]},
    "keys in a circle": {
        "functionalities": {"f": PAIR},
        "foreign_keys": [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "c", "to": "a"}],
    },
    "a key given twice": {"functionalities": {"f": PAIR}, "foreign_keys": [{"from": "a", "to": "b"}] * 2},
    "the largest number of calls": {"functionalities": {"f": {**PAIR, "calls": 1e18, "held_ms": 1e12}, "g": PAIR}},
    "never called": {"functionalities": {"f": {**PAIR, "calls": 0}}},
    "very many rows": {"functionalities": {"f": ONE}, "tables": {"a": {"rows": 10**30}}},
    "names of every kind": {
        "functionalities": {"<b>": {"transactions": [[["größe", "R"], ["表", "W"], ["select", "R"], ['a"b', "W"]]]}},
    },
    "the same names but for case": {"functionalities": {"f": {"transactions": [[["A", "R"], ["a", "W"]]]}}},
    "columns of a table that it does not use": {
        "functionalities": {"f": {**ONE, "columns": {"b": {"written": ["x"]}}}}
    },
    "keys that are no columns": {
        "functionalities": {"f": PAIR},
        "tables": {"a": {"primary_key": ["x", "y"]}, "b": {"columns": ["id"]}},
        "foreign_keys": [{"from": "a", "to": "b", "columns": ["x"]}],
    },
    "locks of tables that are not used": {
        "functionalities": {"f": {**ONE, "locks": [{"table": "b", "strength": "UPDATE"}], "updates": ["c"]}},
    },
    "locks alone": {"functionalities": {"f": {"transactions": [], "locks": [{"table": "b", "strength": "TABLE"}]}}},
}


@pytest.mark.parametrize("case", SENSIBLE)
def test_what_is_strange_but_right_is_answered(case):
    assert holds(json.dumps(SENSIBLE[case])) is not None


BAD = {
    "negative calls": ({"functionalities": {"f": {**ONE, "calls": -1}}}, "functionalities.f.calls"),
    "more calls than anybody counts": ({"functionalities": {"f": {**ONE, "calls": 10**30}}}, "functionalities.f.calls"),
    "calls that are no number": ({"functionalities": {"f": {**ONE, "calls": float("nan")}}}, "functionalities.f.calls"),
    "endless calls": ({"functionalities": {"f": {**ONE, "calls": float("inf")}}}, "functionalities.f.calls"),
    "a table named null": ({"functionalities": {"f": {"transactions": [[[None, "R"]]]}}}, "functionalities.f"),
    "a table named by a number": ({"functionalities": {"f": {"transactions": [[[7, "R"]]]}}}, "functionalities.f"),
    "deletion as a mode": ({"functionalities": {"f": {"transactions": [[["a", "D"]]]}}}, "functionalities.f"),
    "a functionality without a name": ({"functionalities": {"": ONE}}, "functionalities"),
    "a table without a name": ({"functionalities": {"f": ONE}, "tables": {"": {}, "a": {}}}, "tables"),
    "negative rows": ({"functionalities": {"f": ONE}, "tables": {"a": {"rows": -1}}}, "tables.a.rows"),
    "tables as a list": ({"functionalities": {"f": ONE}, "tables": ["a"]}, "tables"),
    "an unknown table": ({"functionalities": {"f": PAIR}, "tables": {"a": {}}}, "functionalities.f"),
    "an unknown table that is locked": (
        {"functionalities": {"f": {**ONE, "locks": [{"table": "b", "strength": "UPDATE"}]}}, "tables": {"a": {}}},
        "functionalities.f",
    ),
    "an unknown table that is deleted from": (
        {"functionalities": {"f": {**ONE, "deletes": ["b"]}}, "tables": {"a": {}}},
        "functionalities.f",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused_at_its_place(case, tmp_path):
    document, place = BAD[case]
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(document))
    with pytest.raises(FactsInvalid) as refused:
        CliRunner().invoke(strangler, ["assess", "--facts", str(path), "--json"], catch_exceptions=False)
    assert refused.value.exit_code == 2
    assert refused.value.thing.startswith(f"{path}: {place}")
    assert refused.value.mend


@pytest.mark.parametrize("key", ["functionalities", "tables", "foreign_keys"])
def test_a_key_given_twice_is_refused(key):
    with pytest.raises(FactsInvalid, match="twice"):
        read_facts(f'{{"functionalities": {{}}, "{key}": {{}}, "{key}": {{}}}}')
