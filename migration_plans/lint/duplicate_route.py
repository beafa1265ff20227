"""Two routes that answer the same method and path."""

import re
from collections import defaultdict
from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    by_match: dict[tuple[str, str], list[str]] = defaultdict(list)
    for route in plan.routes:
        shape = re.sub(r"\{[^}]*\}", "{}", route.path)
        for method in route.methods:
            by_match[method, shape].append(route.id)
    return [f"routes: {', '.join(ids)} ({method} {path})" for (method, path), ids in by_match.items() if len(ids) > 1]


RULE = Rule(
    id="duplicate-route",
    refuses="two routes that answer the same method and path",
    why="only one of them can ever match, and which one is an accident",
    instead="keep one route for this method and path",
    find=_find,
)
