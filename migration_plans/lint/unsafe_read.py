"""A route declared `read` whose method is allowed to change state."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan

_SAFE = {"GET", "HEAD"}


def _find(plan: Plan) -> Iterable[str]:
    waived = {waiver.object for waiver in plan.waivers}
    return [
        f"routes: {route.id}"
        for route in plan.routes
        if route.kind == "read" and not set(route.methods) <= _SAFE and route.id not in waived
    ]


RULE = Rule(
    id="unsafe-read",
    refuses="a route declared `read` whose method is allowed to change state",
    why="reads are sampled and sent to both sides: a request that changes state would change it twice",
    instead="declare it `kind: write`, or split the safe methods into a route of their own; if it only reads, as a "
    "POST /search does, name it under `waivers` by its id with the reason",
    find=_find,
)
