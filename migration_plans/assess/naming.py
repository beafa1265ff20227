"""Names for services: by the capability that their tables speak of, else by a word that they share, else by the central
table. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from migration_plans.assess.capabilities import capability_of
from migration_plans.assess.facts import FloatArray, IntArray, Offsets
from migration_plans.assess.service_map import ServiceMap

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
UNPLACED = "unplaced"
"""The service of the tables of which nothing is known."""
_COVERED_LEAST = 0.5
"""Share of a service's tables that a word has to be in, to name the service."""


def words(name: str) -> tuple[str, ...]:
    """`shop.OrderLine` → order, line; what is before the last dot is a schema."""
    found: list[str] = []
    for word in _WORD.findall(name.rpartition(".")[2]):
        if found and len(word) == 1 and word.isalpha():
            found[-1] += word.lower()
        else:
            found.append(word.lower())
    return tuple(found) or (name.lower(),)


def singular(word: str) -> str:
    """`categories` → category, as far as English has rules."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def name_services(
    tables: Sequence[str], of_table: IntArray, likeness: FloatArray, uses: Offsets, unplaced: Sequence[int] = ()
) -> ServiceMap:
    """`of_table`: any labels. Central is the table that is used most and likest to the others of its service.

    `likeness`: tables × tables; `uses`: per table; `unplaced`: tables of which nothing is known.

    Services are numbered by size, the largest first, then by name of their first table.
    """
    spoken = [words(table) for table in tables]
    everywhere = {word for word, count in Counter(w for s in spoken for w in set(s)).items() if count == len(tables)}
    telling = [tuple(word for word in table if word not in everywhere) for table in spoken]
    spoken = [some if any(map(str.isalpha, some)) else table for some, table in zip(telling, spoken, strict=True)]
    members: dict[int, list[int]] = defaultdict(list)
    for table, label in enumerate(of_table.tolist()):
        members[label].append(table)
    services = sorted(members.values(), key=lambda group: (set(group) <= set(unplaced), -len(group), group[0]))
    in_tables = Counter(word for table in spoken for word in set(table))
    names: list[str] = []
    numbers = np.zeros(len(tables), dtype=np.int32)
    for number, group in enumerate(services):
        numbers[group] = number
        if set(group) <= set(unplaced):
            names.append(_free(UNPLACED, names))
            continue
        known = capability_of(map(singular, spoken[table]) for table in group)
        if known is None or known in names:
            known = _shared([spoken[table] for table in group], in_tables)
        names.append(_free(known or _central(group, spoken, likeness, uses), names))
    return ServiceMap(names=tuple(names), of_table=numbers)


def _shared(group: Sequence[tuple[str, ...]], in_tables: Counter[str]) -> str | None:
    """A word that most of the service's tables have, and few others."""
    here = Counter(word for table in group for word in set(table))
    least = max(2, _COVERED_LEAST * len(group))
    covered = [word for word, count in here.items() if count >= least and not word.isdigit()]
    if not covered:
        return None
    return max(covered, key=lambda word: (here[word] ** 2 / (len(group) * in_tables[word]), here[word], word))


def _central(group: Sequence[int], spoken: Sequence[tuple[str, ...]], likeness: FloatArray, uses: Offsets) -> str:
    closeness = likeness[np.ix_(group, group)].sum(axis=1) * (1 + uses[group])
    return "_".join(spoken[group[int(closeness.argmax())]])


def _free(wanted: str, taken: Sequence[str]) -> str:
    number = 2
    name = wanted
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name
