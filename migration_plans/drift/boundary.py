"""What crosses the cut in the monolith's database: foreign keys, views, triggers, functions. Pure.

What was there when the baseline was taken and the plan is silent about is no drift: `plan check` refuses it.
"""

from collections.abc import Collection, Iterator

from migration_plans.drift.drift import Drift
from migration_plans.drift.picture import SchemaPicture
from migration_plans.plan import Plan

_NAMES_CODE = frozenset(" /#:")
"""In the names of endpoints and jobs; hardly ever in those of a database's objects."""


def foreign_key_drift(plan: Plan, before: SchemaPicture | None, now: SchemaPicture) -> Iterator[Drift]:
    """Keys that began to cross, decided ones that are gone, and those that changed. One decided as `drop` may go."""
    decided = {key.constraint: key for key in plan.foreign_keys}
    known = {(key.table, key.name): key for key in before.foreign_keys} if before else {}
    for key in now.foreign_keys:
        thing = f"foreign key {key.name}"
        then = known.get((key.table, key.name))
        if then is not None and then != key:
            yield Drift(
                area="foreign keys",
                kind="changed",
                object=thing,
                plan=then.described(),
                reality=key.described(),
                mend="see whether its decision still holds, then `strangler plan accept`",
            )
        elif then is None and key.name not in decided:
            yield Drift(
                area="foreign keys",
                kind="added",
                object=thing,
                plan="does not say what becomes of it",
                reality=f"{key.described()} crosses the cut",
                mend=f"add {{constraint: {key.name}, decision: …, because: …}} under `foreign_keys`",
            )
    crossing = {key.name for key in now.foreign_keys}
    for name, decision in decided.items():
        if name not in crossing and decision.decision != "drop":
            yield Drift(
                area="foreign keys",
                kind="removed",
                object=f"foreign key {name}",
                plan=f"{decision.decision}: {decision.because}",
                reality="no foreign key of that name crosses the cut",
                mend="put the constraint back, or take the decision out of `foreign_keys`",
            )


def dependent_drift(
    plan: Plan, before: SchemaPicture | None, now: SchemaPicture, *, functionalities: Collection[str]
) -> Iterator[Drift]:
    """Views, triggers and functions that came, went, or do something else.

    A waiver may be of an endpoint or a job instead: those that the baseline does not know as objects of the database
    are passed; without a baseline, routes, `functionalities` of recorded traffic and what is spelt like them.
    """
    waived = {waiver.object: waiver.because for waiver in plan.waivers}
    known = {(each.kind, each.name): each for each in before.dependents} if before else {}
    for found in now.dependents:
        thing = f"{found.kind} {found.name}"
        then = known.get((found.kind, found.name))
        if then is None and found.name not in waived:
            yield Drift(
                area="dependents",
                kind="added",
                object=thing,
                plan="does not mention it",
                reality=f"uses {', '.join(found.tables)}",
                mend=f"add {{object: {found.name}, because: …}} under `waivers`, or remove it",
            )
        elif then is not None and (then.digest, then.tables) != (found.digest, found.tables):
            tables = "" if then.tables == found.tables else f", and uses {', '.join(found.tables)}"
            yield Drift(
                area="dependents",
                kind="changed",
                object=thing,
                plan=waived.get(found.name, f"uses {', '.join(then.tables)}"),
                reality=f"its definition is another one now{tables}",
                mend="see whether the waiver's reason still holds, then `strangler plan accept`",
            )
    # `plan check` takes a waiver of a key's name for its ON DELETE or ON UPDATE action.
    there = {each.name for each in now.dependents} | {key.name for key in now.foreign_keys}
    if before:
        gone = {each.name for each in before.dependents} - there
    else:
        code = {route.id for route in plan.routes} | set(functionalities)
        gone = {name for name in waived if name not in there | code and not _NAMES_CODE & set(name)}
    for name, because in waived.items():
        if name in gone:
            yield Drift(
                area="dependents",
                kind="removed",
                object=f"waiver {name}",
                plan=because,
                reality="nothing of that name uses a moved table",
                mend="take the waiver out of the plan, or correct its name",
            )
