"""The parallel run's summary as a terminal report. Pure: summary in, renderable out."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from router.noise import Classification
from router.parallel_values import DifferenceSummary, ParallelRunSummary

_STYLE = {"high": "bold red", "medium": "yellow", "low": "dim"}
_OTHER = ("candidate_failed", "legacy_failed", "both_error", "partial", "compare_error", "truncated")
_EXAMPLE_CHARS = 60


def render(summary: ParallelRunSummary, *, max_differences: int = 30) -> RenderableType:
    """Headline with the upper bound, then differences, endpoints, latency and what was not compared."""
    parts: list[RenderableType] = [_headline(summary)]
    if summary.differences:
        parts.append(_differences(summary.differences, max_differences))
    if summary.endpoints:
        parts.append(_endpoints(summary))
    parts += [Text(line, style=style) for line, style in _notes(summary)]
    return Group(*parts)


def _headline(summary: ParallelRunSummary) -> Text:
    if summary.compared == 0:
        return Text("Nothing compared yet.", style="yellow")
    share = f"differences below {summary.upper_bound:.3%} at {summary.confidence:.0%} confidence"
    counts = f"{summary.compared:,} compared: {summary.matched:,} matched, {summary.confirmed:,} confirmed differences"
    rest = f"{summary.noise:,} noise, {summary.raced:,} raced, {summary.unconfirmed:,} unconfirmed"
    style = "bold red" if summary.confirmed else "bold green"
    return Text(f"{counts}, {rest}; {share}", style=style)


def _differences(differences: tuple[DifferenceSummary, ...], limit: int) -> Table:
    table = Table(title="Differences", title_justify="left", expand=False)
    for name in ("severity", "endpoint", "path", "class", "held to be"):
        table.add_column(name)
    table.add_column("count", justify="right")
    for name in ("control", "candidate", "last seen"):
        table.add_column(name)
    for item in differences[:limit]:
        is_confirmed = item.classification is Classification.CONFIRMED
        table.add_row(
            item.severity,
            *(escape(text) for text in (item.endpoint, item.path, item.kind, item.classification.value)),
            f"{item.count:,}",
            escape(item.control[:_EXAMPLE_CHARS]) or "—",
            escape(item.candidate[:_EXAMPLE_CHARS]) or "—",
            item.last_seen.strftime("%Y-%m-%d %H:%M:%S"),
            style=_STYLE[item.severity] if is_confirmed else "dim",
        )
    if len(differences) > limit:
        table.caption = f"{len(differences) - limit} more"
    return table


def _endpoints(summary: ParallelRunSummary) -> Table:
    table = Table(title="Endpoints", title_justify="left", expand=False)
    table.add_column("endpoint")
    for name in ("compared", "matched", "confirmed", "noise", "raced", "candidate failed", "at most"):
        table.add_column(name, justify="right")
    for item in summary.endpoints:
        counts = [item.counts[name] for name in ("matched", "confirmed", "noise", "raced", "candidate_failed")]
        table.add_row(
            escape(item.endpoint), f"{item.compared:,}", *(f"{n:,}" for n in counts), f"{item.upper_bound:.3%}"
        )
    return table


def _notes(summary: ParallelRunSummary) -> list[tuple[str, str]]:
    notes = []
    others = [f"{getattr(summary, name):,} {name.replace('_', ' ')}" for name in _OTHER if getattr(summary, name)]
    if others:
        notes.append(("Also: " + ", ".join(others), "yellow"))
    for title, reasons in (("Dropped", summary.dropped), ("Refused", summary.refused)):
        if reasons:
            notes.append((f"{title}: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items()), "yellow"))
    latency = summary.latency
    if latency.control_p50_ms is not None:
        notes.append(
            (
                f"Latency p50/p95: control {latency.control_p50_ms}/{latency.control_p95_ms} ms, "
                f"candidate {latency.candidate_p50_ms}/{latency.candidate_p95_ms} ms; "
                f"same request, candidate/control: {latency.ratio_p50}/{latency.ratio_p95}",
                "",
            )
        )
    if summary.dead_masks:
        notes.append(("Masks that matched nothing: " + "; ".join(summary.dead_masks), "yellow"))
    return notes
