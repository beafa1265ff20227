"""What each functionality does to the tables that move and to those that stay, in the words of an assessment. Pure."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from migration_plans.assess.assessment import Assessment
from migration_plans.assess.join_treatments import TreatedRead, treat_joins, treat_queries
from migration_plans.assess.key_treatments import TreatedKey, treat_keys
from migration_plans.assess.sagas import Saga, find_sagas
from migration_plans.assess.service_map import ServiceMap
from migration_plans.authoring.names import routable_path
from migration_plans.authoring.todo import times

_ONLY_KEEPS = "KEY SHARE"
"""The lock that only keeps a row from going away, as foreign keys take it."""
MONOLITH = "the monolith"
_ENDPOINT = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """One functionality that uses a moved table. `reads`, `writes`: moved tables; `…_elsewhere`: tables that stay.

    `home`: the service that will serve it (docs/assess.md). `calls`: as the facts count them. `sagas`: of its
    transactions that write on both sides of this move. `guessed`: file and line, when code alone says what it does.
    """

    name: str
    calls: float
    home: str
    is_home: bool
    is_bulk: bool
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    reads_elsewhere: tuple[str, ...]
    writes_elsewhere: tuple[str, ...]
    locks: tuple[str, ...] = ()
    """Of the moved tables that it does not write, those whose rows it locks by a statement, to keep others waiting."""
    locks_elsewhere: tuple[str, ...] = ()
    sagas: tuple[Saga, ...] = ()
    guessed: str = ""

    @property
    def seen(self) -> str:
        """How often it was seen: `once`, `3 times`, or why nobody knows."""
        if self.guessed:
            return f"never seen: guessed from code, {self.guessed}"
        return times(self.calls)

    @property
    def endpoint(self) -> tuple[str, str] | None:
        """(method, path) as routes are written, when the name is an endpoint and its path can be a route's."""
        return endpoint_of(self.name)

    @property
    def kind(self) -> str:
        """`read` only when it changes nothing of ours, and its method says so."""
        safe = self.endpoint is None or self.endpoint[0] in _SAFE
        return "read" if safe and not self.writes else "write"

    @property
    def moves(self) -> bool:
        """It is answered by the service: an endpoint that is at home there, or writes nothing that stays.

        A page that reads half of all tables is not: it goes on reading the live copy until it is built anew.
        """
        if self.endpoint is None or (self.is_bulk and not self.writes):
            return False
        return self.is_home or (bool(self.writes) and not self.writes_elsewhere)

    @property
    def breaks(self) -> bool:
        """It cannot go on as it is after the cutover."""
        return self.writes_both or (bool(self.writes) and not self.moves) or bool(self.locks_in_vain)

    @property
    def locks_in_vain(self) -> tuple[str, ...]:
        """Tables of the other side that it locks: no lock reaches over two databases."""
        return self.locks_elsewhere if self.moves else self.locks

    @property
    def writes_both(self) -> bool:
        """One transaction today, two databases tomorrow."""
        return bool(self.writes and self.writes_elsewhere)


