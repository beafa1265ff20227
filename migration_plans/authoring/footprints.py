"""What each functionality does to the tables that move and to those that stay, in the words of an assessment. Pure."""

import re
from collections import defaultdict
from dataclasses import dataclass

from migration_plans.assess.assessment import Assessment
from migration_plans.assess.join_treatments import TreatedRead, treat_joins, treat_queries
from migration_plans.assess.key_treatments import TreatedKey, treat_keys
from migration_plans.assess.sagas import Saga

_ENDPOINT = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """One functionality that uses a moved table. `reads`, `writes`: moved tables; `…_elsewhere`: tables that stay.

    `home`: the service that will serve it (docs/assess.md). `calls`: as the facts count them.
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
    sagas: tuple[Saga, ...] = ()

    @property
    def endpoint(self) -> tuple[str, str] | None:
        """(method, path), when the name is one."""
        match = _ENDPOINT.fullmatch(self.name)
        return (match[1], match[2]) if match else None

    @property
    def kind(self) -> str:
        """`read` only when it changes nothing of ours, and its method says so."""
        safe = self.endpoint is None or self.endpoint[0] in _SAFE
        return "read" if safe and not self.writes else "write"

    @property
    def moves(self) -> bool:
        """It is answered by the service: an endpoint that is at home there, or writes nothing that stays."""
        if self.endpoint is None or self.is_bulk:
            return False
        return self.is_home or (bool(self.writes) and not self.writes_elsewhere)

    @property
    def writes_both(self) -> bool:
        """One transaction today, two databases tomorrow."""
        return bool(self.writes and self.writes_elsewhere)


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


def traffic_of(assessment: Assessment, service: str) -> Traffic:
    """Of one of the assessment's services. Functionalities in the order of their calls, most first."""
    facts, use, services = assessment.facts, assessment.usage, assessment.chosen.services
    number = services.names.index(service)
    moved = frozenset(services.tables(number))
    found: dict[str, list[Saga]] = defaultdict(list)
    for saga in assessment.sagas():
        if any(step.service == service for step in saga.steps):
            found[saga.functionality].append(saga)

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
            sagas=tuple(found[name]),
        )
        for one, name in enumerate(facts.functionalities)
        if (use.tables_read[one] | use.tables_written[one]) & moved
    ]
    return Traffic(
        service=service,
        tables=names(moved),
        footprints=tuple(sorted(footprints, key=lambda footprint: (-footprint.calls, footprint.name))),
        reads=tuple(_crossing(assessment, read, moved) for read in _reads(assessment) if _crosses(read, moved)),
        keys=tuple(
            (facts.tables[treated.key.source], facts.tables[treated.key.target], treated)
            for treated in treat_keys(use)
            if (treated.key.source in moved) != (treated.key.target in moved)
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
