import numpy as np
import pytest

from migration_plans.assess.agreement import adjusted_rand, agreement, mojofm, pairwise_f1
from tests.unit.assess_systems import published

KNOWN = np.array([0, 0, 0, 1, 1, 2])


@pytest.mark.parametrize(("name", "f1", "mojo"), [("ldod", 0.526, 51.6), ("bw", 0.490, 44.4)])
def test_everything_in_one_as_published(name, f1, mojo):
    _, expert = published(name)
    found = agreement(np.zeros_like(expert), expert)
    assert (round(found.f1, 3), round(found.ari, 3), round(found.mojofm, 1)) == (f1, 0, mojo)


def test_equal_whatever_the_numbers():
    found = agreement(np.array([7, 7, 7, 2, 2, 5]), KNOWN)
    assert (found.f1, found.ari, found.mojofm) == (1, 1, 100)


def test_pairs_by_hand():
    found = np.array([0, 0, 1, 1, 1, 1])
    assert pairwise_f1(found, KNOWN) == pytest.approx(2 * 2 / (7 + 4))
    assert adjusted_rand(found, KNOWN) == pytest.approx((2 - 7 * 4 / 15) / (5.5 - 7 * 4 / 15))


def test_mojo_counts_a_move_and_a_join():
    """[0 0 | 0 1 1 2]: two moves lead to 0 0 | 1 1 with 0 and 2 elsewhere; the worst start needs three."""
    assert mojofm(np.array([0, 0, 1, 1, 1, 1]), KNOWN) == pytest.approx(100 * (1 - 2 / 3))
    assert mojofm(np.arange(6), KNOWN) == pytest.approx(100 * (1 - 3 / 3))


def test_single_tables_and_one_table():
    assert agreement(np.array([0]), np.array([3])).mojofm == 100
    assert pairwise_f1(np.arange(3), np.arange(3)) == 1
