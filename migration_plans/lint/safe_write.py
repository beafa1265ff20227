"""A route declared `write` although its methods cannot change state."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    return [
        f"routes: {route.id}"
        for route in plan.routes
        if route.kind == "write" and set(route.methods) <= {"GET", "HEAD"}
    ]


RULE = Rule(
    id="safe-write",
    why="it would be held at the gate during every cutover, and never take part in the parallel run",
    instead="declare it `kind: read`, unless this GET really writes",
    find=_find,
)
