"""Communities of a weighted graph, and a tree over what many clusterings agree on. Pure: randomness is a parameter.

Graphs are dense symmetric matrices: a database has thousands of tables at most.
"""

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import FloatArray

Labels = npt.NDArray[np.int64]

_SWEEPS_MAX = 30
"""Over all units, per level; in practice fewer than ten."""
_LEAST_GAIN = 1e-12


def communities(affinity: FloatArray, *, resolution: float, rng: np.random.Generator) -> Labels:
    """Louvain's method for modularity at a resolution, refined once more unit by unit. Labels 0, 1, …"""
    degree = affinity.sum(axis=1)
    if not degree.any():
        return np.arange(len(affinity))
    member_of = np.arange(len(affinity))
    graph, mass = affinity, degree
    while True:
        found = _settle(graph, mass, np.arange(len(graph)), resolution=resolution, rng=rng)
        member_of = found[member_of]
        count = int(found.max()) + 1
        if count == len(graph):
            break
        graph = contracted(graph, found, count)
        mass = np.bincount(found, weights=mass, minlength=count)
    return _settle(affinity, degree, member_of, resolution=resolution, rng=rng)


def _settle(
    graph: FloatArray, mass: FloatArray, labels: Labels, *, resolution: float, rng: np.random.Generator
) -> Labels:
    """Move single nodes to where modularity gains most, until none gains."""
    labels, count, total = labels.copy(), len(graph), mass.sum()
    of_label = np.bincount(labels, weights=mass, minlength=count)
    own_loop = np.diagonal(graph)
    for _ in range(_SWEEPS_MAX):
        moved = False
        for node in rng.permutation(count).tolist():
            here = labels[node]
            links = np.bincount(labels, weights=graph[node], minlength=count)
            links[here] -= own_loop[node]
            of_label[here] -= mass[node]
            gain = links - (resolution * mass[node] / total) * of_label
            there = gain.argmax()
            if gain[there] > gain[here] + _LEAST_GAIN * total:
                labels[node], moved = there, True
            else:
                there = here
            of_label[there] += mass[node]
        if not moved:
            break
    return np.unique(labels, return_inverse=True)[1]


def contracted(graph: FloatArray, labels: Labels, count: int) -> FloatArray:
    """Sums between labels; what is inside a label comes to lie on the diagonal. Every label is used."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(count))
    rows: FloatArray = np.add.reduceat(graph[order], bounds, axis=0)
    result: FloatArray = np.add.reduceat(rows[:, order], bounds, axis=1)
    return result


Merge = tuple[int, int]
"""The second label becomes the first."""


def merged_modularities(graph: FloatArray, merges: list[Merge]) -> list[float]:
    """Modularity at resolution 1 of a graph whose nodes are communities, before the first merge and after each."""
    total = graph.sum()
    if not total:
        return [0.0] * (len(merges) + 1)
    share = graph / total
    degree = share.sum(axis=1)
    value = float(np.trace(share) - (degree**2).sum())
    result = [value]
    for first, second in merges:
        value += 2 * float(share[first, second] - degree[first] * degree[second])
        share[first] += share[second]
        share[:, first] += share[:, second]
        degree[first] += degree[second]
        result.append(value)
    return result


def silhouettes(likeness: FloatArray, labels: Labels, merges: list[Merge]) -> list[float]:
    """Rousseeuw's mean silhouette of the nodes, before the first merge of labels and after each.

    From 1 (each is with its own and with nobody else) to -1; 0 for a node alone. `likeness`: from 0 to 1.
    """
    rows = np.arange(len(labels))
    of_label: Labels = labels.copy()
    member = np.zeros((len(labels), int(labels.max()) + 1))
    member[rows, of_label] = 1
    apart = (1 - likeness) @ member
    size = member.sum(axis=0)
    result = [_silhouette(apart, of_label, size)]
    for first, second in merges:
        apart[:, first] += apart[:, second]
        size[first] += size[second]
        size[second] = 0
        of_label[of_label == second] = first
        result.append(_silhouette(apart, of_label, size))
    return result


def _silhouette(apart: FloatArray, of_label: Labels, size: FloatArray) -> float:
    """`apart`: sums of each node's distances, by label."""
    rows = np.arange(len(of_label))
    used = size > 0
    if used.sum() < 2:
        return 0.0
    within = apart[rows, of_label] / np.maximum(size[of_label] - 1, 1)
    means = np.full(apart.shape, np.inf)
    means[:, used] = apart[:, used] / size[used]
    means[rows, of_label] = np.inf
    nearest = means.min(axis=1)
    worst = np.maximum(within, nearest)
    gap = np.divide(nearest - within, worst, out=np.zeros(len(rows)), where=(worst > 0) & (size[of_label] > 1))
    return float(gap.mean())


def linkage(likeness: FloatArray, apart: npt.NDArray[np.bool_]) -> list[Merge]:
    """Average linkage: merges in order, the likest first, until one is left or all the rest must stay apart."""
    alike = likeness.copy()
    np.fill_diagonal(alike, -np.inf)
    alike[apart] = -np.inf
    size = np.ones(len(alike))
    merges: list[Merge] = []
    for _ in range(len(alike) - 1):
        first, second = sorted(divmod(int(alike.argmax()), len(alike)))
        if np.isneginf(alike[first, second]):
            break
        merged = (alike[first] * size[first] + alike[second] * size[second]) / (size[first] + size[second])
        merged[first] = -np.inf
        alike[first], alike[:, first] = merged, merged
        alike[second], alike[:, second] = -np.inf, -np.inf
        size[first] += size[second]
        merges.append((first, second))
    return merges


def cuts(merges: list[Merge], count: int, most: int) -> dict[int, Labels]:
    """Number of clusters → labels, from `most` down to as few as the merges lead to; each nests in the one before."""
    labels = np.arange(count)
    result: dict[int, Labels] = {}
    for done in range(len(merges) + 1):
        left = count - done
        if left <= most:
            result[left] = np.unique(labels, return_inverse=True)[1]
        if done < len(merges):
            first, second = merges[done]
            labels[labels == second] = first
    return result
