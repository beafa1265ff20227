"""The plan of one extraction as a frozen, validated value. Pure; `migration_plans.plan_file` reads it from YAML.

Shape: see `migration_plans/catalog.yaml`, which is the commented example. Percentages are 0–100 with two decimals of
use; durations are seconds.
"""

import itertools
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ColumnPlan(_Part):
    """Where a target column comes from. The short form `title: name` means `title: {from: name}`."""

    source: str | None = Field(default=None, alias="from")
    lookup: dict[str, str] | None = None
    """Source label → target label; must be one-to-one so that the way back exists."""
    scale: int | None = Field(default=None, ge=1)
    """Multiply an exact decimal by this power of ten (12.34 × 100 → 1234)."""
    constant: str | None = None

    @model_validator(mode="after")
    def _has_one_origin(self) -> "ColumnPlan":
        if (self.source is None) == (self.constant is None):
            raise ValueError("needs exactly one of `from` and `constant`")
        return self


def _column(value: Any) -> Any:
    return {"from": value} if isinstance(value, str) else value


Columns = dict[str, Annotated[ColumnPlan, BeforeValidator(_column)]]


class TablePlan(_Part):
    """A source table: the target tables its rows go to (the first is the primary), and the columns left behind."""

    targets: dict[str, Columns] = Field(min_length=1)
    dropped: dict[str, str] = {}
    """Source column → the reason why the service does not need it."""
    added: dict[str, dict[str, str]] = {}
    """Target table → its column that has no source → the reason why it may be lost on the way back."""


class RoutePlan(_Part):
    """An endpoint that moves with the tables."""

    id: str
    kind: Literal["read", "write"]
    methods: tuple[str, ...] = Field(min_length=1)
    path: str


class StickyPlan(_Part):
    """What keeps one client on one side while reads are ramped. Requests without it stay on legacy."""

    header: str | None = None
    cookie: str | None = None

    @model_validator(mode="after")
    def _has_one_key(self) -> "StickyPlan":
        if (self.header is None) == (self.cookie is None):
            raise ValueError("needs exactly one of `header` and `cookie`")
        return self


KeyDecision = Literal["keep_on_copy", "replica", "api_check", "async_delete", "async_nullify", "drop"]


class ForeignKeyPlan(_Part):
    """What becomes of a foreign key that the cut crosses. A decision is a person's word: see docs/plan-authoring.md."""

    constraint: str
    decision: KeyDecision
    because: str


class WaiverPlan(_Part):
    """A view, trigger or function of the monolith that still uses a moved table, and why that is fine."""

    object: str
    because: str


class ShadowPlan(_Part):
    """The parallel run of reads, and when it counts as passed."""

    sample_percent: float = Field(default=10, gt=0, le=100)
    min_compared: int = Field(default=300, ge=1)
    max_upper_bound: float = Field(default=0.02, gt=0, lt=1)
    """Largest tolerated 95 % upper bound of the share of confirmed differences."""
    max_confirmed: int = Field(default=0, ge=0)
    max_failed: float = Field(default=0.02, gt=0, lt=1)
    """Largest tolerated 95 % upper bound of the share of requests on which only the service failed."""


class RampPlan(_Part):
    """Shares of clients whose reads the service answers, step by step."""

    reads_percent: tuple[float, ...] = (5, 25, 100)
    hold_s: float = Field(default=60, ge=0)

    @model_validator(mode="after")
    def _rises_to_all(self) -> "RampPlan":
        steps = self.reads_percent
        if not steps or steps[-1] != 100 or any(b <= a for a, b in itertools.pairwise(steps)):
            raise ValueError("reads_percent must rise and end at 100")
        if steps[0] <= 0:
            raise ValueError("reads_percent must start above 0")
        return self


class CutoverPlan(_Part):
    """Bounds of the cutover and of the rollback, in seconds."""

    attempts: int = Field(default=3, ge=1, le=100)
    """How often to try, when an attempt was undone only because of the load at that moment."""
    pause_s: float = Field(default=5.0, ge=0, le=3600)
    """Between two attempts."""
    hold_budget_s: float = Field(default=2.0, gt=0, le=50)
    drain_timeout_s: float = Field(default=5.0, gt=0)
    lock_timeout_s: float = Field(default=1.0, gt=0)
    catch_up_timeout_s: float = Field(default=5.0, gt=0)
    max_lag_s: float = Field(default=5.0, gt=0)
    verdict_max_age_s: float = Field(default=600, gt=0)


class Plan(_Part):
    """One extraction: an endpoint and the tables behind it move as one unit."""

    move: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    service: str
    why: str
    tables: dict[str, TablePlan] = Field(min_length=1)
    routes: tuple[RoutePlan, ...] = Field(min_length=1)
    sticky: StickyPlan
    foreign_keys: tuple[ForeignKeyPlan, ...] = ()
    waivers: tuple[WaiverPlan, ...] = ()
    shadow: ShadowPlan = ShadowPlan()
    ramp: RampPlan = RampPlan()
    cutover: CutoverPlan = CutoverPlan()

    @property
    def target_tables(self) -> tuple[str, ...]:
        """All target tables, in the order of the file, each once."""
        return tuple(dict.fromkeys(target for table in self.tables.values() for target in table.targets))
