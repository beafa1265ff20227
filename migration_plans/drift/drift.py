"""One difference between a plan and reality. Pure."""

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
