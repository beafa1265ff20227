"""Systems to assess in tests: two published ones, looked for beside the repository, and synthetic ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from migration_plans.assess.facts_file import read_facts

DATA = Path(os.environ.get("STRANGLER_DECOMPOSITION_DATA", "../shared/data/decomposition"))
"""Of the replication package of socialsoftware/mono2micro (MIT); see its README. Not shipped."""


def facts_of(functionalities, **rest):
    """`functionalities`: name → accesses of one transaction."""
    return read_facts(
        json.dumps(
            {"functionalities": {name: {"transactions": [used]} for name, used in functionalities.items()}, **rest}
        )
    )


def published(name):
    """Facts of `ldod` or `bw`, and the expert's service per table. Skips where the data is absent."""
    if not (DATA / f"{name}.json").exists():
        pytest.skip(f"no {DATA / name}.json: set STRANGLER_DECOMPOSITION_DATA to the folder of the published systems")
    facts = facts_of(json.loads((DATA / f"{name}.json").read_text()))
    clusters = json.loads((DATA / f"{name}Expert.json").read_text())["clusters"]
    service = {table: number for number, tables in enumerate(clusters.values()) for table in tables}
    return facts, np.array([service[table] for table in facts.tables])


def published_complexities(name):
    return sorted(float(line) for line in (DATA / f"{name}-E.dat").read_text().split()[1:])
