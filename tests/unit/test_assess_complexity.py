import numpy as np
import pytest

from migration_plans.assess.complexity import complexities, split_runs
from tests.unit.assess_systems import facts_of, published, published_complexities


@pytest.mark.parametrize(("name", "count", "mean", "most"), [("ldod", 122, 617.352, 6967), ("bw", 98, 2129.612, 31262)])
def test_all_published_values(name, count, mean, most):
    facts, expert = published(name)
    ours = complexities(facts, expert)
    assert sorted(ours.tolist()) == published_complexities(name)
    assert (len(ours), round(float(ours.mean()), 3), int(ours.max())) == (count, mean, most)


def test_a_run_keeps_the_first_access_and_a_write_after_a_read():
    facts = facts_of({"f": [["a", "R"], ["a", "R"], ["a", "W"], ["a", "W"], ["b", "W"], ["b", "R"], ["a", "R"]]})
    runs = split_runs(facts, np.array([0, 1]))
    assert runs.starts.tolist() == [0, 2, 3, 4]
    assert runs.kept.tolist() == [0, 1, 3, 0]


def test_by_hand():
    """`pay` and `bill` are distributed, `look` is not. Each write of `a` meets the other's read, and the reverse."""
    facts = facts_of(
        {
            "bill": [["a", "R"], ["b", "W"]],
            "look": [["a", "W"]],
            "pay": [["a", "W"], ["b", "R"]],
        }
    )
    assert complexities(facts, np.array([0, 1])).tolist() == [2, 0, 2]
    assert complexities(facts, np.array([0, 0])).tolist() == [0, 0, 0]


def test_own_accesses_do_not_count():
    facts = facts_of({"alone": [["a", "R"], ["b", "W"], ["a", "W"]]})
    assert complexities(facts, np.array([0, 1])).tolist() == [0]


def test_without_accesses():
    facts = facts_of({"idle": []}, tables={"a": {}})
    assert complexities(facts, np.array([0])).tolist() == [0]