def endpoint_of(name: str) -> tuple[str, str] | None:
    """(method, path) of a functionality's name; None when it is no endpoint, or no route can match its path."""
    match = _ENDPOINT.fullmatch(name)
    path = routable_path(match[2]) if match else None
    return (match[1], path) if match and path else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossingRead:
    """A statement, view or functionality that reads both sides. `home`: the service that answers."""

    kind: str
    name: str
    moved: tuple[str, ...]
    staying: tuple[str, ...]
    home: str
    calls: float
    treatment: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """All that the facts say about one service's tables. Names of tables as the facts have them."""

    service: str
    tables: tuple[str, ...]
    footprints: tuple[Footprint, ...]
    reads: tuple[CrossingRead, ...]
    keys: tuple[tuple[str, str, TreatedKey], ...]
    """Crossing keys: from, to, treatment."""
    others: tuple[str, ...] = ()
    """Functionalities that use no moved table."""
    parent_writers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Table that stays, and that a moved one has a key to → the functionalities that delete from it, or may."""


def traffic_of(assessment: Assessment, service: str, guesses: Mapping[str, str] = MappingProxyType({})) -> Traffic:
    """Of one of the assessment's services. Functionalities in the order of their calls, most first.

    `guesses`: functionalities that code alone speaks of, with the place of their code.
    """
    facts, use, services = assessment.facts, assessment.usage, assessment.chosen.services
    number = services.names.index(service)
    moved = frozenset(services.tables(number))
    # All that stays is one database still, whatever it is cut into later.
    sides = ServiceMap(names=(service, MONOLITH), of_table=(services.of_table != number).astype(np.int32))
    found: dict[str, list[Saga]] = defaultdict(list)
    for saga in find_sagas(facts, sides):
        found[saga.functionality].append(saga)

    locked: dict[int, set[int]] = defaultdict(set)
    for lock in facts.locks:
        if lock.table is not None and lock.strength != _ONLY_KEEPS:
            locked[lock.functionality].add(lock.table)

    def names(tables: set[int] | frozenset[int]) -> tuple[str, ...]:
        return tuple(facts.tables[table] for table in sorted(tables))

    footprints = [
        Footprint(
            name=name,
            calls=float(facts.calls[one]),
            home=services.names[use.home[one]],
            is_home=use.home[one] == number,
            is_bulk=bool(use.is_bulk[one]),
            reads=names(use.tables_read[one] & moved),
            writes=names(use.tables_written[one] & moved),
            reads_elsewhere=names(use.tables_read[one] - moved),
            writes_elsewhere=names(use.tables_written[one] - moved),
            locks=names((locked[one] & moved) - use.tables_written[one]),
            locks_elsewhere=names(locked[one] - moved - use.tables_written[one]),
            sagas=tuple(found[name]),
            guessed=guesses.get(name, ""),
        )
        for one, name in enumerate(facts.functionalities)
        if (use.tables_read[one] | use.tables_written[one]) & moved
    ]
    keys = [treated for treated in treat_keys(use) if (treated.key.source in moved) != (treated.key.target in moved)]
    deletes: dict[tuple[int, int], bool] = {}
    for change in facts.changes:
        place = (change.functionality, change.table)
        deletes[place] = deletes.get(place, False) or change.kind == "delete"
    return Traffic(
        service=service,
        tables=names(moved),
        footprints=tuple(sorted(footprints, key=lambda footprint: (-footprint.calls, footprint.name))),
        reads=tuple(_crossing(assessment, read, moved) for read in _reads(assessment) if _crosses(read, moved)),
        keys=tuple((facts.tables[treated.key.source], facts.tables[treated.key.target], treated) for treated in keys),
        parent_writers={
            facts.tables[parent]: tuple(
                name
                for one, name in enumerate(facts.functionalities)
                if parent in use.tables_written[one] and deletes.get((one, parent), True)
            )
            for parent in sorted({treated.key.target for treated in keys} - moved)
        },
        others=tuple(
            name
            for one, name in enumerate(facts.functionalities)
            if not (use.tables_read[one] | use.tables_written[one]) & moved
        ),
    )


def _reads(assessment: Assessment) -> list[TreatedRead]:
    """Each once: the same read may have been seen as several statements."""
    reads: dict[tuple[str, str, tuple[int, ...]], TreatedRead] = {}
    for read in (*treat_joins(assessment.usage), *treat_queries(assessment.usage)):
        reads.setdefault((read.kind, read.name, read.tables), read)
    return sorted(reads.values(), key=lambda read: -read.calls)


def _crosses(read: TreatedRead, moved: frozenset[int]) -> bool:
    inside = moved & set(read.tables)
    return bool(inside) and len(inside) < len(read.tables)


def _crossing(assessment: Assessment, read: TreatedRead, moved: frozenset[int]) -> CrossingRead:
    tables = assessment.facts.tables
    return CrossingRead(
        kind=read.kind,
        name=read.name,
        moved=tuple(tables[table] for table in read.tables if table in moved),
        staying=tuple(tables[table] for table in read.tables if table not in moved),
        home=assessment.chosen.services.names[read.home],
        calls=read.calls,
        treatment=read.treatment,
        reason=read.reason,
    )
