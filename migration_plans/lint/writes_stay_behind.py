"""Tables that move without a route that writes them."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    return [] if any(route.kind == "write" for route in plan.routes) else ["routes"]


RULE = Rule(
    id="writes-stay-behind",
    refuses="tables that move without a route that writes them",
    why="after the cutover the fence refuses writes in the legacy database, so an unmoved writing endpoint would fail",
    instead="list every endpoint that writes these tables with `kind: write`",
    find=_find,
)
