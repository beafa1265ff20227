"""A synthetic system with a known cut, of any size; every number follows from the seed."""

import numpy as np

from tests.unit.assess_systems import facts_of


def planted(seed, *, services, tables_each, functionalities_each, across=0.25, hub=True, foreign_keys=False):
    """Facts, and the service per table.

    Each functionality uses a few tables of one service; `across`: share of those that also use one of another
    service. With `hub`, every second one reads the first table. With `foreign_keys`, a service's tables are parts of
    its first one, which refers to the next service's.
    """
    rng = np.random.default_rng(seed)
    known = np.repeat(np.arange(services), tables_each)
    functionalities = {}
    for number in range(services * functionalities_each):
        own = np.flatnonzero(known == number % services)
        used = rng.choice(own, size=min(int(rng.integers(2, 5)), len(own)), replace=False).tolist()
        if rng.random() < across:
            used.append(int(rng.integers(len(known))))
        if hub and rng.random() < 0.5:
            used.insert(0, 0)
        functionalities[f"job {number}"] = [[name(table), "W" if rng.random() < 0.4 else "R"] for table in used]
    keys = []
    if foreign_keys:
        roots = np.arange(services) * tables_each
        keys = [
            {"from": name(table), "to": name(roots[known[table]]), "on_delete": "CASCADE"}
            for table in range(len(known))
            if table not in roots
        ]
        keys += [{"from": name(root), "to": name(roots[(at + 1) % services])} for at, root in enumerate(roots)]
    rest = {"foreign_keys": keys} if keys else {}
    facts = facts_of(functionalities, tables={name(table): {} for table in range(len(known))}, **rest)
    return facts, known


def name(table):
    return f"t{table:04d}"
