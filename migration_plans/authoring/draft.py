"""Everything that is decided about a new plan before a word of it is written. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from migration_plans.authoring.footprints import Footprint, Traffic, endpoint_of
from migration_plans.authoring.key_decisions import DecidedKey, decide_keys
from migration_plans.authoring.legacy_schema import LegacySchema
from migration_plans.authoring.names import covers, package_name, route_ids, service_key, shape
from migration_plans.authoring.statements import Ddl, service_ddl

_EVENT_TABLES = frozenset({"public.outbox", "public.inbox"})
"""Of the chassis; a moved table of that name is the monolith's own."""
UNKNOWN = "TODO"
"""What stands where only a person knows."""
_MAX_UPPER_BOUND = 0.02
_RULE_OF_THREE = 3
_AMBIENT_ROUTES_LEAST = 4
"""With fewer, what half of them read says nothing about all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A view, trigger or function of the monolith that uses moved tables."""

    kind: str
    name: str
    tables: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """One of the plan's `waivers`, and what it is about."""

    object: str
    kind: str
    tables: tuple[str, ...]
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One of the plan's `routes`; `footprint`: what the traffic says of it. A route matches with and without a slash at
    the end: `asked_path` has one when the clients' requests do, for the service has to answer these."""

    id: str
    kind: str
    method: str
    path: str
    asked_path: str
    footprint: Footprint


