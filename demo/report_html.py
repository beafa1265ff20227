"""`report.html`: one file that shows a run to a person, readable anywhere, without a network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from demo.report import DemoReport, Transfer
from demo.report_charts import lag_svg, latency_svg, timeline_svg

_TEMPLATES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One figure at the top. `good` None: neither good nor bad."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """One step's share of one transfer. `percent`: of its longest step, for the bar."""

    name: str
    milliseconds: float
    percent: float


def render_html(report: DemoReport) -> str:
    """The whole page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["ms"] = show_milliseconds
    # Our own drawing, its texts escaped by the drawing library: the only markup that is not escaped here.
    series, transfers, end_s = report.timeseries, report.cutovers, report.seconds
    charts = {
        "timeline": Markup(timeline_svg(report.phases, transfers, end_s)),
        "lag": Markup(lag_svg(series.lag, transfers, end_s) if series.lag else ""),
        "latency": Markup(latency_svg(series.latency, transfers, end_s) if series.latency else ""),
    }
    return environment.get_template("report_template.html").render(
        report=report,
        tiles=tiles(report),
        promises=[(_sentence(name), held) for name, held in report.promises.items()],
        transfers=[(transfer, step_rows(transfer)) for transfer in report.cutovers],
        charts=charts,
    )


def tiles(report: DemoReport) -> Sequence[Tile]:
    """The figures that a reader looks for first."""
    writes, requests = report.writes, report.requests
    spoilt = writes.lost + writes.duplicated + writes.diverged
    return (
        Tile(
            label="requests failed",
            value=f"{requests.failed:,}",
            note=f"of {requests.total:,}",
            good=requests.failed == 0,
        ),
        Tile(
            label="writes lost, doubled or diverged",
            value=f"{spoilt:,}",
            note=f"of {writes.acknowledged:,} acknowledged",
            good=spoilt == 0,
        ),
        Tile(label="request time p99", value=show_milliseconds(requests.p99_ms), note=_p50(requests.p50_ms)),
        Tile(label="held at a cutover, p99", value=_hold(report), note=f"{_held(report):,} writes waited"),
        Tile(
            label="stream lag p99",
            value=show_milliseconds(report.stream.lag_p99_ms),
            note=_p50(report.stream.lag_p50_ms),
        ),
        Tile(
            label="rows copied",
            value=f"{report.copied.rows:,}",
            note=f"in {report.copied.seconds:.1f} s, under traffic",
        ),
        Tile(
            label="answers compared",
            value=f"{report.parallel_run.compared:,}",
            note=f"{report.parallel_run.confirmed:,} confirmed different; "
            f"at most {report.parallel_run.upper_bound:.2%} differ",
        ),
        Tile(label="changes streamed", value=f"{report.stream.events:,}", note="both directions"),
    )


def step_rows(transfer: Transfer) -> Sequence[StepRow]:
    """Each step with its bar."""
    longest = max((step.seconds for step in transfer.steps), default=0.0)
    return tuple(
        StepRow(
            name=step.name.replace("_", " "),
            milliseconds=step.seconds * 1000,
            percent=round(100 * step.seconds / longest, 1) if longest else 0.0,
        )
        for step in transfer.steps
    )


def show_milliseconds(value: float) -> str:
    """`0.42 ms`, `7.1 ms`, `120 ms`, `1.25 s`."""
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    if value >= 100:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def _hold(report: DemoReport) -> str:
    return show_milliseconds(max(report.cutover.hold_p99_ms, report.rollback.hold_p99_ms))


def _held(report: DemoReport) -> int:
    return report.cutover.held_requests + report.rollback.held_requests


def _p50(value: float) -> str:
    return f"p50 {show_milliseconds(value)}"


def _sentence(name: str) -> str:
    words: Iterable[str] = name.replace("_", " ").split()
    text = " ".join(words)
    return f"{text[:1].upper()}{text[1:]}."
