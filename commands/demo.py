"""`strangler demo`: the main job on real parts, with an independent audit at the end."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click
import psycopg

from commands.output import print_rows, stderr, stdout
from demo.audit import AuditResult, audit
from demo.measure import ClientView, client_view, percentile
from demo.pace import FULL_PACE, Pace
from demo.report import (
    Copied,
    DemoReport,
    Difference,
    Environment,
    Holds,
    ParallelRun,
    Stream,
    TimeSeries,
    Transfer,
    Writes,
    write_report,
)
from demo.stack import Store, start_store
from demo.story import Story, parse_break
from demo.watch import Watch
from sandbox.supervision import Stack
from strangler.errors import PromiseBroken

_REPORT = Path(".strangler/demo")
_SEED = 7


@click.command()
@click.option(
    "--break", "break_at", metavar="STEP", help="Kill the runner at this cutover step (0-9 or its name), then resume."
)
@click.option(
    "--scale", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="1 is 110,000 rows or more."
)
@click.option(
    "--writes",
    "writes_per_s",
    type=click.FloatRange(1, 5000),
    help=f"Per second. [default: {FULL_PACE.writes_per_s:g}, or what leaves half of this machine free]",
)
@click.option(
    "--reads",
    "reads_per_s",
    type=click.FloatRange(1, 5000),
    help=f"Per second. [default: {FULL_PACE.reads_per_s:g}, or in proportion to the writes]",
)
@click.option("--seed", type=int, default=_SEED, show_default=True)
@click.option(
    "--log",
    type=click.Choice(["local", "kafka"]),
    default="local",
    show_default=True,
    help="What lies between capture and apply: files, or a Kafka broker that the demo starts.",
)
@click.option("--report", "report_folder", type=click.Path(path_type=Path), default=_REPORT, show_default=True)
def demo(
    break_at: str | None,
    scale: float,
    writes_per_s: float | None,
    reads_per_s: float | None,
    seed: int,
    log: Literal["local", "kafka"],
    report_folder: Path,
) -> None:
    """Watch catalog leave a running store under load, come back, and leave again. Needs nothing but this package.

    Exit code 0 only if every promise held. The report is report.json and report.html in the report folder.

    \b
    Example: strangler demo --break flip
    Example: strangler demo --log kafka
    """
    broken = None if break_at is None else parse_break(break_at)
    signal.signal(signal.SIGTERM, _interrupt)
    started, started_at = time.monotonic(), time.time()

    def say(text: str) -> None:
        stderr.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {text}")

    with Stack() as stack:
        store = start_store(stack, scale=scale, seed=seed, say=say, log=log)
        pace = _pace(writes_per_s, reads_per_s)
        story = Story(store=store, say=say, started=started, pace=pace, seed=seed, broken=broken)
        with Watch(
            legacy_database=store.legacy_database,
            service_database=store.service_database,
            move="catalog",
            started=started,
        ) as watch:
            story.tell()
        say("independent audit of every acknowledged write, without our own mapping")
        audited = audit(story.ledger, store.legacy_database, store.service_database)
        clients = client_view(_ledger_lines(story.ledger), started_at=started_at)
        gathered = _gather(story, watch)
        folder = stack.folder
    leftovers = folder.exists()
    report = _report(story, watch, clients, audited, gathered, leftovers=leftovers, seed=seed)
    json_path, html_path = write_report(report, report_folder)
    _print_summary(report, clients, audited)
    stderr.print(f"report: {json_path} and {html_path}")
    broken_promises = [name for name, held in report.promises.items() if not held]
    if broken_promises:
        raise PromiseBroken(thing="demo", reason=f"not held: {', '.join(broken_promises)}", mend=f"read {html_path}")


def _pace(writes_per_s: float | None, reads_per_s: float | None) -> Pace | None:
    """What was asked for; None when nothing was."""
    if writes_per_s is None and reads_per_s is None:
        return None
    return Pace(
        writes_per_s=FULL_PACE.writes_per_s if writes_per_s is None else writes_per_s,
        reads_per_s=FULL_PACE.reads_per_s if reads_per_s is None else reads_per_s,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ledger_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _gather(story: Story, watch: Watch) -> dict[str, Any]:
    """What only the running store knows."""
    status = story.read("status", "catalog")
    entries = [json.loads(line.split(" ", 1)[1]) for line in _journal(story.store)]
    copied = next(entry["data"] for entry in entries if entry["kind"] == "copy")
    with psycopg.connect(story.store.legacy_database) as connection:
        version = connection.execute("SHOW server_version").fetchone()
    return {
        "phase": status["phase"],
        "owner": status["ownership"]["owner"],
        "copy": copied,
        "version": version[0].split(" ")[0] if version else "unknown",
    }


def _journal(store: Store) -> list[str]:
    return (store.folder / ".strangler" / "moves" / "catalog" / "journal.jsonl").read_text().splitlines()


def _report(
    story: Story,
    watch: Watch,
    clients: ClientView,
    audited: AuditResult,
    gathered: dict[str, Any],
    *,
    leftovers: bool,
    seed: int,
) -> DemoReport:
    assert story.pace is not None
    pace = story.pace
    lags = [sample.lag_ms for sample in watch.lag]
    compared, confirmed, noise, raced = (
        sum(run[name] for run in story.parallel_runs) for name in ("compared", "confirmed", "noise", "raced")
    )
    unbroken_p99 = [max(each.holds.hold_p99_ms, each.undone_hold_ms) for each in story.unbroken_holds]
    return DemoReport.model_validate(
        {
            "requests": clients.requests,
            "writes": Writes(
                acknowledged=audited.acknowledged,
                lost=audited.lost,
                duplicated=audited.duplicated,
                diverged=audited.diverged,
            ),
            "copy": Copied(rows=gathered["copy"]["rows"], seconds=gathered["copy"]["seconds"]),
            "stream": Stream(
                events=sum(watch.events.values()),
                lag_p50_ms=percentile(lags, 50),
                lag_p99_ms=percentile(lags, 99),
            ),
            "parallel_run": ParallelRun(
                compared=compared,
                confirmed=confirmed,
                noise=noise,
                raced=raced,
                upper_bound=max(run["upper_bound"] for run in story.parallel_runs),
            ),
            "cutover": _sum_up(story.transfers, "cutover"),
            "rollback": _sum_up(story.transfers, "rollback"),
            "promises": {
                "one owner at every instant": watch.observations > 0 and watch.two_owners == 0,
                "no write lost": audited.lost == 0,
                "no write duplicated": audited.duplicated == 0,
                "no write diverged": audited.diverged == 0,
                "no request failed": clients.requests.failed == 0,
                "hold p99 under 1 s": bool(unbroken_p99) and max(unbroken_p99) < 1000,
                "parallel run found no confirmed difference": compared > 0 and confirmed == 0,
                "rolled back under load and left again": [t.kind for t in story.transfers]
                == ["cutover", "rollback", "cutover"],
                "the service owns at the end": gathered["owner"] == "service" and gathered["phase"] == "completed",
                "nothing is left behind": not leftovers,
            },
            "phases": tuple(story.phases),
            "timeseries": TimeSeries(lag=tuple(watch.lag), latency=clients.latency),
            "cutovers": tuple(story.transfers),
            "differences": tuple(_differences(story.parallel_runs)),
            "environment": Environment(
                postgres_version=gathered["version"],
                cores=os.cpu_count() or 1,
                writes_per_s=pace.writes_per_s,
                reads_per_s=pace.reads_per_s,
                seeds={"store and traffic": seed},
            ),
        }
    )


def _sum_up(transfers: list[Transfer], kind: str) -> Holds:
    """Counts add up; of the times the worst transfer speaks."""
    chosen = [transfer.holds for transfer in transfers if transfer.kind == kind]
    return Holds(
        held_requests=sum(holds.held_requests for holds in chosen),
        hold_p50_ms=max((holds.hold_p50_ms for holds in chosen), default=0),
        hold_p99_ms=max((holds.hold_p99_ms for holds in chosen), default=0),
        hold_max_ms=max((holds.hold_max_ms for holds in chosen), default=0),
    )


def _differences(runs: list[dict[str, Any]]) -> Iterator[Difference]:
    for row in (row for run in runs for row in run["differences"]):
        yield Difference(
            endpoint=row["endpoint"],
            path=row["path"],
            difference=row["kind"],
            verdict=row["classification"],
            count=row["count"],
            control=str(row.get("control", ""))[:2000],
            candidate=str(row.get("candidate", ""))[:2000],
        )


def _print_summary(report: DemoReport, clients: ClientView, audited: AuditResult) -> None:
    value = json.loads(report.as_json())
    sections = ("requests", "writes", "copy", "stream", "parallel_run", "cutover", "rollback")
    print_rows(
        ("what", "seen"),
        [(name, "  ".join(f"{key} {_short(item)}" for key, item in value[name].items())) for name in sections],
    )
    for name, held in report.promises.items():
        stdout.print(f"{'[green]held  [/]' if held else '[bold red]BROKEN[/]'} {name}")
    for line in clients.failures:
        stderr.print(f"failed request: {line}")
    for example in audited.examples:
        stderr.print(f"audit: {example}")


def _short(value: Any) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
