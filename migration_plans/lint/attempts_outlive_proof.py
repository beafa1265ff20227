"""More attempts at a cutover than the verification before them stays fresh for."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan


def _find(plan: Plan) -> Iterable[str]:
    cutover = plan.cutover
    last_begins_s = (cutover.attempts - 1) * (cutover.pause_s + cutover.hold_budget_s)
    if last_begins_s < cutover.verdict_max_age_s:
        return []
    return [f"cutover: attempt {cutover.attempts} begins after {last_begins_s:g} s"]


RULE = Rule(
    id="attempts-outlive-proof",
    refuses="more attempts at a cutover than the verification before them stays fresh for",
    why="all attempts rely on the verification before the first, and once it is older than verdict_max_age_s the "
    "next attempt is refused",
    instead="raise verdict_max_age_s, or lower attempts or pause_s",
    find=_find,
)
