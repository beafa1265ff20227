"""Facts of any shape give an answer that keeps its promises, and large ones the same as small ones."""

import json
import random

import numpy as np
import pytest

from migration_plans.assess import complexity, touches
from migration_plans.assess.assessment import assess
from migration_plans.assess.facts_file import read_facts
from migration_plans.errors import FactsInvalid
from tests.unit.assess_planted import planted


def any_document(seed):
    rng = random.Random(seed)
    tables = [f"t{number}" for number in range(rng.randint(1, 9))]

    def transaction():
        return [[rng.choice(tables), rng.choice("RW")] for _ in range(rng.randint(0, 5))]

    def some(most):
        return rng.sample(tables, min(len(tables), rng.randint(1, most)))

    document = {
        "functionalities": {
            f"f{number}": {
                "calls": rng.choice([0, 1, 5, 1e6]),
                "transactions": [transaction() for _ in range(rng.randint(0, 3))],
            }
            for number in range(rng.randint(0, 6))
        }
    }
    if rng.random() < 0.5:
        document["tables"] = {table: {} for table in tables}
    if rng.random() < 0.5:
        actions = [None, "CASCADE", "SET NULL"]
        document["foreign_keys"] = [
            {"from": rng.choice(tables), "to": rng.choice(tables), "on_delete": rng.choice(actions)}
            for _ in range(rng.randint(0, 6))
        ]
    if rng.random() < 0.5:
        document["hints"] = {"must_link": [some(2)], "cannot_link": [some(3)]}
    if rng.random() < 0.5:
        document["joins"] = [{"tables": some(4), "calls": rng.choice([0, 2])}]
    return document


@pytest.mark.parametrize("seed", range(24))
def test_every_table_has_one_service_and_hints_hold_in_every_cut(seed):
    try:
        facts = read_facts(json.dumps(any_document(seed)))
    except FactsInvalid as refused:
        assert refused.reason == "no table is named anywhere" or "must be linked" in refused.reason
        return
    shown = assess(facts).as_dict()
    json.dumps(shown, allow_nan=False)
    assert sorted(shown["order"]) == sorted(shown["services"])
    assert all(0 <= stability <= 1 for stability in shown["stability"].values())
    for cut in (shown, *shown["alternatives"]):
        home = {table: service for service, tables in cut["services"].items() for table in tables}
        assert sorted(home) == list(facts.tables)
        for linked in facts.must_link:
            assert len({home[facts.tables[table]] for table in linked}) == 1
        for apart in facts.cannot_link:
            assert len({home[facts.tables[table]] for table in apart}) == len(apart)


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_accesses_taken_in_parts_give_the_same(monkeypatch, at_once):
    facts, known = planted(0, services=3, tables_each=5, functionalities_each=12)
    whole, values = touches.touches(facts), complexity.complexities(facts, known)
    monkeypatch.setattr(touches, "_ACCESSES_AT_ONCE", at_once)
    monkeypatch.setattr(complexity, "_ACCESSES_AT_ONCE", at_once)
    parts = touches.touches(facts)
    for name in ("table", "transaction", "functionality", "written"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
    assert np.array_equal(values, complexity.complexities(facts, known))
    assert values.sum() > 0
