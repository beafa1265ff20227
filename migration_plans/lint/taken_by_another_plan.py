"""A table, an endpoint or a name of a move that another service's plan has, too."""

import re
from collections.abc import Iterable, Iterator, Sequence

from migration_plans.lint import Rule
from migration_plans.plan import Plan
from migration_plans.table_names import plain


def _among(plan: Plan, others: Sequence[Plan]) -> Iterable[str]:
    return [place for other in others for place in _shared(plan, other)]


def _shared(plan: Plan, other: Plan) -> Iterator[str]:
    whose = f"also in the plan of {other.service}"
    if other.move == plan.move:
        yield f"move: {plan.move} ({whose})"
    taken = {plain(name) for name in other.tables}
    yield from (f"tables.{name} ({whose})" for name in plan.tables if plain(name) in taken)
    answered = {match for route in other.routes for match in _matches(route.path, route.methods)}
    for route in plan.routes:
        if answered & set(_matches(route.path, route.methods)):
            yield f"routes: {route.id} ({whose})"


def _matches(path: str, methods: Sequence[str]) -> Iterator[tuple[str, str]]:
    shape = re.sub(r"\{[^}]*\}", "{}", path.rstrip("/"))
    return ((method, shape) for method in methods)


RULE = Rule(
    id="taken-by-another-plan",
    refuses="a table, an endpoint or a name of a move that another service's plan has, too",
    why="a table has one owner, an endpoint one service that answers it, and two moves of one name would share their "
    "journal and their streams",
    instead="leave it to one of the two plans",
    among=_among,
)
