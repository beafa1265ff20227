"""A hold budget that clients would time out in."""

from collections.abc import Iterable

from migration_plans.lint import Rule
from migration_plans.plan import Plan

_COMMON_CLIENT_TIMEOUT_S = 10.0


def _find(plan: Plan) -> Iterable[str]:
    cutover = plan.cutover
    worst_s = cutover.drain_timeout_s + cutover.lock_timeout_s + cutover.catch_up_timeout_s
    places = []
    if cutover.hold_budget_s > _COMMON_CLIENT_TIMEOUT_S:
        places.append(f"cutover.hold_budget_s: {cutover.hold_budget_s:g}")
    if worst_s > 3 * _COMMON_CLIENT_TIMEOUT_S:
        places.append(f"cutover: the bounds add up to {worst_s:g} s")
    return places


RULE = Rule(
    id="hold-beyond-clients",
    refuses="a hold budget that clients would time out in",
    why="clients give up after some 10 to 30 s, and a write that they gave up on may still happen",
    instead="keep hold_budget_s below 10 and the bounds of drain, lock and catch-up below 30 in sum",
    find=_find,
)
