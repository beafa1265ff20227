"""The parts that boundaries are found with, against their definitions."""

import numpy as np
import pytest

from migration_plans.assess.clustering import silhouettes


def by_definition(likeness, labels):
    """Rousseeuw's mean silhouette, node by node."""
    apart, widths = 1 - likeness, []
    for node, own in enumerate(labels.tolist()):
        mates = [other for other, label in enumerate(labels.tolist()) if label == own and other != node]
        others = [apart[node, labels == label].mean() for label in set(labels.tolist()) - {own}]
        if not mates or not others:
            widths.append(0.0)
            continue
        within, nearest = apart[node, mates].mean(), min(others)
        widths.append((nearest - within) / (max(within, nearest) or 1))
    return np.mean(widths)


@pytest.mark.parametrize("seed", range(5))
def test_silhouettes_are_those_of_the_definition_before_and_after_every_merge(seed):
    rng = np.random.default_rng(seed)
    half = rng.random((12, 12))
    likeness = (half + half.T) / 2
    np.fill_diagonal(likeness, 1)
    labels = rng.permutation(np.repeat(np.arange(5), [1, 2, 2, 3, 4]))
    merges = [(0, 3), (1, 2), (0, 4), (0, 1)]
    expected = [by_definition(likeness, labels)]
    merged = labels.copy()
    for first, second in merges:
        merged[merged == second] = first
        expected.append(by_definition(likeness, merged))
    assert silhouettes(likeness, labels, merges) == pytest.approx(expected)


def test_silhouettes_of_one_node_and_of_nodes_never_apart():
    assert silhouettes(np.ones((1, 1)), np.zeros(1, dtype=np.int64), []) == [0.0]
    assert silhouettes(np.ones((3, 3)), np.array([0, 1, 1]), [(0, 1)]) == [0.0, 0.0]
