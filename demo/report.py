"""What a demo run showed, as one validated value, and its two files.

All times are seconds since the start of the demo, all durations are in the unit that ends the name. There is no place
for a path or a host name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from strangler.durable_files import replace_file

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Label = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Requests(_Part):
    """Every request that a client made; `failed` counts those not answered as the API promises."""

    total: Count
    failed: Count
    p50_ms: Amount
    p99_ms: Amount


class Writes(_Part):
    """The independent check: writes that a client saw acknowledged, against both databases."""

    acknowledged: Count
    lost: Count
    duplicated: Count
    diverged: Count


class Copied(_Part):
    """The initial copy of the moving tables."""

    rows: Count
    seconds: Amount


class Stream(_Part):
    """Change events applied in both directions, and commit-to-commit lag."""

    events: Count
    lag_p50_ms: Amount
    lag_p99_ms: Amount


class ParallelRun(_Part):
    """Answers compared. `upper_bound`: the share of requests that may differ at most, at 95 % confidence."""

    compared: Count
    confirmed: Count
    noise: Count
    raced: Count
    upper_bound: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Holds(_Part):
    """Writes that waited at the gate while ownership moved."""

    held_requests: Count
    hold_p50_ms: Amount
    hold_p99_ms: Amount
    hold_max_ms: Amount

    @model_validator(mode="after")
    def _ordered(self) -> "Holds":
        if not self.hold_p50_ms <= self.hold_p99_ms <= self.hold_max_ms:
            raise ValueError("hold times must satisfy p50 <= p99 <= max")
        return self


class Phase(_Part):
    """A stretch of the demo."""

    name: Label
    started_at: Amount
    seconds: Amount


class LagSample(_Part):
    """How far one stream was behind its source at a moment."""

    at: Amount
    direction: Literal["forward", "reverse"]
    lag_ms: Amount


class LatencyBucket(_Part):
    """The requests of one kind that ended in the interval that starts at `at`."""

    at: Amount
    kind: Label
    requests: Count
    failed: Count = 0
    p50_ms: Amount
    p99_ms: Amount


class TimeSeries(_Part):
    """What the charts show."""

    lag: tuple[LagSample, ...] = ()
    latency: tuple[LatencyBucket, ...] = ()


class Step(_Part):
    """One step of a cutover."""

    name: Label
    seconds: Amount


class Transfer(_Part):
    """One change of ownership, forward (`cutover`) or back (`rollback`), step by step in order.

    `undone_attempts` that only the load defeated went before; the worst of them held for `undone_hold_ms` at most.
    """

    kind: Literal["cutover", "rollback"]
    started_at: Amount
    seconds: Amount
    steps: tuple[Step, ...]
    holds: Holds
    undone_attempts: Count = 0
    undone_hold_ms: Amount = 0.0


class Difference(_Part):
    """Answers of control and candidate that differed in one place, with one example, secrets masked."""

    endpoint: Label
    path: str
    difference: Label
    verdict: Literal["confirmed", "unconfirmed", "noise", "raced"]
    count: Count
    control: Annotated[str, Field(max_length=2000)] = ""
    candidate: Annotated[str, Field(max_length=2000)] = ""


class Environment(_Part):
    """Where it ran, as far as it matters for the numbers."""

    postgres_version: Label
    cores: Annotated[int, Field(ge=1)]
    writes_per_s: Amount
    reads_per_s: Amount
    seeds: Mapping[str, int]


class DemoReport(_Part):
    """One run of the demo. `cutover` and `rollback` sum up all transfers of their kind."""

    requests: Requests
    writes: Writes
    copied: Copied = Field(alias="copy")
    stream: Stream
    parallel_run: ParallelRun
    cutover: Holds
    rollback: Holds
    promises: Annotated[Mapping[Label, bool], Field(min_length=1)]
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    timeseries: TimeSeries
    cutovers: tuple[Transfer, ...]
    differences: tuple[Difference, ...]
    environment: Environment

    @computed_field  # type: ignore[prop-decorator]
    @property
    def verdict(self) -> Literal["kept", "broken"]:
        """`kept` only when every promise held."""
        return "kept" if all(self.promises.values()) else "broken"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seconds(self) -> float:
        """From the start of the demo to the end of its last phase or transfer."""
        parts: tuple[Phase | Transfer, ...] = (*self.phases, *self.cutovers)
        return max(part.started_at + part.seconds for part in parts)

    def as_json(self) -> str:
        """The text of `report.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def write_report(report: DemoReport, folder: Path) -> tuple[Path, Path]:
    """Write `report.json` and `report.html` into `folder`, each whole or not at all; returns both paths."""
    from demo.report_html import render_html

    json_path, html_path = folder / "report.json", folder / "report.html"
    replace_file(json_path, report.as_json())
    replace_file(html_path, render_html(report))
    return json_path, html_path
