"""Complexity of migrating each functionality to a decomposition, as INESC-ID defines it (ICSA 2020). Pure.

A functionality's accesses are split into maximal runs within one service. Inside a run the first access of a table is
kept, and a later write only if the kept one was a read. A functionality is distributed when it touches more than one
service. A run costs the number of *other* distributed functionalities that it has to be reconciled with: those that
write what it reads, and those that read what it writes. The sum over the runs is the functionality's complexity; one
that is not distributed has none.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from migration_plans.assess.facts import Facts, IntArray, Offsets

_ACCESSES_AT_ONCE = 1_000_000

Bits = int
"""A set of functionalities, one bit each."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """Runs of all functionalities in order. A kept code is `2 × table + (1 if written)`."""

    functionality: Offsets
    """Of each run."""
    service: IntArray
    """Of each run."""
    kept: IntArray
    """Kept accesses of all runs."""
    starts: Offsets
    """Where each run's kept accesses begin, and the end."""


def split_runs(facts: Facts, service_of: IntArray) -> Runs:
    """`service_of`: number of the service, per table. A functionality's transactions follow one another."""
    begins = facts.transaction_starts[facts.functionality_starts]
    bounds = np.unique(
        np.searchsorted(begins, np.arange(0, len(facts.accesses) + _ACCESSES_AT_ONCE, _ACCESSES_AT_ONCE))
    )
    bounds = np.minimum(bounds, len(facts.functionalities))
    parts = [_split_part(facts, service_of, first, end) for first, end in pairwise(bounds.tolist())]
    kept = np.concatenate([part.kept for part in parts] or [facts.accesses[:0]])
    lengths = np.concatenate([np.diff(part.starts) for part in parts] or [begins[:0]])
    return Runs(
        functionality=np.concatenate([part.functionality for part in parts] or [begins[:0]]),
        service=np.concatenate([part.service for part in parts] or [service_of[:0]]),
        kept=kept,
        starts=np.concatenate([[0], np.cumsum(lengths)]),
    )


def _split_part(facts: Facts, service_of: IntArray, first: int, end: int) -> Runs:
    """Of the functionalities from `first` up to `end`."""
    begins = facts.transaction_starts[facts.functionality_starts[first : end + 1]]
    accesses = facts.accesses[begins[0] : begins[-1]]
    table, written = accesses >> 1, accesses & 1
    functionality, service = np.repeat(np.arange(first, end), np.diff(begins)), service_of[table]
    new_run = np.ones(len(table), dtype=bool)
    new_run[1:] = (functionality[1:] != functionality[:-1]) | (service[1:] != service[:-1])
    run = np.cumsum(new_run) - 1
    pair = run * len(facts.tables) + table
    order = np.argsort(pair, kind="stable")
    first_use = np.ones(len(order), dtype=bool)
    first_use[1:] = pair[order][1:] != pair[order][:-1]
    at = np.flatnonzero(first_use)
    met = order[at]
    writes = np.maximum.reduceat(written[order], at) if len(at) else written[:0]
    reads = written[met] == 0
    codes = np.concatenate([2 * table[met[reads]], 2 * table[met[writes == 1]] + 1])
    runs = np.concatenate([run[met[reads]], run[met[writes == 1]]])
    by_run = np.argsort(runs, kind="stable")
    return Runs(
        functionality=functionality[new_run],
        service=service[new_run],
        kept=codes[by_run].astype(np.int32),
        starts=np.searchsorted(runs[by_run], np.arange(int(new_run.sum()) + 1)),
    )


def complexities(facts: Facts, service_of: IntArray) -> Offsets:
    """Complexity per functionality, in the order of `facts.functionalities`."""
    runs = split_runs(facts, service_of)
    distributed = _distributed(runs, len(facts.functionalities))
    users = _users(facts, runs, distributed)
    result = np.zeros(len(facts.functionalities), dtype=np.int64)
    conflicts: dict[bytes, Bits] = {}
    for number in np.flatnonzero(distributed[runs.functionality]):
        kept = runs.kept[runs.starts[number] : runs.starts[number + 1]]
        key = kept.tobytes()
        if (others := conflicts.get(key)) is None:
            others = 0
            for code in kept.tolist():
                others |= users[code ^ 1]
            conflicts[key] = others
        functionality = int(runs.functionality[number])
        result[functionality] += others.bit_count() - (others >> functionality & 1)
    return result


def _distributed(runs: Runs, functionalities: int) -> npt.NDArray[np.bool_]:
    result = np.zeros(functionalities, dtype=bool)
    changes = (runs.functionality[1:] == runs.functionality[:-1]) & (runs.service[1:] != runs.service[:-1])
    result[runs.functionality[1:][changes]] = True
    return result


def _users(facts: Facts, runs: Runs, distributed: npt.NDArray[np.bool_]) -> list[Bits]:
    """Per code: the distributed functionalities that keep it. Looked up with the mode turned, these are conflicts."""
    functionality = np.repeat(runs.functionality, np.diff(runs.starts))
    counted = distributed[functionality]
    pairs = np.unique(runs.kept[counted].astype(np.int64) * len(facts.functionalities) + functionality[counted])
    code, user = np.divmod(pairs, len(facts.functionalities))
    bounds = np.searchsorted(code, np.arange(2 * len(facts.tables) + 1))
    return [_bits(user[begin:end], len(facts.functionalities)) for begin, end in pairwise(bounds.tolist())]


def _bits(members: Offsets, size: int) -> Bits:
    flags = np.zeros(size, dtype=np.uint8)
    flags[members] = 1
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")
