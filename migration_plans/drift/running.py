"""A move that runs, against its plan: who owns what, which tables were prepared, which routes were published. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from migration_plans.drift.drift import Area, Drift, Kind
from migration_plans.phases import Phase
from migration_plans.plan import Plan, StickyPlan
from migration_plans.ports import Side
from migration_plans.table_names import plain

_SERVICE_OWNS = (Phase.SERVICE_OWNED, Phase.COMPLETED)
_UNDECIDED = (Phase.CUTTING_OVER, Phase.ROLLING_BACK)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerSeen:
    """One database's ownership row, and the tables that have the move's fence there. `owner`: None without a row."""

    side: Side
    owner: Side | None
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRoute:
    """One endpoint as the router has it."""

    id: str
    kind: Literal["read", "write"]
    methods: tuple[str, ...]
    path: str

    @property
    def line(self) -> str:
        return f"{self.kind} {' '.join(self.methods)} {self.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedMove:
    """The move's part of the route table."""

    service: str
    sticky: StickyPlan
    routes: tuple[PublishedRoute, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowedColumn:
    """A source column that came while the stream ran, or got another name. `target`: what it fills; None: the stream
    leaves it behind. `was`: the name that the plan knows it by, when it is another."""

    table: str
    column: str
    target: str | None
    came: bool = True
    was: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoppedTable:
    """A source table whose change the stream does not follow. `changes`: one line each."""

    direction: str
    table: str
    changes: tuple[str, ...]
    mend: str


def owner_drift(plan: Plan, phase: Phase, owners: Iterable[OwnerSeen]) -> Iterator[Drift]:
    """Ownership rows that contradict the phase, and tables that are of the plan or of the prepared move only.

    Once the move is completed, its tables may leave the monolith.
    """
    expected: Side = "service" if phase in _SERVICE_OWNS else "legacy"
    for seen in owners:
        thing = f"ownership row in the {seen.side} database"
        if phase is Phase.PLANNED:
            if seen.owner is not None:
                mend = "use the state folder of the runner that prepared it, or `strangler run` to take it up"
                yield _move("added", thing, "nothing was prepared yet", f"{seen.owner} owns", mend)
            continue
        if seen.owner is None:
            mend = "restore the row from a backup; `strangler status` shows what is known"
            yield _move("removed", thing, f"phase {phase}: {expected} owns", "there is none", mend)
            continue
        if phase not in _UNDECIDED and seen.owner != expected:
            mend = "the rows in both databases say who owns: `strangler status`, then `strangler resume`"
            yield _move("changed", thing, f"phase {phase}: {expected} owns", f"{seen.owner} owns", mend)
        if (phase, seen.side) != (Phase.COMPLETED, "legacy"):
            yield from _fences(plan, phase, seen)


def _fences(plan: Plan, phase: Phase, seen: OwnerSeen) -> Iterator[Drift]:
    planned = {plain(name) for name in (plan.tables if seen.side == "legacy" else plan.target_tables)}
    again = "`strangler rollback` to planned, then `strangler run` prepares it"
    for table in sorted(planned - seen.tables):
        plan_says = f"moves, and phase is {phase}"
        yield _move("removed", f"table {table} ({seen.side})", plan_says, "was never prepared: it has no fence", again)
    for table in sorted(seen.tables - planned):
        mend = f"put the table back into the plan, or {again}"
        yield _move("added", f"table {table} ({seen.side})", "does not name it", "was prepared with the move", mend)


def route_drift(plan: Plan, phase: Phase, published: PublishedMove | None) -> Iterator[Drift]:
    """What the router has been told against what the plan says now."""
    if published is None:
        if phase is not Phase.PLANNED:
            mend = "restore the route table: without it all requests go to legacy"
            yield _route("removed", f"routes of {plan.move}", f"phase {phase}", "none are published", mend)
        return
    if phase is Phase.PLANNED:
        mend = "`strangler run` publishes them anew; nothing needs them before"
        yield _route("added", f"routes of {plan.move}", "nothing was prepared yet", "are published", mend)
        return
    if published.service != plan.service:
        yield _route("changed", "service", plan.service, published.service, _ANEW)
    if published.sticky != plan.sticky:
        yield _route("changed", "sticky key", _sticky(plan.sticky), _sticky(published.sticky), _ANEW)
    planned = {
        route.id: PublishedRoute(id=route.id, kind=route.kind, methods=route.methods, path=route.path)
        for route in plan.routes
    }
    found = {route.id: route for route in published.routes}
    for name, route in planned.items():
        other = found.get(name)
        if other is None:
            yield _route("removed", f"route {name}", route.line, "is not published: all of it goes to legacy", _ANEW)
        elif other != route:
            yield _route("changed", f"route {name}", route.line, other.line, _ANEW)
    for name, route in found.items():
        if name not in planned:
            yield _route("added", f"route {name}", "does not name it", f"{route.line} is published", _ANEW)


def stopped_drift(tables: Iterable[StoppedTable]) -> Iterator[Drift]:
    """Changes of a source table that the stream stands before."""
    for table in tables:
        reality = "; ".join(table.changes) or "the source stopped sending its changes"
        thing = f"stream {table.direction}, table {table.table}"
        yield _move("changed", thing, "is followed", f"stopped: {reality}", table.mend)


_ANEW = "put the plan back as it was, or `strangler rollback` to planned and `strangler run` again"


def _sticky(sticky: StickyPlan) -> str:
    return f"header {sticky.header}" if sticky.header else f"cookie {sticky.cookie}"


def _move(kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return _drift("running move", kind, thing, plan, reality, mend)


def _route(kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return _drift("routes", kind, thing, plan, reality, mend)


def _drift(area: Area, kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return Drift(area=area, kind=kind, object=thing, plan=plan, reality=reality, mend=mend)
