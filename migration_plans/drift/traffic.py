"""Recorded traffic against the plan: who else writes the moved tables, which planned endpoints nobody calls. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from migration_plans.authoring.names import routable_path
from migration_plans.drift.drift import Drift, Kind
from migration_plans.drift.endpoints import PlannedRoutes, endpoint
from migration_plans.gather.paths import unified
from migration_plans.plan import Plan, RoutePlan
from migration_plans.table_names import plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One functionality of the facts. `reads`: tables; `transactions`: the tables that each one writes."""

    calls: float
    reads: frozenset[str]
    transactions: tuple[frozenset[str], ...]

    def writes(self, moved: Collection[str]) -> list[str]:
        """Moved tables that any of its transactions writes."""
        return sorted({table for written in self.transactions for table in written if table in moved})

    def writes_beside(self, moved: Collection[str]) -> list[str]:
        """Tables that stay and that are written in one transaction with a moved one."""
        both = [written for written in self.transactions if any(table in moved for table in written)]
        return sorted({table for written in both for table in written if table not in moved})


def traffic_drift(plan: Plan, seen: Mapping[str, Seen], known_on_both_sides: Collection[str]) -> Iterator[Drift]:
    """`seen`: by the functionality's name, `METHOD /path/{x}` for endpoints. Those that a waiver names are passed."""
    moved = frozenset(map(plain, plan.tables))
    waived = {waiver.object for waiver in plan.waivers}
    routes = PlannedRoutes(plan)
    for name, functionality in seen.items():
        if name in waived or not (written := functionality.writes(moved)):
            continue
        calls = f"writes {', '.join(written)} ({functionality.calls:g} calls)"
        yield from _unplanned(name, calls, routes.route_of(name))
        if name not in known_on_both_sides and (beside := functionality.writes_beside(moved)):
            yield _drift(
                "changed",
                f"transaction of {name}",
                "moved tables are written by themselves",
                f"writes {', '.join(written)} together with {', '.join(beside)}, which stay",
                "make it a saga (`strangler assess` proposes steps), or name it under `waivers` with the reason",
            )
    yield from _never_seen(plan, routes, seen)


def on_both_sides(tables: Iterable[str], seen: Mapping[str, Seen]) -> tuple[str, ...]:
    """Functionalities that write `tables` and others in one transaction, for the baseline."""
    moved = frozenset(map(plain, tables))
    return tuple(sorted(name for name, functionality in seen.items() if functionality.writes_beside(moved)))


def _unplanned(name: str, calls: str, route: RoutePlan | None) -> Iterator[Drift]:
    method, template = endpoint(name)
    if route is None:
        thing = f"{'endpoint' if template else 'job'} {name}"
        yield _drift("added", thing, "does not name it", calls, _way_in(method, template))
    elif route.kind == "read":
        mend = "declare it `kind: write`, or name the endpoint under `waivers`"
        yield _drift("changed", f"route {route.id}", "kind: read", calls, mend)


def _way_in(method: str, template: str) -> str:
    """How a writer comes into the plan. After the cutover the fence refuses its writes in the monolith."""
    path = routable_path(unified(template)) if template else None
    if path is not None:
        return f'add {{id: …, kind: write, methods: [{method}], path: "{path}"}} under `routes`'
    return "let it call the service, or name it under `waivers`: after the cutover the fence refuses its writes"


def _never_seen(plan: Plan, routes: PlannedRoutes, seen: Iterable[str]) -> Iterator[Drift]:
    endpoints = [name for name in seen if endpoint(name)[1]]
    called = {route.id for name in endpoints if (route := routes.route_of(name))}
    for route in plan.routes if endpoints else ():
        if route.id not in called:
            yield _drift(
                "removed",
                f"route {route.id}",
                f"{' '.join(route.methods)} {route.path}",
                "was not called while the facts were recorded",
                "correct its path, record for longer, or take it out of the plan",
            )


def _drift(kind: Kind, thing: str, plan: str, reality: str, mend: str) -> Drift:
    return Drift(area="traffic", kind=kind, object=thing, plan=plan, reality=reality, mend=mend)
