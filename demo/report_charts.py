"""The report's charts as inline SVG: no script, no font, no address outside; colours follow the page's theme."""

import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from demo.report import LagSample, LatencyBucket, Phase, Transfer

_POINTS_MAX = 400
_FLOOR_MS = 0.1
_STAND_INS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "series-1": "#0a0101",
    "series-2": "#0a0202",
    "series-3": "#0a0303",
    "series-4": "#0a0404",
    "series-5": "#0a0505",
    "series-6": "#0a0606",
    "cutover": "#0b0101",
    "rollback": "#0b0202",
}
"""Colours that the drawing library writes down and we replace by the page's variables."""
_SERIES = [_STAND_INS[f"series-{number}"] for number in range(1, 7)]
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": _STAND_INS["grid"],
    "axes.labelcolor": _STAND_INS["muted"],
    "axes.axisbelow": True,
    "grid.color": _STAND_INS["grid"],
    "grid.linewidth": 0.8,
    "text.color": _STAND_INS["ink"],
    "xtick.color": _STAND_INS["muted"],
    "ytick.color": _STAND_INS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "path.simplify": True,
}


def timeline_svg(phases: Sequence[Phase], transfers: Sequence[Transfer], end_s: float) -> str:
    """A bar per phase, over time."""
    with rc_context(_STYLE):
        figure, axes = _figure(max(1.4, 0.6 + 0.3 * len(phases)), end_s)
        for row, phase in enumerate(phases):
            axes.barh(row, max(phase.seconds, 0.05), left=phase.started_at, height=0.62, color=_SERIES[0])
        for row, phase in enumerate(phases):
            text_at = phase.started_at + phase.seconds
            late = text_at > 0.86 * end_s
            axes.annotate(
                f"{phase.seconds:.1f} s",
                (phase.started_at if late else text_at, row),
                xytext=(-5 if late else 5, 0),
                textcoords="offset points",
                va="center",
                ha="right" if late else "left",
                color=_STAND_INS["muted"],
                fontsize=9,
            )
        axes.set_yticks(range(len(phases)), [_label(phase.name) for phase in phases])
        axes.tick_params(axis="y", labelcolor=_STAND_INS["ink"])
        axes.set_ylim(len(phases) - 0.4, -0.6)
        axes.grid(axis="x")
        _mark(axes, transfers, named=False)
        return _svg(figure, "timeline")


def lag_svg(samples: Sequence[LagSample], transfers: Sequence[Transfer], end_s: float) -> str:
    """Lag of each direction over time, logarithmic."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.at):
        series[sample.direction].append((sample.at, sample.lag_ms))
    labels = {"forward": "legacy → service", "reverse": "service → legacy"}
    with rc_context(_STYLE):
        figure, axes = _figure(2.5, end_s)
        for colour, (direction, points) in zip(_SERIES, sorted(series.items()), strict=False):
            times, values = _thinned(points)
            axes.plot(times, values, color=colour, linewidth=1.4, label=labels[direction])
        _finish(axes, transfers)
        return _svg(figure, "lag")


def latency_svg(buckets: Sequence[LatencyBucket], transfers: Sequence[Transfer], end_s: float) -> str:
    """p99 (solid) and p50 (faint) per kind of endpoint over time, logarithmic."""
    series: dict[str, list[LatencyBucket]] = defaultdict(list)
    for bucket in sorted(buckets, key=lambda bucket: bucket.at):
        if bucket.requests:
            series[bucket.kind].append(bucket)
    with rc_context(_STYLE):
        figure, axes = _figure(3.0, end_s)
        for number, (kind, line) in enumerate(sorted(series.items())):
            colour = _SERIES[number % len(_SERIES)]
            times, upper = _thinned([(bucket.at, bucket.p99_ms) for bucket in line])
            axes.plot(times, upper, color=colour, linewidth=1.4, label=_label(kind))
            times, middle = _thinned([(bucket.at, bucket.p50_ms) for bucket in line])
            axes.plot(times, middle, color=colour, linewidth=1.0, alpha=0.45)
        _finish(axes, transfers)
        return _svg(figure, "latency")


def _figure(height_in: float, end_s: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.set_xlim(0, max(end_s, 1.0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
    return figure, axes


def _finish(axes: Axes, transfers: Sequence[Transfer]) -> None:
    least, most = axes.dataLim.intervaly
    axes.set_yscale("log")
    axes.set_ylim(least / 1.5, most * 1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _milliseconds(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    if axes.lines:
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=3, fontsize=9, labelcolor=_STAND_INS["ink"])
    _mark(axes, transfers, named=True)


def _mark(axes: Axes, transfers: Iterable[Transfer], *, named: bool) -> None:
    for transfer in transfers:
        colour = _STAND_INS[transfer.kind]
        axes.axvspan(
            transfer.started_at, transfer.started_at + transfer.seconds, color=colour, alpha=0.25, linewidth=0, zorder=0
        )
        axes.axvline(transfer.started_at, color=colour, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        if named:
            axes.annotate(
                "cut over" if transfer.kind == "cutover" else "roll back",
                (transfer.started_at, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, 2),
                textcoords="offset points",
                color=colour,
                fontsize=9,
                annotation_clip=False,
            )


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """At most `_POINTS_MAX` points: of each stretch its highest, so that no peak is lost."""
    stride = -(-len(points) // _POINTS_MAX) or 1
    kept = [max(points[at : at + stride], key=lambda point: point[1]) for at in range(0, len(points), stride)]
    return [time for time, _ in kept], [max(value, _FLOOR_MS) for _, value in kept]


def _milliseconds(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def _svg(figure: Figure, name: str) -> str:
    """The bare `<svg>` element: ids of its own, no metadata, theme variables for colours."""
    target = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'<svg width="[^"]*" height="[^"]*"', f'<svg role="img" aria-label="{name}"', _one_line_tag(text))
    text = re.sub(r"font(-family)?: ([^;\"]*?)'[^;\"]*", r"font\1: \2system-ui, sans-serif", text)
    for variable, colour in _STAND_INS.items():
        text = text.replace(colour, f"var(--{variable})")
    return _own_ids(text, name)


def _own_ids(text: str, name: str) -> str:
    """Several charts share a page: keep only the ids that are referred to, and make them this chart's own."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda match: match.group() if match.group(1) in used else "", text)
    return re.sub(r'( id="|url\(#|href="#)', rf"\1{name}-", text)


def _label(text: str) -> str:
    words = text.replace("_", " ")
    return words if len(words) <= 28 else f"{words[:27]}…"


def _one_line_tag(text: str) -> str:
    head, rest = text.split(">", 1)
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', head))
    return (
        f'<svg width="{attributes["width"]}" height="{attributes["height"]}" viewBox="{attributes["viewBox"]}">{rest}'
    )
