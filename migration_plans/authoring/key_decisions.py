"""What becomes of each foreign key that the move crosses. Pure.

A key that leads out (a moved table's row points to one that stays) has no place in the service's database: its
treatment is the assessment's. A key that leads in is still there, in the monolith, where the moved table goes on as a
live copy: it holds whenever the monolith writes the child. What it did when a parent was deleted it does no longer,
because neither checks nor ON DELETE actions fire for rows that the stream applies.

The key that leads out stays in the monolith, too, on the live copy, and there its ON DELETE action does fire when the
monolith deletes the parent. It writes the copy, and that is what the fence refuses, even when it finds no row: after
the cutover no parent could be deleted at all. Such a key has to be replaced before. The same is true of its ON UPDATE
action and of changes of a parent's key, which hardly any monolith makes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from migration_plans.assess.key_treatments import TreatedKey
from migration_plans.authoring.footprints import Traffic
from migration_plans.authoring.legacy_schema import ForeignKey
from migration_plans.plan import KeyDecision

_REST = r"(?=( ON DELETE RESTRICT)?( DEFERRABLE.*| NOT VALID| NOT ENFORCED)*$)"
_ON_DELETE = re.compile(rf" ON DELETE (CASCADE|SET NULL|SET DEFAULT)( \([^()]*\))?{_REST}")
_ON_UPDATE = re.compile(rf" ON UPDATE (CASCADE|SET NULL|SET DEFAULT){_REST}")
_BY_ACTION: dict[str, KeyDecision] = {
    "CASCADE": "async_delete",
    "SET NULL": "async_nullify",
    "SET DEFAULT": "async_nullify",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedKey:
    """`todo`: what a person writes for it; empty when nothing is needed."""

    key: ForeignKey
    direction: Literal["out", "in"]
    decision: KeyDecision
    because: str
    todo: str

    @property
    def stops_deletes(self) -> bool:
        """After the cutover the monolith cannot delete the parent, because the key would write the live copy."""
        return self.direction == "out" and self.key.on_delete in _BY_ACTION

    @property
    def stops_key_changes(self) -> bool:
        """After the cutover the monolith cannot change the parent's key, for the same reason."""
        return self.direction == "out" and self.key.on_update in _BY_ACTION

    @property
    def replacement(self) -> str:
        """The same key without its actions, for the legacy database: then a parent with children is refused."""
        definition = _ON_UPDATE.sub("", _ON_DELETE.sub("", self.key.definition))
        return (
            f"ALTER TABLE {self.key.table_sql} DROP CONSTRAINT {self.key.sql}, "
            f"ADD CONSTRAINT {self.key.sql} {definition}"
        )


def decide_keys(
    outward: Iterable[ForeignKey], inward: Iterable[ForeignKey], traffic: Traffic | None, facts_name: dict[str, str]
) -> Iterator[DecidedKey]:
    """`facts_name`: table as the plan names it → as the facts do, where the two differ."""
    treated = {} if traffic is None else {(child, key.key.columns): key for child, _, key in traffic.keys}
    for key in outward:
        decided = _outward(key, treated.get((facts_name.get(key.whole, key.whole), key.columns)), traffic)
        if decided.stops_deletes:
            stops = (
                f"TODO: after the cutover the monolith cannot delete any row of {key.ref_table}, until the key has no "
            )
            decided = replace(decided, because=f"{stops}ON DELETE {key.on_delete}; {decided.because}")
        yield decided
    for key in inward:
        yield _inward(key, treated.get((facts_name.get(key.whole, key.whole), key.columns)))


def _outward(key: ForeignKey, treated: TreatedKey | None, traffic: Traffic | None) -> DecidedKey:
    if treated is not None:
        filled = "; it is filled once, before the first read moves" if treated.lookup == "replica" else ""
        return DecidedKey(
            key=key, direction="out", decision=treated.treatment, because=treated.reason, todo=treated.todo + filled
        )
    column = f"{key.table}.{', '.join(key.columns)}"
    if decision := _BY_ACTION.get(key.on_delete):
        does = "delete its own" if decision == "async_delete" else f"empty {column}"
        return DecidedKey(
            key=key,
            direction="out",
            decision=decision,
            because=f"ON DELETE {key.on_delete} in the monolith",
            todo=f"the monolith publishes that a row of {key.ref_table} was deleted; the service then has to {does}",
        )
    unknown = "No traffic was given" if traffic is None else "The facts do not know this key"
    return DecidedKey(
        key=key,
        direction="out",
        decision="api_check",
        because=f"TODO: who writes {column}, and how often is {key.ref_table} read with it? {unknown}",
        todo=f"the service asks the monolith for {key.ref_table} before it writes {column}, or keeps a replica",
    )


def _inward(key: ForeignKey, treated: TreatedKey | None) -> DecidedKey:
    decision = _BY_ACTION.get(key.on_delete, "keep_on_copy")
    column = f"{key.table}.{', '.join(key.columns)}"
    late = (
        f"until the copy has a row of {key.ref_table} that the service has just made, the monolith refuses a row of "
        f"{key.table} that names it: does a client do both within a second?"
    )
    if decision == "keep_on_copy":
        reason = f"; afterwards {treated.treatment}: {treated.reason}" if treated is not None else ""
        return DecidedKey(
            key=key,
            direction="in",
            decision=decision,
            because=f"{key.ref_table} stays in the monolith as a live copy, where the key goes on to hold{reason}",
            todo=f"the key does not refuse any more to delete a row of {key.ref_table} that {key.table} names: the "
            f"service asks before it deletes, or marks as deleted; {late}",
        )
    does = f"deletes its {key.table}" if decision == "async_delete" else f"empties {column}"
    return DecidedKey(
        key=key,
        direction="in",
        decision=decision,
        because=f"ON DELETE {key.on_delete} does not fire when the stream deletes the copy's row",
        todo=f"the service publishes that a row of {key.ref_table} was deleted (extracted.chassis.outbox), and the "
        f"monolith {does}; {late}",
    )
