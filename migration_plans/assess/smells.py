"""What blurs every cut: hub tables that everything uses, and bulk jobs that use everything. Pure.

Both are damped when boundaries are looked for (`affinity`), and shown here, because each needs a decision of its own:
a hub may be reference data that every service keeps a copy of, a bulk job is often rebuilt rather than migrated.
"""

from collections.abc import Mapping

import numpy as np

from migration_plans.assess.facts import Facts, Offsets
from migration_plans.assess.touches import Touches

_SHARE_LEAST = 0.5
_LEAST = 8
"""Tables and functionalities below which half of them is not many."""


def hub_tables(facts: Facts, used: Touches) -> Mapping[str, float]:
    """Tables that at least half of the functionalities use → the share, the largest first."""
    names, count = facts.tables, len(facts.functionalities)
    return _large(names, np.unique(used.functionality * len(names) + used.table) % len(names), count)


def bulk_jobs(facts: Facts, used: Touches) -> Mapping[str, float]:
    """Functionalities that use at least half of the tables → the share, the largest first.

    Not one that is called oftener than most: what a business does all day touches many of its tables in a small system,
    and is no job.
    """
    names, count = facts.functionalities, len(facts.tables)
    large = _large(names, np.unique(used.functionality * count + used.table) // count, count)
    often = float(np.median(facts.calls)) if names else 0.0
    calls = dict(zip(names, facts.calls.tolist(), strict=True))
    return {name: share for name, share in large.items() if calls[name] <= often}


def _large(names: tuple[str, ...], counted: Offsets, of: int) -> dict[str, float]:
    if of < _LEAST:
        return {}
    share = np.bincount(counted, minlength=len(names)) / of
    large = sorted((-value, names[number]) for number, value in enumerate(share.tolist()) if value >= _SHARE_LEAST)
    return {name: round(-value, 4) for value, name in large}
