"""A lookup without entries."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    return [
        f"tables.{source}.targets.{target}.{column}"
        for source, table in plan.tables.items()
        for target, columns in table.targets.items()
        for column, rule in columns.items()
        if rule.lookup == {}
    ]


RULE = Rule(
    id="empty-lookup",
    refuses="a lookup without entries",
    why="a value that is not in the lookup is refused, so every row would be parked",
    instead="give each source label its target label, or leave `lookup` out to carry the value over",
    find=_find,
)
