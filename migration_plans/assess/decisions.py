"""What a person decided about boundaries: a cut of their own, and pins. Pure.

`services` is a cut: every table in one service. `pins` name tables that must share a service, whatever is proposed:
service → tables. Pinned tables of different services must not share one.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from migration_plans.assess.facts import Facts, linked
from migration_plans.assess.service_map import ServiceMap
from migration_plans.errors import BoundariesInvalid


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """Service → tables, both. An empty `services`: the proposal stands."""

    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, facts: Facts) -> None:
        """Raises `BoundariesInvalid` for what does not fit the facts or itself."""
        for what, groups in (("services", self.services), ("pins", self.pins)):
            _check_once(what, groups, facts)
        if self.services:
            placed = {table for tables in self.services.values() for table in tables}
            missing = [table for table in facts.tables if table not in placed]
            if missing:
                raise BoundariesInvalid(
                    thing="services",
                    reason=f"{_some(missing)} is in no service",
                    mend="put every table of the facts into one service",
                )
            owner = {table: service for service, tables in self.services.items() for table in tables}
            for service, tables in self.pins.items():
                for table in tables:
                    if owner[table] != service:
                        raise BoundariesInvalid(
                            thing=f"pins.{service}",
                            reason=f"{table!r} is pinned here, but lies in service {owner[table]!r}",
                            mend="take out the pin, or move the table",
                        )

            _check_hints(owner, facts)

    def service_map(self, facts: Facts) -> ServiceMap:
        """Of `services`, in the order of the file; services without tables are left out."""
        names = tuple(service for service, tables in self.services.items() if tables)
        of_table = np.zeros(len(facts.tables), dtype=np.int32)
        index = {table: number for number, table in enumerate(facts.tables)}
        for number, service in enumerate(names):
            of_table[[index[table] for table in self.services[service]]] = number
        return ServiceMap(names=names, of_table=of_table)

    def pinned(self, facts: Facts) -> Facts:
        """The facts with the pins as links. Raises `BoundariesInvalid` when a hint says the opposite."""
        index = {table: number for number, table in enumerate(facts.tables)}
        groups = [tuple(index[table] for table in tables) for tables in self.pins.values() if tables]
        must_link = (*facts.must_link, *groups)
        apart = tuple(group[0] for group in groups)
        cannot_link = (*facts.cannot_link, *([apart] if len(apart) > 1 else []))
        stands_for = linked(len(facts.tables), must_link)
        for forbidden in cannot_link:
            seen: dict[int, int] = {}
            for table in forbidden:
                other = seen.setdefault(stands_for[table], table)
                if other != table:
                    pair = f"{facts.tables[other]!r} and {facts.tables[table]!r}"
                    raise BoundariesInvalid(
                        thing="pins",
                        reason=f"{pair} would have to be together and apart",
                        mend="take out a pin, or the hint in the facts that says the opposite",
                    )
        return replace(facts, must_link=must_link, cannot_link=cannot_link)

    def named(self, facts: Facts, services: ServiceMap) -> ServiceMap:
        """Services that hold pinned tables get the names of the pins."""
        index = {table: number for number, table in enumerate(facts.tables)}
        wanted = {int(services.of_table[index[tables[0]]]): name for name, tables in self.pins.items() if tables}
        taken, names = set(wanted.values()), []
        for number, name in enumerate(services.names):
            free, suffix = wanted.get(number, name), 2
            while number not in wanted and free in taken:
                free, suffix = f"{name}_{suffix}", suffix + 1
            taken.add(free)
            names.append(free)
        return replace(services, names=tuple(names))


def as_decisions(facts: Facts, services: ServiceMap, pins: Mapping[str, tuple[str, ...]]) -> Decisions:
    """A cut written down."""
    return Decisions(
        services={
            name: tuple(facts.tables[table] for table in services.tables(number))
            for number, name in enumerate(services.names)
        },
        pins=pins,
    )


def moved(decisions: Decisions, table: str, service: str, *, new: bool = False) -> Decisions:
    """The cut with a table in another service, which must exist unless it is `new`; an emptied service goes away.

    Raises `BoundariesInvalid` for a table that is pinned elsewhere.
    """
    known(table, [name for tables in decisions.services.values() for name in tables], "table")
    if not new:
        known(service, decisions.services, "service", " (for a new one: --new)")
    for pinned_to, tables in decisions.pins.items():
        if table in tables and pinned_to != service:
            raise BoundariesInvalid(
                thing=table, reason=f"is pinned to {pinned_to!r}", mend=f"take it out of pins.{pinned_to} first"
            )
    services = {name: tuple(one for one in tables if one != table) for name, tables in decisions.services.items()}
    services[service] = tuple(sorted((*services.get(service, ()), table)))
    return replace(decisions, services={name: tables for name, tables in services.items() if tables})


def merged(decisions: Decisions, service: str, other: str) -> Decisions:
    """The cut with the other service's tables in the first; pins follow."""
    known(service, decisions.services, "service")
    known(other, decisions.services, "service")
    if service == other:
        raise BoundariesInvalid(thing=service, reason="cannot be merged with itself", mend="name two services")
    services, pins = dict(decisions.services), dict(decisions.pins)
    services[service] = tuple(sorted((*services[service], *services.pop(other))))
    if other in pins:
        pins[service] = tuple(sorted((*pins.get(service, ()), *pins.pop(other))))
    return Decisions(services=services, pins=pins)


