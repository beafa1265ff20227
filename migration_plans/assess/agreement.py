"""How alike two decompositions of the same tables are. Pure; used to judge proposals against a known cut.

Labels are arrays of small numbers, one per table, in the same order.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """`f1` and `ari` at most 1, `mojofm` in percent."""

    f1: float
    ari: float
    mojofm: float


def agreement(found: Labels, known: Labels) -> Agreement:
    """Of a found decomposition with a known one."""
    return Agreement(f1=pairwise_f1(found, known), ari=adjusted_rand(found, known), mojofm=mojofm(found, known))


def pairwise_f1(found: Labels, known: Labels) -> float:
    """Harmonic mean of precision and recall over the pairs of tables that share a service."""
    both, in_found, in_known = _pairs(found, known)
    return 2 * both / (in_found + in_known) if in_found + in_known else 1.0


def adjusted_rand(found: Labels, known: Labels) -> float:
    """Hubert and Arabie's adjusted Rand index: 1 is equal, 0 what chance gives."""
    both, in_found, in_known = _pairs(found, known)
    pairs = comb(len(known), 2)
    expected = in_found * in_known / pairs if pairs else 0.0
    most = (in_found + in_known) / 2
    return (both - expected) / (most - expected) if most != expected else 1.0


def mojofm(found: Labels, known: Labels) -> float:
    """Wen and Tzerpos: 100 × (1 − fewest moves and joins from `found` to `known` ÷ those from the worst start)."""
    table = _contingency(found, known)
    worst = _worst(table.sum(axis=0))
    return 100 * (1 - _moves_and_joins(table) / worst) if worst else 100.0


def _contingency(found: Labels, known: Labels) -> npt.NDArray[np.int64]:
    rows, row = np.unique(found, return_inverse=True)
    columns, column = np.unique(known, return_inverse=True)
    result = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(result, (row, column), 1)
    return result


def _pairs(found: Labels, known: Labels) -> tuple[int, int, int]:
    """Pairs together in both, in `found`, in `known`."""
    table = _contingency(found, known)
    return tuple(sum(comb(int(n), 2) for n in counts) for counts in (table.flat, table.sum(1), table.sum(0)))  # type: ignore[return-value]


def _moves_and_joins(table: npt.NDArray[np.int64]) -> int:
    """Each found service becomes a known one that it overlaps most; ties go so that the most known ones are reached."""
    most = table.max(axis=1)
    choices = [np.flatnonzero(row == best).tolist() for row, best in zip(table, most, strict=True)]
    reached = _largest_matching(choices)
    return int(table.sum() - most.sum()) + len(choices) - reached


def _largest_matching(choices: list[list[int]]) -> int:
    """Largest number of rows that can each have a choice of their own."""
    taken: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for choice in choices[row]:
            if choice in tried:
                continue
            tried.add(choice)
            if choice not in taken or place(taken[choice], tried):
                taken[choice] = row
                return True
        return False

    return sum(place(row, set()) for row in range(len(choices)))


def _worst(sizes: npt.NDArray[np.int64]) -> int:
    """Moves and joins from the decomposition that is farthest from services of these sizes."""
    groups = 0
    for size in sorted(sizes.tolist()):
        groups += groups < size
    return int(sizes.sum()) - groups
