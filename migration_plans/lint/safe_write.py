"""A route declared `write` although its methods cannot change state."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    waived = {waiver.object for waiver in plan.waivers}
    return [
        f"routes: {route.id}"
        for route in plan.routes
        if route.kind == "write" and set(route.methods) <= {"GET", "HEAD"} and route.id not in waived
    ]


RULE = Rule(
    id="safe-write",
    refuses="a route declared `write` although its methods cannot change state",
    why="it would be held at the gate during every cutover, and never take part in the parallel run",
    instead="declare it `kind: read`; if this GET really writes, name it under `waivers` by its id with the reason",
    find=_find,
)
