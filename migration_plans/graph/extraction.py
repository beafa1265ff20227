"""One extraction: endpoints, the tables that move and what becomes of them, keys cut, who is left behind. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from migration_plans.drift.endpoints import PlannedRoutes
from migration_plans.drift.picture import SchemaPicture, TablePicture
from migration_plans.drift.traffic import Seen
from migration_plans.graph.drawing import Drawing, Group, Line, Node
from migration_plans.plan import Plan, TablePlan
from migration_plans.table_names import plain


def extraction(plan: Plan, schema: SchemaPicture | None, seen: Mapping[str, Seen]) -> Drawing:
    """`schema`: the monolith's part; without it the ends of foreign keys and the keys of tables are not known.
    `seen`: recorded functionalities; without them nothing says which endpoint uses which table."""
    moved = {plain(name): table for name, table in plan.tables.items()}
    pictures = schema.tables if schema else {}
    tables = tuple(_moved(name, table, pictures.get(name)) for name, table in moved.items())
    staying = _staying(plan, schema, frozenset(moved))
    groups = (
        Group(title=f"endpoints of {plan.move}", nodes=(*_route_nodes(plan), *_writers(plan, frozenset(moved), seen))),
        Group(title="before: the monolith's database", nodes=(*tables, *staying)),
        Group(title=f"after: the database of {plan.service}", nodes=tuple(_targets(moved, pictures))),
    )
    keys = (*_keys(plan, schema), *_inner_keys(schema, frozenset(moved)))
    lines = (*_moves(moved), *keys, *_uses(plan, schema), *_calls(plan, frozenset(moved), seen))
    return Drawing(
        title=f"{plan.move}: {plan.why}", groups=tuple(group for group in groups if group.nodes), lines=lines
    )


def _route_nodes(plan: Plan) -> Iterator[Node]:
    for route in plan.routes:
        said = (f"{' '.join(route.methods)} {route.path}", route.id)
        yield Node(id=f"route {route.id}", kind=route.kind, lines=said)


def _writers(plan: Plan, moved: frozenset[str], seen: Mapping[str, Seen]) -> Iterator[Node]:
    waived = {waiver.object: waiver.because for waiver in plan.waivers}
    for name in _left_behind(plan, moved, seen):
        said = waived.get(name, "writes moved tables, and is not in the plan")
        yield Node(id=f"writer {name}", kind="dependent", lines=(name, said))


def _moved(name: str, table: TablePlan, picture: TablePicture | None) -> Node:
    about = [f"key {', '.join(picture.key) or 'none'}"] if picture else []
    about += [f"{len(table.dropped)} dropped: {', '.join(table.dropped)}"] if table.dropped else []
    return Node(id=f"table {name}", kind="moved", lines=(name, *about))


def _targets(moved: Mapping[str, TablePlan], pictures: Mapping[str, TablePicture]) -> Iterator[Node]:
    keys: dict[str, list[str]] = {}
    for name, table in moved.items():
        source_key = pictures[name].key if name in pictures else ()
        for target, columns in table.targets.items():
            found = [column for key in source_key for column, rule in columns.items() if rule.source == key]
            keys.setdefault(plain(target), []).extend(found)
    for target, key in keys.items():
        said = (f"key {', '.join(dict.fromkeys(key))}",) if key else ()
        yield Node(id=f"target {target}", kind="target", lines=(target, *said))


def _moves(moved: Mapping[str, TablePlan]) -> Iterator[Line]:
    for name, table in moved.items():
        for target, columns in table.targets.items():
            changed = [column for column, rule in columns.items() if rule.lookup or rule.scale or rule.constant]
            said = f"{len(columns)} columns" + (f", {', '.join(changed)} changed" if changed else "")
            yield Line(start=f"table {name}", end=f"target {plain(target)}", kind="moves", label=said)


def _staying(plan: Plan, schema: SchemaPicture | None, moved: frozenset[str]) -> tuple[Node, ...]:
    """Tables at the other end of a cut key, and what in the database uses moved tables."""
    if schema is None:
        return tuple(
            Node(id=f"key {key.constraint}", kind="stays", lines=(key.constraint, f"{key.decision}: {key.because}"))
            for key in {key.constraint: key for key in plan.foreign_keys}.values()
        )
    ends = [end for key in schema.foreign_keys for end in (key.table, key.ref_table) if end not in moved]
    waived = {waiver.object: waiver.because for waiver in plan.waivers}
    return (
        *(Node(id=f"table {name}", kind="stays", lines=(name, "stays")) for name in dict.fromkeys(ends)),
        *(
            Node(
                id=f"{each.kind} {each.name}",
                kind="dependent",
                lines=(f"{each.kind} {each.name}", waived.get(each.name, "not in the plan")),
            )
            for each in schema.dependents
        ),
    )


def _keys(plan: Plan, schema: SchemaPicture | None) -> Iterator[Line]:
    decided = {key.constraint: key for key in plan.foreign_keys}
    for key in schema.foreign_keys if schema else ():
        decision = decided.get(key.name)
        yield Line(
            start=f"table {key.table}",
            end=f"table {key.ref_table}",
            kind="key",
            label=f"{decision.decision if decision else 'undecided'}: {key.name}",
            about=f"{key.described()}; {decision.because if decision else 'the plan does not say what becomes of it'}",
        )


def _inner_keys(schema: SchemaPicture | None, moved: frozenset[str]) -> Iterator[Line]:
    for key in schema.inner_keys if schema else ():
        if {key.table, key.ref_table} <= moved:
            ends = {"start": f"table {key.table}", "end": f"table {key.ref_table}"}
            yield Line(**ends, kind="inner", label=", ".join(key.columns), about=f"{key.name}: {key.described()}")


def _uses(plan: Plan, schema: SchemaPicture | None) -> Iterator[Line]:
    moved = {plain(name) for name in plan.tables}
    for each in schema.dependents if schema else ():
        for table in each.tables:
            if table in moved:
                yield Line(start=f"{each.kind} {each.name}", end=f"table {table}", kind="uses")


def _calls(plan: Plan, moved: frozenset[str], seen: Mapping[str, Seen]) -> Iterator[Line]:
    planned = _planned(plan, seen)
    for route in plan.routes:
        yield from _use(f"route {route.id}", [seen[name] for name in planned.get(route.id, ())], moved)
    for name in _left_behind(plan, moved, seen):
        yield from _use(f"writer {name}", [seen[name]], moved)


def _use(box: str, functionalities: Sequence[Seen], moved: frozenset[str]) -> Iterator[Line]:
    written = {table for each in functionalities for table in each.writes(moved)}
    read = {table for each in functionalities for table in each.reads & moved}
    yield from (Line(start=box, end=f"table {table}", kind="writes") for table in sorted(written))
    yield from (Line(start=box, end=f"table {table}", kind="reads") for table in sorted(read - written))


def _planned(plan: Plan, seen: Mapping[str, Seen]) -> dict[str, list[str]]:
    """Route id → functionalities whose requests match it."""
    routes = PlannedRoutes(plan)
    found: dict[str, list[str]] = {}
    for name in seen:
        if route := routes.route_of(name):
            found.setdefault(route.id, []).append(name)
    return found


def _left_behind(plan: Plan, moved: frozenset[str], seen: Mapping[str, Seen]) -> list[str]:
    """Functionalities that write moved tables and are no endpoint of the plan."""
    planned = {name for names in _planned(plan, seen).values() for name in names}
    return [name for name, functionality in seen.items() if name not in planned and functionality.writes(moved)]
