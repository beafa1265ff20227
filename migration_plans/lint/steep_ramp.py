"""A first share of reads that is not a canary."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    return ["ramp.reads_percent"] if plan.ramp.reads_percent[0] > 25 else []


RULE = Rule(
    id="steep-ramp",
    refuses="a first share of reads that is not a canary",
    why="a fault in the service would meet more than a quarter of the clients at once",
    instead="begin with 5 or less",
    find=_find,
)
