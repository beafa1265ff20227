"""A parallel run whose bound cannot be met by as few comparisons as it asks for."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    # The rule of three: with n comparisons and no difference, the 95 % upper bound is about 3 / n.
    needed = 3 / plan.shadow.max_upper_bound
    return [] if plan.shadow.min_compared >= needed * 0.9 else [f"shadow.min_compared: below {needed:.0f}"]


RULE = Rule(
    id="thin-evidence",
    refuses="a parallel run whose bound cannot be met by as few comparisons as it asks for",
    why="with n equal comparisons the 95 % upper bound is about 3 / n, so the gate waits for more anyway",
    instead="raise min_compared to 3 / max_upper_bound",
    find=_find,
)
