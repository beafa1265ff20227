"""What ties services together besides keys and joins, and cuts that look wrong in themselves. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from migration_plans.assess.complexity import split_runs
from migration_plans.assess.naming import singular, words
from migration_plans.assess.usage import Usage, is_reference

_EXAMPLES_MOST = 3
_CHATTY_SWITCHES_LEAST = 4
_PATH_MOST = 20
_CHATTY_FACTOR = 2
"""Times as many changes of service as visiting each once would need."""
_ROLE_WORDS = frozenset({"admin", "administrator", "backoffice", "buyer", "clerk", "employee", "guest", "manager"}) | {
    *("merchant", "moderator", "operator", "seller", "staff", "superuser", "supervisor", "vendor")
}
_ROLE_TABLES_SHARE = 1 / 3
"""Of a service's tables: when fewer carry the role's word, the role only uses them."""
_WHOLE_SHARE = 0.8
"""Of a table's columns: who writes so many of them inserts rows, which says nothing about whose columns they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedWriter:
    """A table that functionalities at home elsewhere write. `calls`, by service of home."""

    table: str
    owner: str
    calls: dict[str, float]
    examples: tuple[str, ...]
    """Functionalities that are not at home with the owner."""


def shared_writers(use: Usage) -> Iterator[SharedWriter]:
    """In order of the tables; bulk jobs do not count."""
    for table, writers in enumerate(use.writers):
        calls: dict[str, float] = defaultdict(float)
        foreign: list[str] = []
        for functionality in writers:
            calls[use.services.names[int(use.home[functionality])]] += float(use.facts.calls[functionality])
            if use.home[functionality] != use.service_of(table):
                foreign.append(use.facts.functionalities[functionality])
        if foreign:
            owner = use.services.names[use.service_of(table)]
            yield SharedWriter(
                table=use.facts.tables[table],
                owner=owner,
                calls=dict(sorted(calls.items())),
                examples=tuple(foreign[:_EXAMPLES_MOST]),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossingCode:
    """A view, trigger or routine of the database over tables of several services."""

    kind: str
    name: str
    tables: tuple[str, ...]
    services: tuple[str, ...]
    advice: str


_CODE_ADVICE = {
    "view": "becomes a read model, or a view over replicated tables",
    "trigger": "becomes an event of the table's service that the other follows",
    "routine": "is taken apart: each service keeps its part, the order of the parts becomes a saga",
}


def crossing_code(use: Usage) -> Iterator[CrossingCode]:
    """In the order of the facts."""
    for bond in use.facts.bonds:
        services = {use.services.names[use.service_of(table)] for table in bond.tables}
        if bond.kind != "statement" and len(services) > 1:
            yield CrossingCode(
                kind=bond.kind,
                name=bond.name,
                tables=tuple(use.facts.tables[table] for table in sorted(bond.tables)),
                services=tuple(sorted(services)),
                advice=_CODE_ADVICE[bond.kind],
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceTable:
    """Read from several services, hardly written: each may keep a copy."""

    table: str
    owner: str
    readers: tuple[str, ...]
    reads: float
    writes: float


def reference_tables(use: Usage) -> Iterator[ReferenceTable]:
    """In order of the tables."""
    for table, name in enumerate(use.facts.tables):
        if is_reference(use, table):
            yield ReferenceTable(
                table=name,
                owner=use.services.names[use.service_of(table)],
                readers=tuple(use.services.names[service] for service in np.flatnonzero(use.reads[table]).tolist()),
                reads=use.reads_of(table),
                writes=use.writes_of(table),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitProposal:
    """A table whose columns are changed by different services. `parts`: service → the columns that only it changes."""

    table: str
    owner: str
    parts: dict[str, tuple[str, ...]]
    shared: tuple[str, ...]
    """Changed by several of them."""


def split_proposals(use: Usage) -> Iterator[SplitProposal]:
    """Inserts are left out: whoever inserts writes every column."""
    changers: dict[int, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    kinds: dict[tuple[int, int], set[str]] = defaultdict(set)
    for change in use.facts.changes:
        kinds[change.functionality, change.table].add(change.kind)
    for seen in use.facts.columns:
        described = use.facts.described.get(use.facts.tables[seen.table])
        columns = set(described.columns) if described else set()
        changed = kinds.get((seen.functionality, seen.table), {"update"})
        whole = bool(columns) and len(columns & set(seen.written)) >= _WHOLE_SHARE * len(columns)
        inserts = whole or "update" not in changed
        if not use.is_bulk[seen.functionality] and not inserts and use.home[seen.functionality] >= 0:
            for column in seen.written:
                changers[seen.table][column].add(int(use.home[seen.functionality]))
    for table in sorted(changers):
        parts: dict[str, list[str]] = defaultdict(list)
        for column, services in sorted(changers[table].items()):
            if len(services) == 1:
                parts[use.services.names[next(iter(services))]].append(column)
        if len(parts) > 1:
            yield SplitProposal(
                table=use.facts.tables[table],
                owner=use.services.names[use.service_of(table)],
                parts={service: tuple(columns) for service, columns in sorted(parts.items())},
                shared=tuple(column for column, services in sorted(changers[table].items()) if len(services) > 1),
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleService:
    """A service that is named after who uses it, not after what it does."""

    service: str
    role: str
    reason: str
    foreign: tuple[str, ...]
    """Its tables that are not about the role."""


def role_services(use: Usage) -> Iterator[RoleService]:
    """A role is a user of capabilities, not one of them: its service changes whenever any of them does."""
    for number, name in enumerate(use.services.names):
        role = next((word for word in map(singular, words(name)) if word in _ROLE_WORDS), None)
        tables = [use.facts.tables[table] for table in use.services.tables(number)]
        if role is None:
            continue
        foreign = tuple(table for table in tables if role not in map(singular, words(table)))
        own = len(tables) - len(foreign)
        if own < _ROLE_TABLES_SHARE * len(tables):
            yield RoleService(
                service=name,
                role=role,
                reason=f"{own} of its {len(tables)} tables are about {role}: give each table to its capability, and "
                f"let {role} use them through their services",
                foreign=foreign,
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChattyFunctionality:
    """One that goes to and fro: `switches` from service to service, though it visits only so many `services`."""

    functionality: str
    calls: float
    services: tuple[str, ...]
    switches: int
    path: tuple[str, ...]
    """The services in the order in which it goes to them, the first ones of very many."""


def chatty_functionalities(use: Usage) -> Iterator[ChattyFunctionality]:
    """In the order of the facts; bulk jobs do not count."""
    runs = split_runs(use.facts, use.services.of_table)
    count = len(use.services.names)
    number_of_runs = np.bincount(runs.functionality, minlength=len(use.facts.functionalities))
    visits = np.unique(runs.functionality * count + runs.service)
    visited = np.bincount(visits // count, minlength=len(use.facts.functionalities))
    switches = number_of_runs - 1
    is_chatty = (switches >= _CHATTY_SWITCHES_LEAST) & (switches >= _CHATTY_FACTOR * (visited - 1))
    for functionality in np.flatnonzero(is_chatty & (visited > 1) & (use.is_bulk == 0)).tolist():
        first = int(np.searchsorted(runs.functionality, functionality))
        path = runs.service[first : first + min(int(switches[functionality]) + 1, _PATH_MOST)]
        begin, end = np.searchsorted(visits, [functionality * count, (functionality + 1) * count])
        yield ChattyFunctionality(
            functionality=use.facts.functionalities[functionality],
            calls=float(use.facts.calls[functionality]),
            services=tuple(use.services.names[visit % count] for visit in visits[begin:end].tolist()),
            switches=int(switches[functionality]),
            path=tuple(use.services.names[service] for service in path.tolist()),
        )
