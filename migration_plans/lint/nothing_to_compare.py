"""A move without a read: its parallel run never gets a sample."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    return [] if any(route.kind == "read" for route in plan.routes) else ["routes"]


RULE = Rule(
    id="nothing-to-compare",
    refuses="a move without a read: its parallel run never gets a sample",
    why="the parallel run samples reads: with none its gate waits for ever, and nothing shows that the service "
    "answers as the monolith does",
    instead="list the endpoints that read these tables with `kind: read`",
    find=_find,
)
