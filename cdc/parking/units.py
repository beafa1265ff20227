"""Events of one transaction → units, the least that can be parked. Pure.

An event is a unit of its own, except where several source tables fill one target row: those that touch the same target
row in one transaction stay together, because only together they say in which order they belong.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from cdc.errors import SchemaChanged
from cdc.events import RowChange, TableName, TargetChange, Truncate
from cdc.lsn import Lsn
from cdc.mapping.errors import RowUnmappable
from cdc.mapping.model import MoveMapping
from cdc.mapping.port import Mapper
from cdc.parking.footprint import Unit, shadow_of_event

Event = RowChange | Truncate
Routed = tuple[int, Event, bool]
"""(index in its transaction, event, whether it may meet no row)"""


def woven_tables(mapper: Mapper) -> dict[TableName, frozenset[TableName]]:
    """Source tables that share a target table with others, and with which. Each with all where the mapper does not say
    what it maps."""
    mapping = getattr(mapper, "mapping", None)
    if not isinstance(mapping, MoveMapping):
        every = frozenset(mapper.source_tables)
        return {table: every - {table} for table in every if len(every) > 1}
    woven: dict[TableName, frozenset[TableName]] = {}
    for target in mapping.target_tables:
        feeders = frozenset(source.source for source, _ in mapping.feeders(target))
        for table in feeders if len(feeders) > 1 else ():
            woven[table] = woven.get(table, frozenset()) | feeders - {table}
    return woven


def as_lenient(change: TargetChange) -> TargetChange:
    """The change, expecting that its row may not be there."""
    return replace(change, missing="ignore") if change.kind in ("update", "delete") else change


def units_of(routed: Sequence[Routed], commit_lsn: Lsn, mapper: Mapper, woven: Collection[TableName]) -> list[Unit]:
    """Units in the order in which they may be applied. What cannot be mapped is a unit with its error."""
    if not woven:
        return [map_unit((event,), (commit_lsn, index), lenient, mapper) for index, event, lenient in routed]
    alone = [each for each in routed if not any(table in woven for table in _tables(each[1]))]
    shared = [each for each in routed if any(table in woven for table in _tables(each[1]))]
    groups = [[each] for each in alone] + (_connected(shared, mapper) if shared else [])
    # A group belongs where its last event stands: by then everything that it builds upon has gone by.
    groups.sort(key=lambda group: group[-1][0])
    return [_map_group(group, commit_lsn, mapper) for group in groups]


def _map_group(group: Sequence[Routed], commit_lsn: Lsn, mapper: Mapper) -> Unit:
    events = tuple(event for _, event, _ in group)
    return map_unit(events, (commit_lsn, group[0][0]), any(lenient for _, _, lenient in group), mapper)


def map_unit(events: tuple[Event, ...], order: tuple[int, int], lenient: bool, mapper: Mapper) -> Unit:
    """Map what stands or falls together."""
    try:
        changes = mapper.map_transaction(events)
    except (RowUnmappable, SchemaChanged) as error:
        return Unit(order=order, events=events, error=error, lenient=lenient)
    if lenient:
        changes = [as_lenient(change) for change in changes]
    return Unit(order=order, events=events, changes=changes, lenient=lenient)


def _tables(event: Event) -> frozenset[TableName]:
    if isinstance(event, RowChange):
        return frozenset((event.relation.table,))
    return frozenset(relation.table for relation in event.relations)


def _connected(shared: Sequence[Routed], mapper: Mapper) -> list[list[Routed]]:
    """Groups of events that touch the same target rows, directly or by way of others; each in order."""
    if any(isinstance(event, Truncate) for _, event, _ in shared):
        return [list(shared)]
    parent = list(range(len(shared)))
    first: dict[object, int] = {}
    for number, (_, event, _) in enumerate(shared):
        try:
            rows = [(change.table, frozenset(change.key.items())) for change in shadow_of_event(event, mapper)]
        except (RowUnmappable, SchemaChanged):
            return [list(shared)]
        for row in rows:
            parent[_root(parent, number)] = _root(parent, first.setdefault(row, number))
    groups: dict[int, list[Routed]] = {}
    for number, each in enumerate(shared):
        groups.setdefault(_root(parent, number), []).append(each)
    return list(groups.values())


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        parent[number] = parent[parent[number]]
        number = parent[number]
    return number
