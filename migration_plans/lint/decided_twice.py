"""A foreign key or an object that the plan decides about twice."""

from collections import Counter
from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    decided = Counter(f"foreign_keys: {key.constraint}" for key in plan.foreign_keys)
    decided += Counter(f"waivers: {waiver.object}" for waiver in plan.waivers)
    return [place for place, times in decided.items() if times > 1]


RULE = Rule(
    id="decided-twice",
    refuses="a foreign key or an object that the plan decides about twice",
    why="when the two disagree, nobody can say which one was meant",
    instead="keep one entry",
    find=_find,
)
