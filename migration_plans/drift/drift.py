"""One difference between a plan and reality. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Area = Literal["legacy schema", "foreign keys", "dependents", "service schema", "running move", "routes", "traffic"]
Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """`added`: reality has it, the plan does not; `removed`: the other way round; `changed`: both have it, differently.

    `plan`: what the plan says, or its baseline; `reality`: what was found; `mend`: what to do, in one sentence.
    """

    area: Area
    kind: Kind
    object: str
    plan: str
    reality: str
    mend: str


def constraint_changes(
    area: Area, table: str, before: Mapping[str, str], now: Mapping[str, str], *, mend: str
) -> Iterator[Drift]:
    """Checks, unique constraints and unique indexes of a table, by name: what one side refuses, both have to."""
    for name in sorted({*before, *now}):
        then, is_now = before.get(name), now.get(name)
        if then != is_now:
            yield Drift(
                area=area,
                kind="added" if then is None else "removed" if is_now is None else "changed",
                object=f"constraint {name} of {table}",
                plan=then or "was written without it",
                reality=is_now or "does not exist",
                mend=mend,
            )
