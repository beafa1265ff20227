"""How alike a proposed cut is to the apps that the authors of Oscar and Django made."""

from collections.abc import Iterable, Mapping

import numpy as np

from migration_plans.assess.agreement import Agreement, agreement


def likeness(services: Mapping[str, Iterable[str]], apps: Mapping[str, str]) -> Agreement:
    """Over the tables that are in both. The toolkit's own figures: pairwise F1, adjusted Rand, MoJoFM."""
    service_of = {table: service for service, tables in services.items() for table in tables}
    tables = sorted(service_of.keys() & apps.keys())
    labels = [[of[table] for table in tables] for of in (service_of, apps)]
    found, known = (np.unique(names, return_inverse=True)[1].astype(np.int32) for names in labels)
    return agreement(found, known)


def told(found: Agreement) -> str:
    """In a line."""
    return f"F1 {found.f1:.2f}, adjusted Rand {found.ari:.2f}, MoJoFM {found.mojofm:.0f}"
