"""Reasons and names that were left to be written."""

import re
from collections.abc import Iterable, Iterator

from migration_plans.lint import Rule
from migration_plans.plan import Plan

_LEFT = re.compile(r"\s*(?:$|\W+$|\W*(?:TODO|FIXME|TBD|XXX)\b|\W*(?i:todo|fixme|tbd)\s*(?::|$))")
"""Nothing, only signs (`…`, `???`), or a word that says so; `todo` begins sentences in other languages."""
_PLACEHOLDER = "TODO"


def _find(plan: Plan) -> Iterable[str]:
    places = [place for place, reason in _reasons(plan) if _LEFT.match(reason)]
    return [*places, *(place for place, name in _names(plan) if name == _PLACEHOLDER)]


def _reasons(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "why", plan.why
    for source, table in plan.tables.items():
        yield from ((f"tables.{source}.dropped.{column}", why) for column, why in table.dropped.items())
        for target, columns in table.added.items():
            yield from ((f"tables.{source}.added.{target}.{column}", why) for column, why in columns.items())
    yield from ((f"foreign_keys: {key.constraint}", key.because) for key in plan.foreign_keys)
    yield from ((f"waivers: {waiver.object}", waiver.because) for waiver in plan.waivers)


def _names(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "sticky", plan.sticky.header or plan.sticky.cookie or _PLACEHOLDER
    for route in plan.routes:
        yield f"routes: {route.id}", _PLACEHOLDER if _PLACEHOLDER in (route.id, route.path.strip("/")) else route.id


RULE = Rule(
    id="todo-left",
    refuses="reasons and names that were left to be written",
    why="somebody has to know the answer before the move begins, not in the night of the cutover",
    instead="find out, and write down the reason (or the name) in its place",
    find=_find,
)