@dataclass(frozen=True, kw_only=True, slots=True)
class Sticky:
    """`kind`: `header` or `cookie`."""

    kind: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One plan in the making. `service`: as strangler.toml names it. `folder`: of the plan, as that file names it."""

    service: str
    move: str
    folder: str
    schema: LegacySchema
    ddl: Ddl
    traffic: Traffic | None
    routes: tuple[Route, ...]
    caught: tuple[tuple[str, Route], ...]
    """Endpoints that stay, and the route that would match their requests all the same."""
    ambient: tuple[str, ...]
    """Tables that stay and that at least half of the routes read: who asks, what is in the basket."""
    keys: tuple[DecidedKey, ...]
    waivers: tuple[Waiver, ...]
    sticky: Sticky
    min_compared: int
    max_upper_bound: float
    sample_percent: int

    @property
    def package(self) -> str:
        return package_name(self.service)

    @property
    def tells_events(self) -> bool:
        """Whether something here is done by events: a saga, or what becomes of a key when a parent changes."""
        by_events = {"replica", "async_delete", "async_nullify"}
        names = {table.sql for table in self.schema.tables}
        return names.isdisjoint(_EVENT_TABLES) and (
            any(key.decision in by_events for key in self.keys)
            or any(footprint.sagas for footprint in (self.traffic.footprints if self.traffic else ()))
        )

    @property
    def guessed(self) -> tuple[Route, ...]:
        """Routes that nobody was seen asking for."""
        return tuple(route for route in self.routes if route.footprint.guessed)

    @property
    def staying(self) -> tuple[Footprint, ...]:
        """What uses moved tables and is not answered by the service."""
        return tuple(f for f in (self.traffic.footprints if self.traffic else ()) if not f.moves)


def draft_plan(
    *,
    service: str,
    move: str,
    folder: str,
    schema: LegacySchema,
    users: Iterable[User],
    traffic: Traffic | None,
    facts_names: Sequence[str],
    sticky: Sticky,
) -> Draft:
    """`facts_names`: what the facts call the tables of `schema`, in its order.

    Raises `PlanNotAuthored` for a column that cannot be made elsewhere.
    """
    facts_name = {table.name: name for table, name in zip(schema.tables, facts_names, strict=True)}
    moving = [footprint for footprint in (traffic.footprints if traffic else ()) if footprint.moves]
    routes = tuple(_routes(moving))
    caught = tuple(_caught(routes, traffic)) if traffic else ()
    broken = {footprint.name: footprint for footprint in (traffic.footprints if traffic else ()) if footprint.breaks}
    keys = tuple(decide_keys(schema.outward_keys, schema.inward_keys, traffic, facts_name))
    reads = sum(route.footprint.calls for route in routes if route.kind == "read" and not route.footprint.guessed)
    min_compared = round(_RULE_OF_THREE / _MAX_UPPER_BOUND)
    return Draft(
        service=service_key(service),
        move=move,
        folder=folder,
        schema=schema,
        ddl=service_ddl(schema),
        traffic=traffic,
        routes=routes,
        caught=caught,
        ambient=_ambient(routes),
        keys=keys,
        waivers=(
            *(_waiver(user, schema) for user in users),
            *(_key_waiver(decided) for decided in keys if decided.stops_key_changes and not decided.stops_deletes),
            *map(_endpoint_waiver, broken.values()),
            *(_caught_waiver(name, route) for name, route in caught if name not in broken),
        ),
        sticky=sticky,
        min_compared=min_compared,
        max_upper_bound=_MAX_UPPER_BOUND,
        sample_percent=_sample_percent(reads, min_compared),
    )


def _sample_percent(reads: float, min_compared: int) -> int:
    """So that as much traffic as was recorded would yield ten times the comparisons that are needed; 10 to 50."""
    if not reads:
        return 50
    return min(50, max(10, round(100 * 10 * min_compared / reads)))


def _routes(moving: Sequence[Footprint]) -> Iterator[Route]:
    """Reads first; in each kind the more specific path before one with a parameter in its place.

    Two names of one endpoint (`/a/{id}`, `/a/{key}`) are one route, by the name that writes, or has more calls.
    """
    same: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {}
    endpoints: dict[tuple[str, str], Footprint] = {}
    for footprint in sorted(moving, key=lambda footprint: footprint.kind == "read"):
        if footprint.endpoint is not None:
            method, path = footprint.endpoint
            first = same.setdefault((method, shape(path)), footprint.endpoint)
            endpoints.setdefault(first, footprint)
    # A read of GET answers HEAD too.
    endpoints = {
        (method, path): footprint
        for (method, path), footprint in endpoints.items()
        if method != "HEAD" or not _is_read(endpoints.get(same.get(("GET", shape(path)), ("", ""))))
    }
    order = sorted(
        endpoints, key=lambda endpoint: (endpoints[endpoint].kind, endpoint[1].replace("{", "~"), endpoint[0])
    )
    for name, (method, path) in zip(route_ids(order), order, strict=True):
        footprint = endpoints[method, path]
        slash = "/" if footprint.name.endswith("/") and path != "/" else ""
        yield Route(
            id=name, kind=footprint.kind, method=method, path=path, asked_path=path + slash, footprint=footprint
        )


def _is_read(footprint: Footprint | None) -> bool:
    return footprint is not None and footprint.kind == "read"


def _caught(routes: Sequence[Route], traffic: Traffic) -> Iterator[tuple[str, Route]]:
    staying = [footprint.name for footprint in traffic.footprints if not footprint.moves]
    for name in (*staying, *traffic.others):
        if (endpoint := endpoint_of(name)) is None:
            continue
        method, asked = "GET" if endpoint[0] == "HEAD" else endpoint[0], shape(endpoint[1])
        matching = (route for route in routes if route.method == method and covers(shape(route.path), asked))
        if (route := next(matching, None)) is not None:
            yield name, route


def _ambient(routes: Sequence[Route]) -> tuple[str, ...]:
    if len(routes) < _AMBIENT_ROUTES_LEAST:
        return ()
    readers = Counter(table for route in routes for table in route.footprint.reads_elsewhere)
    return tuple(sorted(table for table, count in readers.items() if 2 * count >= len(routes)))


def _caught_waiver(name: str, route: Route) -> Waiver:
    because = (
        f"{UNKNOWN}: it stays, but the route {route.id} matches its requests: move it too, or give it another path"
    )
    return Waiver(object=name, kind="endpoint", tables=(), because=because)


def _waiver(user: User, schema: LegacySchema) -> Waiver:
    if user.kind in ("view", "materialized view"):
        because = "it reads the live copy"
        if user.name in schema.writable_views:
            because += " (nothing may be written through it)"
    elif user.kind == "function" and user.name in schema.reading_functions:
        because = "it cannot write (STABLE or IMMUTABLE): it reads the live copy"
    elif user.kind == "trigger":
        because = f"{UNKNOWN}: it does not fire on applied rows: who does its work once the service writes?"
    else:
        because = (
            f"{UNKNOWN}: if it writes {', '.join(user.tables)}, the fence refuses it after the cutover; if it only "
        )
        because += "reads, it reads the live copy"
    return Waiver(object=user.name, kind=user.kind, tables=user.tables, because=because)


def _key_waiver(decided: DecidedKey) -> Waiver:
    """Of a key that only a change of the parent's key sets off."""
    key = decided.key
    because = (
        f"{UNKNOWN}: ON UPDATE {key.on_update} writes {key.table} when a row of {key.ref_table} gets another "
        f"{', '.join(key.ref_columns)}, which the fence refuses after the cutover: is that never done, or is the "
        "action taken away first?"
    )
    return Waiver(object=key.name, kind="foreign key", tables=(key.table,), because=because)


def _endpoint_waiver(footprint: Footprint) -> Waiver:
    if not footprint.writes_both and (footprint.moves or not footprint.writes):
        because = f"it locks rows of {', '.join(footprint.locks_in_vain)} on the other side, which keeps nobody waiting"
    elif footprint.moves:
        because = f"it moves, but writes {', '.join(footprint.writes_elsewhere)} as well, which stay: by which saga?"
    else:
        because = f"it stays and writes {', '.join(footprint.writes)}: the fence refuses it after the cutover"
    return Waiver(
        object=footprint.name,
        kind="endpoint" if footprint.endpoint else "job or statement",
        tables=footprint.writes or footprint.locks_in_vain,
        because=f"{UNKNOWN}: {because}",
    )
