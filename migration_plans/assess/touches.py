"""Each table once per transaction: what most of the assessment needs, and much less than all accesses. Pure."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import Facts, FloatArray, Offsets

_ACCESSES_AT_ONCE = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Touches:
    """Tables by transaction, in order of both; one that is read and written is there twice."""

    table: Offsets
    transaction: Offsets
    functionality: Offsets
    written: npt.NDArray[np.bool_]
    functionality_weight: FloatArray
    """Damped calls."""
    transaction_weight: FloatArray


def touches(facts: Facts) -> Touches:
    """From all accesses, a part at a time."""
    width = 2 * len(facts.tables)
    bounds = np.searchsorted(facts.transaction_starts, np.arange(0, len(facts.accesses), _ACCESSES_AT_ONCE))
    parts: list[Offsets] = [np.zeros(0, dtype=np.int64)]
    for first, end in pairwise([*np.unique(bounds).tolist(), len(facts.transaction_starts) - 1]):
        starts = facts.transaction_starts[first : end + 1]
        transaction = np.repeat(np.arange(first, end), np.diff(starts))
        parts.append(np.unique(width * transaction + facts.accesses[starts[0] : starts[-1]]))
    transaction, code = np.divmod(np.concatenate(parts), width)
    weight = damped_calls(facts.calls)
    return Touches(
        table=code >> 1,
        transaction=transaction,
        functionality=facts.functionality_of_transaction[transaction],
        written=(code & 1).astype(bool),
        functionality_weight=weight,
        transaction_weight=weight[facts.functionality_of_transaction],
    )


def damped_calls(calls: FloatArray) -> FloatArray:
    """Traffic spans orders of magnitude and structure does not: 1 for what was never called, 1.7 for the median."""
    called = calls[calls > 0]
    return 1 + np.log1p(calls / (np.median(called) if len(called) else 1.0))
