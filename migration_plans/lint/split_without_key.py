"""A second target table whose rows could not be found again."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Columns, Plan


def _find(plan: Plan) -> Iterable[str]:
    places = []
    for source, table in plan.tables.items():
        primary, *splits = table.targets.items()
        shared = _plain_sources(primary[1])
        places += [
            f"tables.{source}.targets.{name}" for name, columns in splits if not shared & _plain_sources(columns)
        ]
    return places


def _plain_sources(columns: Columns) -> set[str]:
    return {rule.source for rule in columns.values() if rule.source and not rule.lookup and not rule.scale}


RULE = Rule(
    id="split-without-key",
    refuses="a second target table whose rows could not be found again",
    why="a split has one row for each row of the source: without a column that both targets carry as it is, nobody "
    "can say which rows belong together, and the way back would not know either",
    instead="map the source's key column to a column of the second target, too",
    find=_find,
)