def pinned(decisions: Decisions, table: str, service: str, anchor: str | None) -> Decisions:
    """With one more pin. `anchor`: a table of the service that the pin holds on to, when nothing is pinned there."""
    pins = {name: tuple(one for one in tables if one != table) for name, tables in decisions.pins.items()}
    here = pins.get(service, ())
    if not here and anchor is not None and anchor != table:
        here = (anchor,)
    pins[service] = tuple(sorted({*here, table}))
    return replace(decisions, pins={name: tables for name, tables in pins.items() if tables})


def known(name: str, names: Iterable[str], what: str, besides: str = "") -> None:
    """Raises `BoundariesInvalid` for a name that is not among these."""
    names = list(names)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {close[0]!r}?" if close else f"name one of {_some(names)}"
    raise BoundariesInvalid(thing=name, reason=f"is no {what}", mend=f"{mend}{besides}")


def _check_once(what: str, groups: Mapping[str, tuple[str, ...]], facts: Facts) -> None:
    tables = frozenset(facts.tables)
    seen: dict[str, str] = {}
    for service, named in groups.items():
        for table in named:
            if table not in tables:
                close = difflib.get_close_matches(table, facts.tables, n=1)
                raise BoundariesInvalid(
                    thing=f"{what}.{service}",
                    reason=f"table {table!r} is not in the facts",
                    mend=f"did you mean {close[0]!r}?" if close else "take it out, or gather the facts anew",
                )
            if table in seen:
                twice = "twice" if seen[table] == service else f"in {seen[table]!r} as well"
                raise BoundariesInvalid(
                    thing=f"{what}.{service}", reason=f"table {table!r} is named {twice}", mend="name it once"
                )
            seen[table] = service


def _check_hints(owner: Mapping[str, str], facts: Facts) -> None:
    """The facts' hints come from a person, too: which of the two holds, no program knows."""
    for group in facts.must_link:
        services = {owner[facts.tables[table]] for table in group}
        if len(services) > 1:
            raise BoundariesInvalid(
                thing="services",
                reason=f"{_some([facts.tables[table] for table in group])} must be linked, the facts' hints say",
                mend="put them into one service, or take the hint out of the facts",
            )
    for group in facts.cannot_link:
        seen: dict[str, str] = {}
        for table in (facts.tables[table] for table in group):
            other = seen.setdefault(owner[table], table)
            if other != table:
                raise BoundariesInvalid(
                    thing="services",
                    reason=f"{other!r} and {table!r} must not be linked, the facts' hints say",
                    mend="put them into different services, or take the hint out of the facts",
                )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
